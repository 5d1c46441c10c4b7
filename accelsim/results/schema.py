"""JSON schemas of the documents that the command line prints and results are saved as.

The version rises when a key changes its meaning or goes; keys may be added within a version.
"""

from typing import Any

from accelsim.results.metrics import AGREEMENT

SCHEMA_VERSION = 1

_COUNT = {"type": "integer", "minimum": 0}
_AMOUNT = {"type": "number", "minimum": 0}
_TEXT = {"type": "string"}
_SHARE = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
_OPTIONAL_NUMBER = {"type": ["number", "null"]}
_OPTIONAL_COUNT = {"type": ["integer", "null"], "minimum": 0}

SUMMARY: dict[str, dict[str, Any]] = {
    "scheme": _TEXT,
    "hardware": _TEXT,
    "workload": _TEXT,
    "engine": {"enum": ["events", "simpy", "estimate"]},
    "cycles": _COUNT,
    "latency_us": _AMOUNT,
    "energy_uj": _AMOUNT,
    "macs": _COUNT,
    "effectual_macs": _COUNT,
    "skipped_macs": _COUNT,
    "attention_macs": _COUNT,
    "max_rel_error": _OPTIONAL_NUMBER,
    "attention_latency_us": _OPTIONAL_NUMBER,
    "accuracy": _SHARE,
    "items": _COUNT,
    "items_per_s": _OPTIONAL_NUMBER,
    "bit_macs": _OPTIONAL_NUMBER,
    **{f"{kind}_products": _OPTIONAL_COUNT for kind in ("integer", "cross", "fraction", "score", "value")},
    **{f"{kind}_bit_macs": _OPTIONAL_NUMBER for kind in ("integer", "cross", "fraction", "score", "value")},
    "block_ratio": _SHARE,
    "head_ratio": _SHARE,
    "weight_sparsity": _SHARE,
    "seed": _COUNT,
    "values": {"type": "boolean"},
    "operands": _TEXT,
    "area_mm2": _OPTIONAL_NUMBER,
    "dram_bytes": _COUNT,
    "launches": _COUNT,
}
"""Keys of every result's summary, with the schema of each. Others may stand beside them."""

_OPTIONAL_AMOUNT = {"type": ["number", "null"], "minimum": 0}
INTERVAL: dict[str, dict[str, Any]] = {
    "latency_low_us": _OPTIONAL_AMOUNT,
    "latency_high_us": _OPTIONAL_AMOUNT,
    "interval_covered_percent": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
    "interval_basis": {"type": ["string", "null"]},
    "interval_left_out": {"type": ["string", "null"]},
}
"""Keys of the interval in which a measured latency is expected (`accelsim.results.intervals`); a summary without them
gets null."""

