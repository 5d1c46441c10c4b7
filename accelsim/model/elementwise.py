"""Numerics of the operations between the products, in float32 as GPUs compute them.

Every operation reads tensors on the grid of the network's format, computes in float32 and, when told the format, rounds
what it writes to memory to its grid.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.formats import round_to_format
from accelsim.model.graph import Elementwise

Array = NDArray[Any]
Floats = NDArray[np.float32]
Parameters = dict[str, Array]
Attributes = dict[str, float | int | str]

_ERF_LIMIT = 4.0
"""Beyond it, erf is 1 within 1.6e-8."""
_ERF_NUMERATOR = (1.12837898, 0.196248677, 0.0534674349, 0.00400363175, 0.000288040877, 1.97482939e-06)
_ERF_DENOMINATOR = (1.0, 0.507252021, 0.116476299, 0.0154443942, 0.00121635604, 3.74808267e-05)
"""Coefficients by rising power of x^2, fitted to math.erf by reweighted least squares."""
_CHUNK = 1 << 15
"""Elements that are worked on together, so that intermediates stay in the CPU's cache."""


def apply_elementwise(
    operation: Elementwise, inputs: list[Array], parameters: Parameters, dtype: str | None = None
) -> Array:
    """Result of an element-wise operation.

    Parameters
    ----------
    operation : Elementwise
        Which function, with its attributes.
    inputs : list of ndarray
        Tensors of `operation.inputs`, in that order.
    parameters : dict of str to ndarray
        The network's parameters.
    dtype : str, optional
        Format that the result is rounded to; left out, it stays float32 (int8 tensors that are only moved stay int8).

    Returns
    -------
    ndarray
        [rows, columns]
    """
    result = _FUNCTIONS[operation.function](inputs, parameters, operation.attributes)
    if dtype is None or result.dtype == np.int8:
        return result
    return round_to_format(result, dtype)


def softmax(x: Array, scale: float = 1.0) -> Floats:
    """exp(s x) / sum exp(s x) along the last axis, the maximum subtracted first."""
    scaled = np.asarray(x, np.float32) * np.float32(scale)
    power: Floats = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    result: Floats = power / power.sum(axis=-1, keepdims=True)
    return result


def add_norm(x: Array, update: Array, gain: Array, bias: Array, epsilon: float) -> Floats:
    """LayerNorm of x + update over the last axis: (s - mean) / sqrt(variance + epsilon) * gain + bias."""
    return norm(np.asarray(x, np.float32) + np.asarray(update, np.float32), gain, bias, epsilon)


def norm(x: Array, gain: Array, bias: Array, epsilon: float) -> Floats:
    """LayerNorm over the last axis: (x - mean) / sqrt(variance + epsilon) * gain + bias."""
    total = np.asarray(x, np.float32)
    centred = total - total.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    result: Floats = centred / np.sqrt(variance + np.float32(epsilon)) * gain.astype(np.float32)
    return result + bias.astype(np.float32)


def erf(x: Array) -> Floats:
    """Error function to float32 accuracy.

    x P(x^2) / Q(x^2) with polynomials of degree 5, evaluated in float64; its largest error against math.erf is 2.2e-8,
    and half a unit in float32's last place.
    """
    flat = np.ascontiguousarray(x, dtype=np.float32).reshape(-1)
    result = np.empty(flat.shape, np.float32)
    for start in range(0, len(flat), _CHUNK):
        limited = np.clip(flat[start : start + _CHUNK].astype(np.float64), -_ERF_LIMIT, _ERF_LIMIT)
        square = limited * limited
        ratio = limited * np.polyval(_ERF_NUMERATOR[::-1], square) / np.polyval(_ERF_DENOMINATOR[::-1], square)
        result[start : start + _CHUNK] = np.clip(ratio, -1.0, 1.0)
    return result.reshape(np.shape(x))


def gelu(x: Array) -> Floats:
    """x/2 (1 + erf(x / sqrt 2)), the exact form and not the one with a hyperbolic tangent."""
    single = np.asarray(x, np.float32)
    result: Floats = np.float32(0.5) * single * (np.float32(1) + erf(single * np.float32(np.sqrt(0.5))))
    return result


def gelu_tanh(x: Array) -> Floats:
    """x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), the approximation that some models were trained with."""
    single = np.asarray(x, np.float32)
    inner = np.float32(math.sqrt(2 / math.pi)) * (single + np.float32(0.044715) * single * single * single)
    return np.asarray(np.float32(0.5) * single * (np.float32(1) + np.tanh(inner)), np.float32)


def relu(x: Array) -> Floats:
    """max(x, 0)."""
    result: Floats = np.maximum(np.asarray(x, np.float32), np.float32(0))
    return result


