"""Numerics of the operations between the products, in float32 as GPUs compute them.

Every operation reads tensors on the grid of the network's format, computes in float32 and, when told the format, rounds
what it writes to memory to its grid.
"""

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
    total = np.asarray(x, np.float32) + np.asarray(update, np.float32)
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


def embed(x: Array, position: Array, weight: Array | None = None, bias: Array | None = None) -> Floats:
    """Patches [items * sequence, depth] times weight plus bias, where given, plus position [sequence, hidden]."""
    hidden = np.asarray(x, np.float32)
    if weight is not None:
        hidden = hidden @ weight.astype(np.float32)
    if bias is not None:
        hidden = hidden + bias.astype(np.float32)
    items = hidden.reshape(-1, *position.shape) + position.astype(np.float32)
    return items.reshape(hidden.shape)


def mean_tokens(x: Array, sequence: int) -> Floats:
    """[items * sequence, hidden] to the mean over each item's tokens, [items, hidden]."""
    result: Floats = np.asarray(x, np.float32).reshape(-1, sequence, x.shape[1]).mean(axis=1, dtype=np.float32)
    return result


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
    weight, bias = (_named(parameters, attributes, role) for role in ("weight", "bias"))
    return embed(inputs[0], position, weight, bias)


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
    "gelu": lambda inputs, parameters, attributes: gelu(inputs[0]),
    "embed": _embed,
    "mean_tokens": lambda inputs, parameters, attributes: mean_tokens(inputs[0], int(attributes["sequence"])),
    "im2col": _im2col,
    "lstm_cell": _lstm_cell,
    "transpose": lambda inputs, parameters, attributes: np.ascontiguousarray(inputs[0].T),
    "columns": lambda inputs, parameters, attributes: inputs[0][:, int(attributes["first"]) : int(attributes["last"])],
}