LATER: dict[str, dict[str, Any]] = {
    "imagined": {"type": ["string", "null"]},
    "imbalance_percent": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
    "latency_p50_us": {"type": ["number", "null"], "minimum": 0},
    "latency_p95_us": {"type": ["number", "null"], "minimum": 0},
    "padded_block_ratio": _SHARE,
    "metric_name": {"enum": ["accuracy", "f1", "spearman", None]},
    "metric": {"type": ["number", "null"], "minimum": -1, "maximum": 1},
    "guard": {"enum": ["head", "input", None]},
    **dict.fromkeys(("guarded_heads", "guarded_inputs"), _SHARE),
    **dict.fromkeys(("guard_latency_us", "guard_energy_uj"), _OPTIONAL_NUMBER),
}
"""Keys that older results lack: what a run imagined of its machine (``--force``); the share of the SMs' time in
products that they wait for thread blocks of more k-steps; percentiles of latency over inputs that were timed one by
one; HDP's guard, the share of heads or inputs that it let fall back, and what the run takes more for it."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VERSION = {"const": SCHEMA_VERSION}
_TABLE = {"type": "array", "items": {"type": "object"}}

RUN_SCHEMA: dict[str, Any] = {
    "$schema": _DIALECT,
    "title": "accelsim run",
    "type": "object",
    "properties": {
        "schema_version": _VERSION,
        **SUMMARY,
        **INTERVAL,
        **LATER,
        "account": _TABLE,
        "units": _TABLE,
        "energy": _TABLE,
        "per_input": _TABLE,
        "provenance": {"type": "object"},
    },
    "required": ["schema_version", *SUMMARY, *INTERVAL, "account", "units", "energy", "provenance"],
}

COMPARE_SCHEMA: dict[str, Any] = {
    "$schema": _DIALECT,
    "title": "accelsim compare",
    "type": "object",
    "properties": {
        "schema_version": _VERSION,
        "hardware": _TEXT,
        "workload": _TEXT,
        "baseline": _TEXT,
        "schemes": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    **SUMMARY,
                    **INTERVAL,
                    **LATER,
                    "speedup": _OPTIONAL_NUMBER,
                    "speedup_low": _OPTIONAL_AMOUNT,
                    "speedup_high": _OPTIONAL_AMOUNT,
                    "verdict": {"enum": ["faster", "slower", "undecided", None]},
                    "attention_speedup": _OPTIONAL_NUMBER,
                    "energy_ratio": _OPTIONAL_NUMBER,
                    **{key: {"type": ["number", "null"], "minimum": -1.001, "maximum": 1.001} for key in AGREEMENT},
                },
                "required": [
                    *(*SUMMARY, *INTERVAL, "speedup", "speedup_low", "speedup_high", "verdict"),
                    *("attention_speedup", "energy_ratio"),
                ],
            },
        },
        "notes": {"type": "array", "items": _TEXT},
    },
    "required": ["schema_version", "hardware", "workload", "baseline", "schemes", "notes"],
}

SWEEP_SCHEMA: dict[str, Any] = {
    "$schema": _DIALECT,
    "title": "accelsim sweep",
    "type": "object",
    "properties": {
        "schema_version": _VERSION,
        "axes": {"type": "array", "items": _TEXT},
        "points": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"error": {"type": ["string", "null"]}, **INTERVAL},
                "required": ["error"],
                "additionalProperties": {"type": ["number", "string", "boolean", "null"]},
            },
        },
    },
    "required": ["schema_version", "axes", "points"],
}

_ERRORS = {
    "n": _COUNT,
    **{f"{name}_percent": _OPTIONAL_NUMBER for name in ("mape", "median_ape", "p90_ape", "bias")},
}
_ERROR_SUMMARY = {"type": "object", "properties": _ERRORS, "required": [*_ERRORS]}
_COUNTS = {"type": "object", "additionalProperties": _COUNT}
_VALIDATION = {
    "engine": {"enum": ["estimate", "events"]},
    "hardware": {"type": "array", "items": _TEXT},
    **_ERRORS,
    "gpus": {"type": "object", "additionalProperties": _ERROR_SUMMARY},
    "regimes": {"type": "object", "additionalProperties": _ERROR_SUMMARY},
    "decisions": {"type": "object"},
    "roofline": _ERROR_SUMMARY,
    "unmodelled_count": _COUNT,
    "unmodelled_reasons": _COUNTS,
    "unknown_notes": _COUNTS,
    "left_to_defaults": _COUNTS,
    "left_out": _COUNTS,
    "remarks": {"type": "array", "items": _TEXT},
    "rows": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                **dict.fromkeys(("row", "line", "m", "n", "k"), _COUNT),
                **dict.fromkeys(("hardware", "gpu", "dtype", "op", "kernel"), _TEXT),
                **dict.fromkeys(("measured_us", "predicted_us", "ape_percent", "waves"), _AMOUNT),
                "error_percent": {"type": "number"},
            },
            "required": ["row", "m", "n", "k", "dtype", "measured_us", "predicted_us", "ape_percent"],
        },
    },
    "unmodelled": _TABLE,
}

_HALVES = {"calibrated": _ERROR_SUMMARY, "held_out": _ERROR_SUMMARY}
_BY_HALF = {"type": "object", "properties": _HALVES, "required": [*_HALVES]}
_STACK = {"hardware": _TEXT, "stack": _TEXT, **_HALVES}
_ATTENTION_ERRORS = {
    "type": "object",
    "properties": {
        **_ERRORS,
        "halves": _BY_HALF,
        "gpus": {"type": "object", "additionalProperties": _BY_HALF},
        "stacks": {"type": "array", "items": {"type": "object", "properties": _STACK, "required": [*_STACK]}},
        "regimes": {"type": "object", "additionalProperties": _BY_HALF},
    },
    "required": [*_ERRORS, "halves", "gpus", "stacks", "regimes"],
}
"""Of tables with attention alone."""

VALIDATE_SCHEMA: dict[str, Any] = {
    "$schema": _DIALECT,
    "title": "accelsim validate",
    "type": "object",
    "properties": {"schema_version": _VERSION, **_VALIDATION, "attention": _ATTENTION_ERRORS},
    "required": ["schema_version", *_VALIDATION],
}

_NUMBERS_OR_NULL = ("beats_from", "undecided_from", "undecided_to", "faster_from", "lowest", "highest", "search_from")
_CELL = {
    **dict.fromkeys(("hardware", "product", "pattern"), _TEXT),
    "status": {"enum": ["beats", "never", "unavailable"]},
    **dict.fromkeys(_NUMBERS_OR_NULL, _SHARE),
    "has_interval": {"type": "boolean"},
    "reason": {"type": ["string", "null"]},
}
_PRODUCT = {"name": _TEXT, **dict.fromkeys(("m", "n", "k", "count"), _COUNT)}
_BREAK_EVEN_POINT = {
    **dict.fromkeys(("hardware", "product", "pattern", "engine"), _TEXT),
    **dict.fromkeys(("asked", "sparsity"), _SHARE),
    **dict.fromkeys(("latency_us", "speedup"), _AMOUNT),
    **dict.fromkeys(("speedup_low", "speedup_high"), _OPTIONAL_AMOUNT),
}
_BREAK_EVEN: dict[str, Any] = {
    **dict.fromkeys(("workload", "dtype", "engine"), _TEXT),
    "confirmed_by": {"type": ["string", "null"]},
    **dict.fromkeys(("batch", "seed"), _COUNT),
    "resolution": _AMOUNT,
    **{
        name: {"type": "array", "items": {"type": "object", "properties": keys, "required": [*keys]}}
        for name, keys in (("products", _PRODUCT), ("cells", _CELL), ("points", _BREAK_EVEN_POINT))
    },
    "notes": {"type": "array", "items": _TEXT},
}

BREAK_EVEN_SCHEMA: dict[str, Any] = {
    "$schema": _DIALECT,
    "title": "accelsim breakeven",
    "type": "object",
    "properties": {"schema_version": _VERSION, **_BREAK_EVEN},
    "required": ["schema_version", *_BREAK_EVEN],
}

_UNIT: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("unit", "title", "algorithm"), _TEXT),
    **dict.fromkeys(
        ("sequence", "heads", "head_dim", "layers", "multipliers", "main_multipliers", "multiplier_bits"), _COUNT
    ),
    **dict.fromkeys(("keep_ratio", "kept_pairs", "kept_tokens", "kept_heads", "kept_blocks"), _SHARE),
    **dict.fromkeys(("saturated", "cycles", "macs", "effectual_macs", "dram_bytes", "spilled_bytes"), _COUNT),
    **dict.fromkeys(("latency_us", "closed_form_cycles", "gops", "effectual_gops"), _AMOUNT),
    **dict.fromkeys(("normalised_gops", "normalised_gops_main", "normalised_gops_bits"), _AMOUNT),
    **dict.fromkeys(("clock_hz", "dram_bandwidth"), _AMOUNT),
    **dict.fromkeys(("utilization", "simulated_utilization"), _SHARE),
    **dict.fromkeys(("energy_uj", "core_energy_uj", "max_rel_error", "rms_rel_error"), _AMOUNT),
    **dict.fromkeys(("gop_per_j", "core_gop_per_j", "gops_per_mm2", "published_gops"), _OPTIONAL_AMOUNT),
    "on_chip_bytes": _OPTIONAL_COUNT,
    **dict.fromkeys(("decision_cycles", "saved_cycles"), _OPTIONAL_NUMBER),
    **dict.fromkeys(("decision_energy_uj", "saved_energy_uj"), _OPTIONAL_NUMBER),
    **{key: {"type": ["string", "null"]} for key in ("published_source", "cited_source", "threshold_path")},
    "threshold": {"enum": ["solved", "own", "off"]},
    **dict.fromkeys(("threshold_value", "threshold_target"), _OPTIONAL_NUMBER),
    "energy_by_action_uj": {"type": "object"},
}
_ATTENTION: dict[str, Any] = {
    "pruning": {"type": "boolean"},
    "operands": _TEXT,
    "seed": _COUNT,
    "units": {
        "type": "array",
        "minItems": 1,
        "items": {"type": "object", "properties": _UNIT, "required": [*_UNIT]},
    },
    "notes": {"type": "array", "items": _TEXT},
}

ATTENTION_SCHEMA: dict[str, Any] = {
    "$schema": _DIALECT,
    "title": "accelsim attention compare",
    "type": "object",
    "properties": {"schema_version": _VERSION, **_ATTENTION},
    "required": ["schema_version", *_ATTENTION],
}

_TUNED: dict[str, dict[str, Any]] = {
    "settings": {"type": "object", "additionalProperties": {"type": ["number", "string", "boolean", "null"]}},
    **dict.fromkeys(("latency_us", "energy_uj"), _OPTIONAL_AMOUNT),
    "gain": {"type": ["object", "null"], "additionalProperties": _AMOUNT},
    "error": {"type": ["string", "null"]},
}
_ONE_TUNED = {"type": "object", "properties": _TUNED, "required": [*_TUNED]}
_ALL_TUNED: dict[str, dict[str, Any]] = {
    "legal": _COUNT,
    "best": {"type": "array", "items": _ONE_TUNED},
    "gap_percent": _OPTIONAL_NUMBER,
    "found": _COUNT,
    "evaluations_percent": _OPTIONAL_NUMBER,
}
_TRIED: dict[str, dict[str, Any]] = {
    "evaluation": _COUNT,
    "by": _TEXT,
    "holds": {"type": "boolean"},
    "error": {"type": ["string", "null"]},
}
_TUNE: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("tune", "hardware", "workload", "scheme", "engine", "command"), _TEXT),
    "seed": _COUNT,
    "objectives": {"type": "array", "minItems": 1, "items": {"enum": ["latency_us", "energy_uj", "edp"]}},
    "limits": {"type": "object", "additionalProperties": _AMOUNT},
    "axes": {"type": "array", "minItems": 1, "items": _TEXT},
    **dict.fromkeys(("space_points", "evaluations", "estimate_calls", "estimate_runs"), _COUNT),
    **dict.fromkeys(("hopeless", "impossible"), _COUNT),
    "reference": _ONE_TUNED,
    "best": {"type": "array", "minItems": 1, "items": _ONE_TUNED},
    "checked": {"type": "array", "items": {"type": "object"}},
    "exhaustive": {"type": ["object", "null"], "properties": _ALL_TUNED, "required": [*_ALL_TUNED]},
    "history": {"type": "array", "items": {"type": "object", "properties": _TRIED, "required": [*_TRIED]}},
    "notes": {"type": "array", "items": _TEXT},
}

TUNE_SCHEMA: dict[str, Any] = {
    "$schema": _DIALECT,
    "title": "accelsim tune",
    "type": "object",
    "properties": {"schema_version": _VERSION, **_TUNE},
    "required": ["schema_version", *_TUNE],
}
