"""Attention in an ONNX graph: two products of heads with a softmax between, or one node; and masks that hide keys."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from accelsim.importers.onnx_values import Array, Constant, Places, Probed, Scores, Value, View, whole
from accelsim.importers.onnx_walk import Walk

HIDDEN_BELOW = -1e3
"""What masks add to the scores of hidden keys, at most; exp() of it is 0 beside any other key."""


def product_of_heads(query: View, key: View) -> Scores | None:
    """Q K^T of every head, if two views may be that: [..., tokens, columns] and [..., columns, tokens]."""
    if len(query.shape) not in (3, 4) or query.shape[:-2] != key.shape[:-2] or query.shape[-1] != key.shape[-2]:
        return None
    return Scores(query, key, (*query.shape[:-1], key.shape[-1]), query.scale * key.scale)


def softmax(scores: Scores) -> Scores | None:
    """Probabilities of scores."""
    return None if scores.softmax else replace(scores, softmax=True)


def moved(scores: Scores, shape: tuple[int, ...]) -> Scores | None:
    """Scores whose heads stand in another shape, which their last two extents keep."""
    same = shape[-2:] == scores.shape[-2:] and math.prod(shape) == math.prod(scores.shape)
    return replace(scores, shape=shape) if same else None


def hide(walk: Walk, scores: Scores, added: Constant | Probed) -> Scores | None:
    """Scores after something was added to them: nothing, or what hides the keys that a mask tells to be padding."""
    if isinstance(added, Constant):
        return scores if not added.array.any() and _fits(added.array, scores.shape) else None
    if scores.softmax:
        return None
    for name, mask in walk.masks.items():
        pairs = zip(added.arrays, mask.arrays, strict=True)
        if walk.used_mask in (None, name) and all(_hides(array, known, scores) for array, known in pairs):
            walk.used_mask = name
            return replace(scores, padded=True)
    return None


def _fits(array: Array, shape: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(array.shape, shape) == shape
    except ValueError:
        return False


def _hides(added: Array, mask: Array, scores: Scores) -> bool:
    """Whether 0 is added to keys that a mask [items, tokens] shows, and much less to the others."""
    tokens = scores.shape[-1]
    heads = math.prod(scores.shape[:-2])
    if not _fits(added, scores.shape) or mask.shape[1] != tokens or heads % len(mask):
        return False
    wide = np.broadcast_to(added, scores.shape).reshape(len(mask), -1, tokens)
    shown = mask.astype(np.bool_)[:, None]
    return bool(np.where(shown, wide == 0, wide <= HIDDEN_BELOW).all())


def context(walk: Walk, scores: Scores, value: View, output: str) -> View | None:
    """Probabilities times V, as a step of the workload."""
    views = (scores.query.places, np.swapaxes(scores.key.places, -1, -2), value.places)
    tensors = (scores.query.tensor, scores.key.tensor, value.tensor)
    tokens, columns = value.shape[-2:]
    each = [places.reshape(-1, *places.shape[-2:]) for places in views]
    scaled = value.scale != 1 or not math.isclose(scores.scale, 1 / math.sqrt(columns), rel_tol=1e-4)
    if scaled or len({places.shape for places in each}) > 1:
        return None
    heads = [_heads(walk, tensor, places) for tensor, places in zip(tensors, each, strict=True)]
    found = [one for one in heads if one is not None]
    if len(found) < 3:
        return None
    inputs, count = [tensor for tensor, _ in found], found[0][1]
    items = len(each[0]) // count
    walk.step(
        "attention", inputs, (items * tokens, count * columns), output,
        batch=items, heads=count, padded=scores.padded or None,
    )  # fmt: skip
    made = whole(output, items, tokens, count, columns).places.transpose(0, 2, 1, 3)
    return View(output, made.reshape(value.shape))


def _heads(walk: Walk, tensor: str, places: Places) -> tuple[str, int] | None:
    """The tensor [items * tokens, heads * columns] of which places [items * heads, tokens, columns] are the heads, and
    their number; None when they lie otherwise, as where items come second."""
    tokens, columns = places.shape[-2:]
    first_rows = places[:, 0, 0] // walk.shapes[tensor][1]
    count = int((first_rows == first_rows[0]).sum())
    if len(places) % count:
        return None
    joined = places.reshape(-1, count, tokens, columns).transpose(0, 2, 1, 3).reshape(-1, count * columns)
    found = walk.rows(View(tensor, joined))
    if found is None or not np.array_equal(found[1], np.arange(len(joined))):
        return None
    return found[0], count


def attention_node(walk: Walk, inputs: list[Value], attributes: dict[str, Any], output: str) -> Value | None:
    """The operator Attention: Q, K and V [items, heads, tokens, columns], or [items, tokens, heads * columns]."""
    views = [each for each in inputs[:3] if isinstance(each, View)]
    if len(views) < 3 or attributes.get("is_causal", 0) or attributes.get("softcap", 0.0):
        return None
    flat = len(views[0].shape) == 3
    if flat:
        counts = attributes.get("q_num_heads"), attributes.get("kv_num_heads")
        if counts[0] is None or counts[0] != counts[1]:
            return None
        views = [_cut(view, int(counts[0])) for view in views]
    query, key, value = views
    scores = product_of_heads(query, View(key.tensor, np.swapaxes(key.places, -1, -2), key.scale))
    if scores is None:
        return None
    scores = replace(scores, scale=scores.scale * attributes.get("scale", 1 / math.sqrt(query.shape[-1])))
    hidden: Scores | None = scores
    if len(inputs) > 3:
        hidden = _with_mask(walk, scores, inputs[3])
    if hidden is None:
        return None
    made = context(walk, replace(hidden, softmax=True), value, output)
    if made is None or not flat:
        return made
    items, heads, tokens, columns = made.shape
    return View(made.tensor, made.places.transpose(0, 2, 1, 3).reshape(items, tokens, heads * columns))


def _cut(view: View, heads: int) -> View:
    items, tokens, columns = view.shape
    return View(
        view.tensor, view.places.reshape(items, tokens, heads, columns // heads).transpose(0, 2, 1, 3), view.scale
    )


def _with_mask(walk: Walk, scores: Scores, mask: Value) -> Scores | None:
    """A mask of truth values shows keys, one of numbers is added."""
    if not isinstance(mask, Constant | Probed):
        return None
    arrays = mask.arrays if isinstance(mask, Probed) else (mask.array,)
    added = tuple(np.where(array, 0.0, -np.inf) if array.dtype == np.bool_ else array for array in arrays)
    return hide(walk, scores, Probed(added) if isinstance(mask, Probed) else Constant(added[0]))