def tanh(x: Array) -> Floats:
    """Hyperbolic tangent."""
    result: Floats = np.tanh(np.asarray(x, np.float32))
    return result


ACTIVATIONS: dict[str, Callable[[Array], Floats]] = {"gelu": gelu, "gelu_tanh": gelu_tanh, "relu": relu, "tanh": tanh}
"""By name, as `accelsim.model.graph.Gemm` has them."""


def embed(
    x: Array,
    position: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    class_token: Array | None = None,
) -> Floats:
    """Patches [items * patches, depth] times weight plus bias, where given, plus position [sequence, hidden].

    A class token [hidden], where given, stands before the patches of each item; without one, sequence = patches.
    """
    hidden = np.asarray(x, np.float32)
    if weight is not None:
        hidden = hidden @ weight.astype(np.float32)
    if bias is not None:
        hidden = hidden + bias.astype(np.float32)
    sequence, width = position.shape
    items = hidden.reshape(-1, sequence - (class_token is not None), width)
    if class_token is not None:
        first = np.broadcast_to(class_token.astype(np.float32), (len(items), 1, width))
        items = np.concatenate([first, items], axis=1)
    return (items + position.astype(np.float32)).reshape(-1, width)


def embed_tokens(
    tokens: Array, sequence: int, word: Array, position: Array, kind: Array | None = None, types: Array | None = None
) -> Floats:
    """Sum of the rows of three tables for each token.

    Parameters
    ----------
    tokens : int [items * sequence, 1]
        Rows of `word`.
    sequence : int
        Tokens of an item; the first `sequence` rows of `position` are theirs.
    word, position : ndarray
        [vocabulary, hidden], [at least sequence, hidden]
    kind : ndarray, optional
        [token types, hidden]
    types : int [items * sequence, 1], optional
        Rows of `kind`; left out, the first for all.
    """
    rows = word[tokens[:, 0]].astype(np.float32)
    if kind is not None:
        rows = rows + (kind[0] if types is None else kind[types[:, 0]]).astype(np.float32)
    items = rows.reshape(-1, sequence, word.shape[1]) + position[:sequence].astype(np.float32)
    return items.reshape(rows.shape)


def mean_tokens(x: Array, sequence: int, lengths: Array | None = None) -> Floats:
    """[items * sequence, hidden] to the mean over each item's tokens, [items, hidden].

    `lengths` [items, 1] are the numbers of real tokens, which come first; left out, all are real.
    """
    items = np.asarray(x, np.float32).reshape(-1, sequence, x.shape[1])
    if lengths is None:
        result: Floats = items.mean(axis=1, dtype=np.float32)
        return result
    real = (np.arange(sequence) < lengths).astype(np.float32)[:, :, None]
    total: Floats = (items * real).sum(axis=1, dtype=np.float32) / lengths.astype(np.float32)
    return total


def normalise(x: Array) -> Floats:
    """Rows divided by their Euclidean length, which is taken as 1e-12 at least."""
    single = np.asarray(x, np.float32)
    length = np.sqrt(np.square(single).sum(axis=1, keepdims=True, dtype=np.float32))
    result: Floats = single / np.maximum(length, np.float32(1e-12))
    return result


def real_tokens(x: Array, sequence: int, lengths: Array) -> Array:
    """Rows of real tokens of [items * sequence, hidden]: the first lengths[i, 0] of each item."""
    kept: Array = x[(np.arange(sequence) < lengths).reshape(-1)]
    return kept


def im2col(
    x: Array, *, batch: int, height: int, width: int, channels: int, kernel: int, stride: int, padding: int
) -> Array:
    """Pixels [batch * height * width, channels] to windows [batch * out_height * out_width, kernel^2 * channels].

    Columns are ordered (kernel row, kernel column, channel); outside the image lie zeros. The type of ``x`` is kept.
    """
    edge = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    image = np.pad(x.reshape(batch, height, width, channels), edge)
    windows = np.lib.stride_tricks.sliding_window_view(image, (kernel, kernel), axis=(1, 2))[:, ::stride, ::stride]
    ordered = windows.transpose(0, 1, 2, 4, 5, 3)
    return np.ascontiguousarray(ordered).reshape(-1, kernel * kernel * channels)


