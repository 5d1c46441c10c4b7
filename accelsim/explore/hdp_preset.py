"""Choosing HDP's robust preset: the variant that loses least where it loses most, on calibration data.

What HDP's publications leave open decides how much pruning harms. Variants are compared at equal shares of pruned
blocks, by the error of the output of attention; of each variant the worst error on any model counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import OperandError
from accelsim.kernels.hdp import SplitOperands, attend, fixed_point_attention, split_operands
from accelsim.kernels.hdp_decision import decide
from accelsim.machine.attention.accelerator import Operands

VARIANTS: dict[str, dict[str, str]] = {
    f"{name}, {score}": {**switches, "pruned_score": score}
    for name, switches in {
        "centred": {"importance": "absolute", "center_keys": "dynamic"},
        "signed": {"importance": "signed", "center_keys": "none"},
        "signed and centred": {"importance": "signed", "center_keys": "dynamic"},
    }.items()
    for score in ("excluded", "zero_in_denominator")
}
"""Candidates."""
LITERAL = {"importance": "absolute", "center_keys": "none", "pruned_score": "excluded"}
"""The literal reading, shown beside them."""
BLOCK_RATIOS = (0.5, 0.7, 0.85)
"""Shares of blocks pruned at which variants are compared."""

_STEPS = 16


@dataclass(frozen=True)
class PresetChoice:
    """Losses of all variants, and the one chosen."""

    chosen: str
    losses: dict[str, dict[str, tuple[float, ...]]]
    """By variant (``literal`` first) and model: loss at each block ratio."""
    block_ratios: tuple[float, ...]

    def worst(self, variant: str, model: str) -> float:
        """Largest loss of a variant on a model over the block ratios."""
        return max(self.losses[variant][model])

    @property
    def switches(self) -> dict[str, str]:
        """What the chosen variant sets."""
        return VARIANTS[self.chosen]

    def table(self) -> str:
        """Worst losses as Markdown: a row for each variant, a column for each model."""
        models = list(next(iter(self.losses.values())))
        rows = [f"| variant | {' | '.join(models)} |", f"|---|{'---|' * len(models)}"]
        rows += [
            f"| {variant} | {' | '.join(f'{self.worst(variant, model):.3f}' for model in models)} |"
            for variant in self.losses
        ]
        return "\n".join(rows)


def choose_preset(
    models: Mapping[str, Sequence[Operands]],
    block_ratios: Sequence[float] = BLOCK_RATIOS,
    *,
    integer_bits: int = 4,
    fraction_bits: int = 12,
    scale: float = 1.0,
) -> PresetChoice:
    """Compare HDP's variants on calibration data and choose the one of least worst loss.

    Parameters
    ----------
    models : mapping of sequences of Operands
        By name: operands of each model's attention layers, of inputs that no result is told of. Padding is left out.
    block_ratios : sequence of float
        Shares of blocks pruned, 0 < ratio < 1. One row threshold for all layers of a model is solved for each.
    integer_bits, fraction_bits, scale
        Number format.

    Returns
    -------
    PresetChoice
        A loss is the root of the mean squared error of the output against dense attention in the same fixed point,
        over the root of the mean square of the latter.

    Raises
    ------
    OperandError
        Without models or layers, and for ratios out of range.
    """
    if not models or not all(models.values()):
        raise OperandError("choosing a preset needs operands of at least one layer of at least one model")
    if not block_ratios or not all(0 < ratio < 1 for ratio in block_ratios):
        raise OperandError(f"block_ratios are {list(block_ratios)}; allowed: 0 < ratio < 1, at least one")
    losses: dict[str, dict[str, tuple[float, ...]]] = {label: {} for label in ("literal", *VARIANTS)}
    for name, given in models.items():
        layers = [part for each in given for part in _of_one_length(each)]
        dense = [
            fixed_point_attention(
                each.query, each.key, each.value, integer_bits=integer_bits, fraction_bits=fraction_bits, scale=scale
            )[0]
            for each in layers
        ]
        for label, switches in {"literal": LITERAL, **VARIANTS}.items():
            parts = [
                split_operands(
                    each.query,
                    each.key,
                    each.value,
                    integer_bits=integer_bits,
                    fraction_bits=fraction_bits,
                    scale=scale,
                    center_keys=switches["center_keys"],
                )
                for each in layers
            ]
            losses[label][name] = tuple(_loss(parts, dense, switches, ratio) for ratio in block_ratios)
    chosen = min(VARIANTS, key=lambda label: max(max(each) for each in losses[label].values()))
    return PresetChoice(chosen, losses, tuple(block_ratios))


def _masks(parts: Sequence[SplitOperands], importance: str, rho_b: float) -> list[NDArray[np.bool_]]:
    return [
        decide(each.query_integer, each.key_integer, importance=importance, rho_b=rho_b).block_kept for each in parts
    ]


def _of_one_length(padded: Operands) -> list[Operands]:
    """Heads of sequences that are equally long together, cut to their tokens."""
    if padded.real_length is None:
        return [padded]
    parts = []
    for length in np.unique(padded.real_length).tolist():
        rows = np.flatnonzero(padded.real_length == length)
        query, key, value = (
            np.ascontiguousarray(each[rows, :length]) for each in (padded.query, padded.key, padded.value)
        )
        parts.append(Operands(query, key, value))
    return parts


def _pruned(masks: Sequence[NDArray[np.bool_]]) -> float:
    """Share of all blocks."""
    return 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.size for mask in masks)


def _loss(
    parts: Sequence[SplitOperands], dense: Sequence[NDArray[np.float32]], switches: Mapping[str, str], ratio: float
) -> float:
    """Error of the output at the row threshold that prunes this share of the blocks, or the nearest below it."""
    low, high = -1.0, 1.0
    kept = _masks(parts, switches["importance"], low)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        masks = _masks(parts, switches["importance"], middle)
        if _pruned(masks) <= ratio:
            low, kept = middle, masks
        else:
            high = middle
    error = total = 0.0
    for each, mask, whole in zip(parts, kept, dense, strict=True):
        output = attend(each, mask, np.ones(len(mask), dtype=np.bool_), pruned_score=switches["pruned_score"])
        error += float(np.square(output.astype(np.float64) - whole).sum())
        total += float(np.square(whole.astype(np.float64)).sum())
    return float(np.sqrt(error / total))
