"""Functions of rows, recognised by their values: activations, LayerNorm, softmax and division by a row's length.

Exporters spell these in many ways, and each is one function. So a chain of nodes is tried on rows that tell the known
functions apart, and parameters of a LayerNorm are read off its answers.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from accelsim.importers.onnx_values import Array, Formula
from accelsim.model.elementwise import ACTIVATIONS, normalise, softmax

TOLERANCE = 1e-5
"""Formats and constants of exporters differ in the last digits; the two forms of gelu by 4.7e-4."""
FAR = 1e6
"""Standard deviation of rows beside which what a LayerNorm adds to the variance vanishes."""


@dataclass(frozen=True)
class Recognised:
    """A step of the workload that a formula is."""

    op: str
    """norm, softmax, normalise, or an activation."""
    gain: Array | None = None
    """[columns] of a norm."""
    bias: Array | None = None
    """[columns] of a norm."""
    epsilon: float = 0.0
    """What a norm adds to the variance."""


def recognise(formula: Formula) -> Recognised | None:
    """What a formula is; None when it is nothing known.

    Elementwise functions are compared on 241 numbers from -6 to 6; functions of rows on random rows of the source's
    width, scaled from 0.01 to 10.
    """
    if formula.reduced:
        return None
    with np.errstate(all="ignore"):
        if formula.elementwise:
            return _activation(formula)
        return _row_function(formula)


def _activation(formula: Formula) -> Recognised | None:
    points = np.linspace(-6, 6, 241)[:, None]
    found = np.asarray(formula.apply(points), np.float64)
    for name, function in ACTIVATIONS.items():
        if _close(found, function(points)):
            return Recognised(name)
    return None


def _row_function(formula: Formula) -> Recognised | None:
    columns = formula.source.shape[-1]
    if columns < 2:
        return None
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((4, columns)) * np.asarray([[0.01], [0.3], [1.0], [10.0]]) + 0.5
    found = np.asarray(formula.apply(rows), np.float64)
    if found.shape != rows.shape or not np.isfinite(found).all():
        return None
    for name, function in (("softmax", softmax), ("normalise", normalise)):
        if _close(found, function(rows)):
            return Recognised(name)
    norm = _norm(formula, generator)
    if norm is None or norm.gain is None or norm.bias is None:
        return None
    centred = rows - rows.mean(axis=1, keepdims=True)
    expected = centred / np.sqrt(rows.var(axis=1, keepdims=True) + norm.epsilon) * norm.gain + norm.bias
    size = max(1.0, float(np.abs(expected).max()))
    return norm if np.allclose(found, expected, rtol=0, atol=1e-4 * size) else None


def _norm(formula: Formula, generator: np.random.Generator) -> Recognised | None:
    """Gain, bias and epsilon that a formula must have if it is a LayerNorm.

    For a row u of mean 0 and variance 1 it puts out gain t u / sqrt(t^2 + epsilon) + bias at t u: answers at large t
    give gain and bias, the share that is left of them at small t gives epsilon.
    """
    unit = np.sign(generator.standard_normal(formula.source.shape[-1]))
    unit[: len(unit) // 2 * 2 : 2], unit[1::2] = 1.0, -1.0
    unit = (unit - unit.mean()) / unit.std()
    answers = np.asarray(formula.apply(np.stack([unit, -unit]) * FAR), np.float64)
    gain, bias = (answers[0] - answers[1]) / 2 / unit, (answers[0] + answers[1]) / 2
    largest = int(np.argmax(np.abs(gain)))
    if not np.isfinite(answers).all() or gain[largest] == 0:
        return None
    for small in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2):
        left = np.asarray(formula.apply(unit[None] * small), np.float64)[0] - bias
        share = float(left[largest] / (gain[largest] * unit[largest]))
        if 0.05 < share < 0.999:
            return Recognised("norm", gain, bias, float(f"{small**2 * (1 / share**2 - 1):.6g}"))
    return None


def _close(found: Array, expected: Array) -> bool:
    return found.shape == expected.shape and bool(np.allclose(found, expected, rtol=0, atol=TOLERANCE))


ELEMENTWISE: dict[str, Callable[..., Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Max": np.maximum,
    "Min": np.minimum,
    "Sqrt": np.sqrt,
    "Reciprocal": lambda x: 1 / x,
    "Exp": np.exp,
    "Abs": np.abs,
    "Neg": np.negative,
    "Tanh": np.tanh,
    "Relu": lambda x: np.maximum(x, 0),
    "Erf": np.vectorize(math.erf, otypes=[np.float64]),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Gelu": ACTIVATIONS["gelu"],
}
"""Operators that are functions of every element."""

REDUCTIONS: dict[str, Callable[[Array], Array]] = {
    "ReduceMean": lambda x: x.mean(axis=-1, keepdims=True),
    "ReduceSum": lambda x: x.sum(axis=-1, keepdims=True),
    "ReduceMax": lambda x: x.max(axis=-1, keepdims=True),
    "ReduceSumSquare": lambda x: np.square(x).sum(axis=-1, keepdims=True),
    "ReduceL2": lambda x: np.sqrt(np.square(x).sum(axis=-1, keepdims=True)),
}
"""Operators that make one number of each row."""