def lstm_cell(gates: Array, state: Array, hidden: int, following: Array | None = None) -> Floats:
    """One step of an LSTM: c = f c + i g, h = o tanh(c).

    Parameters
    ----------
    gates : ndarray
        [batch, 4 hidden]: input gate, forget gate, candidate and output gate before their activations.
    state : ndarray
        [batch, ... + hidden]; its last `hidden` columns are c.
    hidden : int
        Units of the layer.
    following : ndarray, optional
        [batch, inputs], x of the next step.

    Returns
    -------
    ndarray
        [batch, inputs + 2 hidden]: next x (where given), h, c.
    """
    entry, keep, candidate, exit_ = np.split(np.asarray(gates, np.float32), 4, axis=1)
    before = np.asarray(state, np.float32)[:, -hidden:]
    cell = _sigmoid(keep) * before + _sigmoid(entry) * np.tanh(candidate)
    output = _sigmoid(exit_) * np.tanh(cell)
    parts = (output, cell) if following is None else (following.astype(np.float32), output, cell)
    return np.concatenate(parts, axis=1)


def _sigmoid(x: Floats) -> Floats:
    """Logistic function by tanh, which overflows nowhere."""
    half = np.float32(0.5)
    result: Floats = half * np.tanh(half * x) + half
    return result


def _named(parameters: Parameters, attributes: Attributes, role: str) -> Array | None:
    return parameters[str(attributes[role])] if role in attributes else None


def _add_norm(inputs: list[Array], parameters: Parameters, attributes: Attributes) -> Array:
    gain, bias = parameters[str(attributes["gain"])], parameters[str(attributes["bias"])]
    return add_norm(inputs[0], inputs[1], gain, bias, float(attributes["epsilon"]))


def _embed(inputs: list[Array], parameters: Parameters, attributes: Attributes) -> Array:
    position = parameters[str(attributes["position"])]
    weight, bias, token = (_named(parameters, attributes, role) for role in ("weight", "bias", "class_token"))
    return embed(inputs[0], position, weight, bias, token)


def _embed_tokens(inputs: list[Array], parameters: Parameters, attributes: Attributes) -> Array:
    word, position, kind = (_named(parameters, attributes, role) for role in ("word", "position", "type"))
    assert word is not None
    assert position is not None
    types = inputs[1] if len(inputs) > 1 else None
    return embed_tokens(inputs[0], int(attributes["sequence"]), word, position, kind, types)


def _norm(inputs: list[Array], parameters: Parameters, attributes: Attributes) -> Array:
    gain, bias = parameters[str(attributes["gain"])], parameters[str(attributes["bias"])]
    return norm(inputs[0], gain, bias, float(attributes["epsilon"]))


def _mean_tokens(inputs: list[Array], parameters: Parameters, attributes: Attributes) -> Array:
    return mean_tokens(inputs[0], int(attributes["sequence"]), *inputs[1:])


def _im2col(inputs: list[Array], parameters: Parameters, attributes: Attributes) -> Array:
    return im2col(inputs[0], **{name: int(size) for name, size in attributes.items()})


def _lstm_cell(inputs: list[Array], parameters: Parameters, attributes: Attributes) -> Array:
    gates, state, *sequence = inputs
    batch, step = len(gates), int(attributes["step"])
    following = sequence[0][step * batch : (step + 1) * batch] if sequence else None
    return lstm_cell(gates, state, int(attributes["hidden"]), following)


_FUNCTIONS: dict[str, Callable[[list[Array], Parameters, Attributes], Array]] = {
    "scatter": lambda inputs, parameters, attributes: inputs[0],
    "softmax": lambda inputs, parameters, attributes: softmax(inputs[0], float(attributes.get("scale", 1.0))),
    "add_norm": _add_norm,
    "norm": _norm,
    "add": lambda inputs, parameters, attributes: np.asarray(inputs[0], np.float32) + np.asarray(inputs[1], np.float32),
    "gelu": lambda inputs, parameters, attributes: gelu(inputs[0]),
    "gelu_tanh": lambda inputs, parameters, attributes: gelu_tanh(inputs[0]),
    "relu": lambda inputs, parameters, attributes: relu(inputs[0]),
    "tanh": lambda inputs, parameters, attributes: tanh(inputs[0]),
    "embed": _embed,
    "embed_tokens": _embed_tokens,
    "lookup": lambda inputs, parameters, attributes: parameters[str(attributes["word"])][inputs[0][:, 0]],
    "mean_tokens": _mean_tokens,
    "normalise": lambda inputs, parameters, attributes: normalise(inputs[0]),
    "first_token": lambda inputs, parameters, attributes: inputs[0][:: int(attributes["sequence"])],
    "real_tokens": lambda inputs, parameters, attributes: real_tokens(
        inputs[0], int(attributes["sequence"]), inputs[1]
    ),
    "im2col": _im2col,
    "lstm_cell": _lstm_cell,
    "transpose": lambda inputs, parameters, attributes: np.ascontiguousarray(inputs[0].T),
    "columns": lambda inputs, parameters, attributes: inputs[0][:, int(attributes["first"]) : int(attributes["last"])],
}
