"""Q, K and V for a comparison: drawn from a seed in the shape of BERT-Base's heads, or a user's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import OperandError
from accelsim.machine.attention.accelerator import Operands
from accelsim.model.operand_files import read_arrays

PEAK, OFFSET, NOISE = 7.0, 1.5, 0.5
"""Of drawn operands: score, over sqrt(head_dim), that a query has with keys of its own kind beyond the others; score
that all keys of a query have in common; spread of the rest. Defaults: heads of trained encoders attend to neighbours,
to like tokens and to a common sink, and carry an offset that softmax does not see; how strongly is fitted to none."""

_TOPICS = 12
"""Kinds of tokens."""


@dataclass(frozen=True)
class LayerOperands:
    """Operands of consecutive layers, and what they are in words."""

    layers: tuple[Operands, ...]
    description: str

    @property
    def first(self) -> Operands:
        """Those of the first layer; all layers have their shape."""
        return self.layers[0]


def draw(sequence: int, *, heads: int = 12, head_dim: int = 64, layers: int = 1, seed: int = 0) -> LayerOperands:
    """Operands with the kinds of structure that heads of encoders have, in strengths that differ from head to head.

    A score is the sum of a part that falls with distance, a part for tokens of like kind, the pull of the first token
    (a sink), an offset that all keys of a query share, and noise.

    Raises
    ------
    OperandError
        For sizes below 1.
    """
    sizes = {"sequence": sequence, "heads": heads, "head_dim": head_dim, "layers": layers}
    for name, size in sizes.items():
        if size < 1:
            raise OperandError(f"{name} is {size}; allowed: 1 and more")
    drawn = []
    for layer in range(layers):
        generator = np.random.default_rng((seed, layer, sequence))
        parts = [_drawn_head(generator, sequence, head_dim) for _ in range(heads)]
        value = generator.standard_normal((heads, sequence, head_dim), dtype=np.float32)
        drawn.append(Operands(np.stack([q for q, _ in parts]), np.stack([k for _, k in parts]), value))
    return LayerOperands(
        tuple(drawn), f"drawn from seed {seed} with the structure of encoder heads; they stand for no trained model"
    )


def _drawn_head(
    generator: np.random.Generator, n: int, head_dim: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Q and K of one head: features of place and of kind side by side, turned so that all columns hold some of each."""
    near, alike = generator.dirichlet((1.0, 1.0))
    half = max(1, head_dim // 2)
    place = _place_features(n, half)
    kinds = generator.standard_normal((_TOPICS, max(1, head_dim - half)))
    kinds /= np.linalg.norm(kinds, axis=1, keepdims=True)
    kind = kinds[generator.integers(_TOPICS, size=n)]
    # A feature's square is the share of PEAK that like tokens gain; sqrt(head_dim) is what scores are divided by.
    strength = np.sqrt(PEAK * np.sqrt(head_dim))
    query = np.concatenate([np.sqrt(near) * place, np.sqrt(alike) * kind], axis=1)[:, :head_dim] * strength
    key = query.copy()
    common = generator.standard_normal(head_dim)
    common *= np.sqrt(OFFSET * np.sqrt(head_dim)) / np.linalg.norm(common)
    query += common
    key += common
    key[0] += common
    turn = np.linalg.qr(generator.standard_normal((head_dim, head_dim)))[0]
    noise = NOISE * generator.standard_normal((2, n, head_dim))
    return tuple(np.float32(part @ turn + rest) for part, rest in zip((query, key), noise, strict=True))  # type: ignore[return-value]


def _place_features(n: int, width: int) -> NDArray[np.float64]:
    """[n, width] of norm 1 whose products fall from 1 with distance, over some ten tokens."""
    waves = -(-width // 2)
    angles = np.arange(n)[:, None] * np.geomspace(0.02, 0.6, waves)
    features = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)[:, :width]
    unit: NDArray[np.float64] = features / np.linalg.norm(features, axis=1, keepdims=True)
    return unit


def read(path: str | Path) -> LayerOperands:
    """Q, K and V of a .npz, each [heads, sequence, head_dim] or [layers, heads, sequence, head_dim].

    Raises
    ------
    OperandError
        For a file that is no .npz, a missing or non-numeric array, shapes that differ or are empty, NaN or infinity.
    """
    arrays = read_arrays(path, ("Q", "K", "V"))
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    first = arrays["Q"].shape
    if any(array.shape != first for array in arrays.values()) or len(first) not in (3, 4) or 0 in first:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise OperandError(
            f"{path}: Q, K and V must be of one shape, [heads, sequence, head_dim] or "
            f"[layers, heads, sequence, head_dim], each size at least 1; found {listed}"
        )
    ready = {name: _finite(path, name, array) for name, array in arrays.items()}
    layers = tuple(Operands(*heads) for heads in zip(ready["Q"], ready["K"], ready["V"], strict=True))
    return LayerOperands(layers, f"Q, K and V of {Path(path).name}")


def _finite(path: str | Path, name: str, array: NDArray[np.generic]) -> NDArray[np.float32]:
    """As [layers, heads, n, head_dim] of float32."""
    numbers = np.ascontiguousarray(array, dtype=np.float32)
    unfit = ~np.isfinite(numbers)
    if unfit.any():
        index = [int(i) for i in np.unravel_index(int(np.argmax(unfit)), numbers.shape)]
        raise OperandError(f"{path}: {name}{index} is {numbers[tuple(index)]}; need finite numbers of float32")
    return numbers if numbers.ndim == 4 else numbers[None]


def rms_rel_error(outputs: Sequence[NDArray[Any]], exact: Sequence[NDArray[np.float64]]) -> float:
    """Root mean square of the difference over that of the exact output, over all layers."""
    pairs = zip(outputs, exact, strict=True)
    wrong = sum(float(np.square(output - wanted).sum()) for output, wanted in pairs)
    whole = sum(float(np.square(wanted).sum()) for wanted in exact)
    return float(np.sqrt(wrong / whole)) if whole else 0.0


_ROWS = 512
"""Queries whose scores are held at once."""


def exact_attention(operands: Operands) -> NDArray[np.float64]:
    """Softmax(Q K^T / sqrt(head_dim)) V in float64, [heads, n, head_dim]: what every unit is held against."""
    heads, n, head_dim = operands.query.shape
    output = np.empty((heads, n, head_dim))
    for head in range(heads):
        keys, values = operands.key[head].astype(np.float64), operands.value[head].astype(np.float64)
        for begin in range(0, n, _ROWS):
            rows = slice(begin, begin + _ROWS)
            scores = operands.query[head, rows].astype(np.float64) @ keys.T / np.sqrt(head_dim)
            scores -= scores.max(axis=1, keepdims=True)
            np.exp(scores, out=scores)
            output[head, rows] = scores @ values / scores.sum(axis=1, keepdims=True)
    return output
