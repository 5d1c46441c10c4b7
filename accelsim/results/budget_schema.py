"""JSON schemas of `accelsim calibrate` and `accelsim tradeoff`; the rules of `accelsim.results.schema` hold."""

from typing import Any

from accelsim.results.schema import SCHEMA_VERSION

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VERSION = {"const": SCHEMA_VERSION}
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_NUMBER = {"type": "number"}
_OPTIONAL = {"type": ["number", "null"]}
_SHARE = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
_KEPT = {"type": "number", "minimum": 0}
"""Can exceed 1: a guard's second pass is work too."""

_SETTING: dict[str, Any] = {
    "setting": _TEXT,
    "inputs": _COUNT,
    "quality": _NUMBER,
    "kept": _KEPT,
    **dict.fromkeys(("block_ratio", "head_ratio", "weight_sparsity"), _SHARE),
    **dict.fromkeys(("latency_us", "energy_uj", "items_per_s"), _OPTIONAL),
}


def _rows(keys: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": {"type": "object", "properties": keys, "required": [*keys]}}


_CALIBRATE: dict[str, Any] = {
    **dict.fromkeys(("hardware", "workload", "judge", "metric", "scheme"), _TEXT),
    "budget": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
    "minimise": {"enum": ["kept", "latency", "energy"]},
    "keep_margin": _NUMBER,
    "engine": {"enum": ["events", "simpy", "estimate"]},
    "seed": _COUNT,
    "options": {"type": "object"},
    "held": {"type": ["boolean", "null"]},
    **dict.fromkeys(("change", "change_low", "change_high"), _OPTIONAL),
    "splits": _rows({"split": _TEXT, "which": {"enum": ["dense", "chosen"]}, "loss": _NUMBER, **_SETTING}),
    "tried": _rows({"within": {"type": "boolean"}, "loss": _NUMBER, **_SETTING}),
}

CALIBRATE_SCHEMA: dict[str, Any] = {
    "$schema": _DIALECT,
    "title": "accelsim calibrate",
    "type": "object",
    "properties": {"schema_version": _VERSION, **_CALIBRATE},
    "required": ["schema_version", *_CALIBRATE],
}

TRADEOFF_POINT: dict[str, Any] = {
    **dict.fromkeys(("workload", "scheme"), _TEXT),
    **_SETTING,
    **dict.fromkeys(("change", "change_low", "change_high", "latency_p50_us", "latency_p95_us"), _OPTIONAL),
    "front_latency": {"type": "boolean"},
    "front_energy": {"type": "boolean"},
}
"""A setting of a scheme on a workload; `front_` says whether no other point is as good and cheaper in that respect."""

_TRADEOFF: dict[str, Any] = {
    **dict.fromkeys(("hardware", "split", "judge", "metric"), _TEXT),
    "workloads": {"type": "array", "minItems": 1, "items": _TEXT},
    "engine": {"enum": ["events", "simpy", "estimate"]},
    "seed": _COUNT,
    "points": _rows(TRADEOFF_POINT),
    "notes": {"type": "array", "items": _TEXT},
}

TRADEOFF_SCHEMA: dict[str, Any] = {
    "$schema": _DIALECT,
    "title": "accelsim tradeoff",
    "type": "object",
    "properties": {"schema_version": _VERSION, **_TRADEOFF},
    "required": ["schema_version", *_TRADEOFF],
}
