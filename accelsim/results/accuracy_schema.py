"""JSON schemas of what `accelsim study` and `accelsim watch` print and save; the version is that of all documents."""

from typing import Any

from accelsim.results.schema import SCHEMA_VERSION

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_COUNT = {"type": "integer", "minimum": 0}
_NUMBER = {"type": "number"}
_OPTIONAL = {"type": ["number", "null"]}
_TEXT = {"type": "string"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_FLAG = {"type": "boolean"}
_OUTPUTS = {"type": "array", "items": _NUMBER, "minItems": 1}


def _document(title: str, keys: dict[str, Any]) -> dict[str, Any]:
    keys = {"schema_version": {"const": SCHEMA_VERSION}, **keys}
    return {"$schema": _DIALECT, "title": title, "type": "object", "properties": keys, "required": [*keys]}


def _objects(keys: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "object", "properties": keys, "required": [*keys]}}


_POINT: dict[str, Any] = {
    "axis": {"enum": ["blocks", "heads"]},
    "method": _TEXT,
    **dict.fromkeys(("asked", "pairs_pruned", "pairs_pruned_padded", "heads_pruned"), _SHARE),
    "score": _NUMBER,
    **dict.fromkeys(("score_deviation", "margin_change"), _OPTIONAL),
    **dict.fromkeys(("loss", "loss_low", "loss_high"), _NUMBER),
    **{f"gain_over_{other}{end}": _OPTIONAL for other in ("random", "cascade") for end in ("", "_low", "_high")},
    "settings": {"type": "array", "items": {"type": "object"}},
}

STUDY_SCHEMA = _document(
    "accelsim study",
    {
        "workloads": {"type": "array", "items": _TEXT, "minItems": 1},
        **dict.fromkeys(("split", "calibration"), _TEXT),
        **dict.fromkeys(("items", "calibration_items", "seed"), _COUNT),
        "measure": {"enum": ["accuracy", "spearman", "agreement"]},
        "dense_score": _NUMBER,
        "dense_score_deviation": _OPTIONAL,
        "methods": {"type": "object"},
        "points": _objects(_POINT),
        "unreachable": _objects({"method": _TEXT, "asked": _SHARE, "reason": _TEXT}),
    },
)

WATCH_SCHEMA = _document(
    "accelsim watch",
    {
        **dict.fromkeys(("workload", "scheme"), _TEXT),
        "item": _COUNT,
        "label": {"type": ["integer", "null"]},
        "dense": _OUTPUTS,
        "pruned": _OUTPUTS,
        **dict.fromkeys(("margin_dense", "margin_pruned", "cosine"), _NUMBER),
        "classifies": _FLAG,
        **dict.fromkeys(("pairs_pruned", "heads_pruned"), _SHARE),
        "heads": _objects(
            {
                **dict.fromkeys(("layer", "head", "answer_if_spared"), _COUNT),
                **dict.fromkeys(("importance", "threshold", "output_change"), _NUMBER),
                **dict.fromkeys(("margin_if_spared", "cosine_if_spared"), _NUMBER),
                **dict.fromkeys(("kept", "guarded"), _FLAG),
                "blocks_kept": _SHARE,
            }
        ),
    },
)
