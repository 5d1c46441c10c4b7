"""JSON schemas of `accelsim explain` and `accelsim diff`."""

from typing import Any

from accelsim.results.schema import SCHEMA_VERSION

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT = {"type": "string"}
_OPTIONAL_TEXT = {"type": ["string", "null"]}
_NUMBER = {"type": "number"}
_AMOUNT = {"type": "number", "minimum": 0}
_OPTIONAL_NUMBER = {"type": ["number", "null"]}
_WHOLE = {"type": "integer"}
_TEXTS = {"type": "array", "items": _TEXT}
_VALUE = {"type": ["string", "number", "boolean", "null", "array", "object"]}


def _object(keys: dict[str, Any], required: bool = True) -> dict[str, Any]:
    return {"type": "object", "properties": keys, "required": [*keys] if required else []}


def _list(keys: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": _object(keys)}


_LOSSES = {
    **dict.fromkeys(("macs_saved", "speedup", "dense_us", "ideal_us", "actual_us"), _AMOUNT),
    "losses": _list(
        {
            **dict.fromkeys(("loss", "meaning"), _TEXT),
            "time_ps": _WHOLE,
            **dict.fromkeys(("time_us", "reached_us"), _NUMBER),
            **dict.fromkeys(("share_percent", "speedup_without"), _OPTIONAL_NUMBER),
        }
    ),
    "operations": _list(
        {"operation": _TEXT, **dict.fromkeys(("kept", "dense_us", "ideal_us", "actual_us", "loss_us"), _NUMBER)}
    ),
}
_ROOFLINE = {
    **dict.fromkeys(("compute_us", "dram_us"), _AMOUNT),
    **dict.fromkeys(("intensity_flop_per_byte", "attained_percent"), _OPTIONAL_NUMBER),
    "bound": {"enum": ["compute", "dram"]},
}
_EXPLAINED = {
    **dict.fromkeys(("scheme", "hardware", "workload", "engine"), _TEXT),
    **dict.fromkeys(("latency_us", "macs", "effectual_macs"), _AMOUNT),
    "stack": _list(
        {
            **dict.fromkeys(("cause", "meaning"), _TEXT),
            "time_ps": _WHOLE,
            **dict.fromkeys(("time_us", "share_percent"), _AMOUNT),
        }
    ),
    "kernels": _list(
        {
            **dict.fromkeys(("name", "operation", "device", "part"), _TEXT),
            **dict.fromkeys(("time_us", "share_percent"), _AMOUNT),
            **dict.fromkeys(("largest_cause", "bound"), _OPTIONAL_TEXT),
            "causes_us": {"type": "object", "additionalProperties": _AMOUNT},
            **dict.fromkeys(("attained_percent", "intensity_flop_per_byte"), _OPTIONAL_NUMBER),
        }
    ),
    "units": {"type": "array", "items": {"type": "object"}},
    "roofline": {"anyOf": [{"type": "null"}, _object(_ROOFLINE)]},
    "losses": {"anyOf": [{"type": "null"}, _object(_LOSSES)]},
}
_WHAT_IF = {
    "scheme": _TEXT,
    "mechanisms": _list(
        {
            **dict.fromkeys(("mechanism", "instead"), _TEXT),
            "latency_us": _AMOUNT,
            "gained_us": _NUMBER,
            "gained_percent": _OPTIONAL_NUMBER,
        }
    ),
}

EXPLAIN_SCHEMA: dict[str, Any] = {
    "$schema": _DIALECT,
    "title": "accelsim explain",
    "type": "object",
    "properties": {
        "schema_version": {"const": SCHEMA_VERSION},
        "results": {**_list(_EXPLAINED), "minItems": 1},
        "what_if": _list(_WHAT_IF),
    },
    "required": ["schema_version", "results"],
}

_SETTINGS = _list({"path": _TEXT, "before": _VALUE, "after": _VALUE})
_CHANGES = _list({"name": _TEXT, **dict.fromkeys(("before", "after", "percent"), _OPTIONAL_NUMBER), "delta": _NUMBER})
_NAMED = _object(dict.fromkeys(("hardware", "workload", "scheme", "engine"), _TEXT))
_RESULT_DIFF = {
    "before": _NAMED,
    "after": _NAMED,
    **dict.fromkeys(("config", "texts"), _SETTINGS),
    **dict.fromkeys(("totals", "causes", "energy", "kernels"), _CHANGES),
    "arrays": _list({"name": _TEXT, **dict.fromkeys(("differing", "size", "largest"), _OPTIONAL_NUMBER)}),
}
_POINT = {"type": "object"}
_OF_RESULTS = {
    "kind": {"const": "results"},
    "results": _list(_RESULT_DIFF),
    "added": _TEXTS,
    "removed": _TEXTS,
}
_OF_SWEEPS = {
    "kind": {"const": "sweep"},
    "config": _SETTINGS,
    "axes": _TEXTS,
    "compared": {"type": "integer", "minimum": 0},
    "added": {"type": "array", "items": _POINT},
    "removed": {"type": "array", "items": _POINT},
    "changed": _list({"point": _POINT, "totals": _CHANGES, "texts": _SETTINGS}),
}

DIFF_SCHEMA: dict[str, Any] = {
    "$schema": _DIALECT,
    "title": "accelsim diff",
    "type": "object",
    "properties": {
        "schema_version": {"const": SCHEMA_VERSION},
        "equal": {"type": "boolean"},
        "worst_percent": {"type": ["number", "null"], "minimum": 0},
        "exceeded": {"type": ["boolean", "null"]},
    },
    "required": ["schema_version", "equal", "worst_percent", "exceeded"],
    "oneOf": [_object(_OF_RESULTS), _object(_OF_SWEEPS)],
}
"""A document is of results or of a sweep, as its `kind` says; `worst_percent` is null for a rise from nothing, or for a
point that newly fails."""
