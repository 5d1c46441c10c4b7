"""JSON schema of what `accelsim serve` prints and saves."""

from typing import Any

from accelsim.results.schema import SCHEMA_VERSION

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_AMOUNT = {"type": "number", "minimum": 0}
_OPTIONAL_AMOUNT = {"type": ["number", "null"], "minimum": 0}
_COUNTS = {"type": "array", "items": {"type": "integer", "minimum": 1}}

SERVE_POINT: dict[str, dict[str, Any]] = {
    "scheme": _TEXT,
    **dict.fromkeys(("rate_per_s", "load", "throughput_per_s"), _AMOUNT),
    "requests": _COUNT,
    **dict.fromkeys(("mean_us", "p50_us", "p95_us", "p99_us", "mean_wait_us", "p95_wait_us"), _AMOUNT),
    **{f"{name}_{end}_us": _OPTIONAL_AMOUNT for name in ("mean", "p95", "mean_wait") for end in ("low", "high")},
    "queue_length": _AMOUNT,
    "queue_max": _COUNT,
    "utilisation": {"type": "number", "minimum": 0, "maximum": 1},
    "batch_mean": _AMOUNT,
    **dict.fromkeys(("energy_per_request_uj", "idle_energy_per_request_uj"), _OPTIONAL_AMOUNT),
}
"""Figures of one scheme at one rate; ends of 95 % intervals are null for too few requests."""

_LARGEST: dict[str, dict[str, Any]] = {
    "target_us": _AMOUNT,
    **dict.fromkeys(("rate_per_s", "surely_per_s", "missed_per_s"), _OPTIONAL_AMOUNT),
    "figures": {"type": ["object", "null"]},
    "remark": {"type": ["string", "null"]},
}
_SERVICE: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("size", "outcomes"), _COUNT),
    "bucket": {"type": ["integer", "null"]},
    **dict.fromkeys(("mean_us", "p5_us", "p95_us", "energy_uj"), _AMOUNT),
}


def _rows(properties: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "object", "properties": properties, "required": [*properties]}}


_SCHEME: dict[str, dict[str, Any]] = {
    "scheme": _TEXT,
    "capacity_per_s": _AMOUNT,
    "knee_per_s": _OPTIONAL_AMOUNT,
    "idle_w": _AMOUNT,
    "largest_load": {"anyOf": [{"type": "null"}, {"type": "object", "properties": _LARGEST, "required": [*_LARGEST]}]},
    "services": _rows(_SERVICE),
}
_SERVING: dict[str, Any] = {
    **dict.fromkeys(("hardware", "workload"), _TEXT),
    "engine": {"enum": ["events", "simpy", "estimate"]},
    "values": {"type": "boolean"},
    "arrivals": {"enum": ["poisson", "even", "trace"]},
    "queue": {"enum": ["compiled", "simpy"]},
    **dict.fromkeys(("requests", "batch", "servers", "seed"), _COUNT),
    **dict.fromkeys(("warmup", "timeout_us"), _AMOUNT),
    **dict.fromkeys(("buckets", "sizes"), _COUNTS),
    "target_p95_us": _OPTIONAL_AMOUNT,
    "schemes": _rows(_SCHEME),
    "points": _rows(SERVE_POINT),
    "notes": {"type": "array", "items": _TEXT},
}

SERVE_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "accelsim serve",
    "type": "object",
    "properties": {"schema_version": {"const": SCHEMA_VERSION}, **_SERVING},
    "required": ["schema_version", *_SERVING],
}
