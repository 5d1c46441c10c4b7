"""HDP that writes down, head by head, what it decided and by which numbers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.config.options import Hdp
from accelsim.explore.accuracy.blocks import HdpMethod, exact_scores, means_of
from accelsim.explore.accuracy.forward import Attended, AttentionCall, BoolArray, FloatArray, IntArray
from accelsim.kernels.hdp import HdpValues, fixed_point_attention, hdp_attention
from accelsim.kernels.hdp_decision import kept_of_row
from accelsim.kernels.hdp_guard import row_thresholds

HeadOf = tuple[int, int]
"""Layer and head."""


@dataclass(frozen=True)
class HeadRecord:
    """What HDP decided in one head of one input."""

    layer: int
    head: int
    scores: FloatArray
    """[n, n] exact scores, q k / sqrt(head_dim)."""
    importance: IntArray
    """[nb, nb] of each block."""
    thresholds: NDArray[np.float64]
    """[nb] importance from which the blocks of a row stay; of top-k the least that was kept."""
    block_kept: BoolArray
    """[nb, nb]; all False in a pruned head."""
    kept: bool
    guarded: bool
    """Whether the guard made it keep everything."""
    head_importance: float
    head_threshold: float
    output_change: float
    """Root mean square of what pruning changed in its output, over that of its dense output."""


class Recorder(HdpMethod):
    """HDP with a record of each head of one input; some heads may be spared.

    Parameters
    ----------
    options : Hdp
    item : int
        Which input of the batch is written down.
    spared : iterable of (layer, head)
        Heads that attend to everything, whatever HDP decides.
    """

    def __init__(self, options: Hdp, item: int, spared: Iterable[HeadOf] = ()) -> None:
        super().__init__(options)
        self.item = item
        self.spared = frozenset(spared)
        self.records: list[HeadRecord] = []

    def begin(self) -> None:
        """Forget an earlier pass."""
        self.records = []

    def attend(self, call: AttentionCall) -> Attended:
        """Decide, attend and write down."""
        found = hdp_attention(
            call.query,
            call.key,
            call.value,
            **self.options.switches(call.layer) | {"keep_importance": True},
            key_means=means_of(self.options, call),
        )
        dense = _dense(call, self.options)
        spared = np.asarray([(call.layer, row % call.heads) in self.spared for row in range(len(dense))])
        if self.item in call.inputs:
            first = int(np.flatnonzero(call.inputs == self.item)[0]) * call.heads
            self._write(call, slice(first, first + call.heads), found, dense)
        return Attended(
            np.where(spared[:, None, None], dense, found.output),
            np.where(spared, call.length**2, found.counts.kept_elements),
            found.head_kept | spared,
        )

    def _write(self, call: AttentionCall, rows: slice, found: HdpValues, dense: FloatArray) -> None:
        """A record for each head of the input whose heads are these rows."""
        switches = self.options.switches(call.layer)
        scores = np.concatenate([some for _, some in exact_scores(call)])[rows]
        assert found.importance is not None
        for head, row in enumerate(range(rows.start, rows.stop)):
            theta, kept = found.importance[row], found.block_kept[row]
            guarded = found.guarded is not None and bool(found.guarded[row])
            self.records.append(
                HeadRecord(
                    layer=call.layer,
                    head=head,
                    scores=scores[head],
                    importance=theta,
                    thresholds=_thresholds(theta, switches),
                    block_kept=kept,
                    kept=bool(found.head_kept[row]),
                    guarded=guarded,
                    head_importance=float(found.head_importance[row])
                    * (1 if switches["tau_normalised"] else theta.size),
                    head_threshold=float(switches["tau_h"]),
                    output_change=_change(found.output[row], dense[row]),
                )
            )


def _dense(call: AttentionCall, options: Hdp) -> FloatArray:
    """Output with everything kept, in the same number format."""
    names = ("integer_bits", "fraction_bits", "scale", "exponential")
    switches = options.switches(call.layer)
    return fixed_point_attention(call.query, call.key, call.value, **{name: switches[name] for name in names})[0]


def _thresholds(theta: IntArray, switches: dict[str, Any]) -> NDArray[np.float64]:
    """Threshold of each block row."""
    if switches["selection"] == "threshold":
        return row_thresholds(theta, switches["rho_b"])
    keep = kept_of_row(len(theta), switches["top_k_ratio"])
    least: NDArray[np.float64] = np.sort(theta, axis=1)[:, -keep].astype(np.float64)
    return least


def _change(output: FloatArray, dense: FloatArray) -> float:
    size = float(np.square(dense, dtype=np.float64).mean())
    difference = float(np.square(output - dense, dtype=np.float64).mean())
    return float(np.sqrt(difference / size)) if size else 0.0
