"""
Row thresholds for each of two attention layers, chosen on calibration images; needs no torch.

Many pairs of thresholds prune the same share of blocks. Of those, the pair is taken that changes margins least against
a dense network: an image's margin is the output at its label less the largest other one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from accelsim.config.options import Hdp
from accelsim.explore.accuracy.blocks import HdpMethod
from accelsim.explore.accuracy.forward import StudyModel, run_model
from accelsim.explore.accuracy.quality import Quality

HIGHEST = 0.999
STEPS = 12
NEAR = 0.002
"""A share this little above the wanted one is taken."""
OFFSETS = (-0.2, -0.1, -0.05, 0.05, 0.1)
"""Distances of the first layer's threshold from the one that both layers could share, which is tried too."""

Thresholds = float | list[float]


@dataclass(frozen=True)
class Found:
    """Options with thresholds, and what they do to the calibration images."""

    options: Hdp
    pruned: float
    """Share of blocks, over both layers."""
    wrong: int
    change: float
    """Mean absolute change of the margin over the mean margin of the dense network."""


class Chooser:
    """
    Chooses thresholds for one network.

    Parameters
    ----------
    model : StudyModel
        The network on its calibration images, with labels.
    reference : Quality
        Outputs of the dense network that margins are compared with: this network's own, or those of the network it was
        trained on from.
    """

    def __init__(self, model: StudyModel, reference: Quality) -> None:
        self.model, self.reference = model, reference

    def found(self, options: Hdp) -> Found:
        """Run one setting."""
        done = run_model(self.model, HdpMethod(options))
        change = self.reference.margin_change(done.output)
        assert change is not None
        wrong = int((self.reference.scores(done.output) == 0).sum())
        return Found(options, done.pairs_pruned, wrong, change)

    def shared(self, options: Hdp, share: float) -> Found:
        """
        One threshold for both layers that prunes at least a share of the blocks, and little more.

        Raises
        ------
        RuntimeError
            When none does.
        """
        found = self._halved(options, float, share)
        if found is None:
            raise RuntimeError(f"no row threshold prunes {share:.1%} of the blocks of {self.model.name}")
        return found

    def by_layer(self, options: Hdp, share: float) -> Found:
        """
        Thresholds of each layer that prune at least a share of the blocks, and change margins least.

        For some thresholds of the first layer the second's is solved; of equal changes the first tried is taken.

        Raises
        ------
        RuntimeError
            When none prunes as much.
        """
        shared = self.shared(options, share)
        middle = shared.options.rho_b
        assert isinstance(middle, float)
        firsts = [round(middle + offset, 4) for offset in OFFSETS]
        tried = [self._halved(options, partial(_pair, first), share) for first in firsts if -1 < first < 1]
        return min((found for found in (shared, *tried) if found is not None), key=lambda found: found.change)

    def _halved(self, options: Hdp, thresholds: Callable[[float], Thresholds], share: float) -> Found | None:
        """The setting of least share at or above the wanted one; None when the highest threshold prunes less."""
        low, high, best = -HIGHEST, HIGHEST, None
        for _ in range(STEPS):
            middle = round((low + high) / 2, 4)
            found = self.found(options.model_copy(update={"rho_b": thresholds(middle)}))
            if found.pruned < share:
                low = middle
                continue
            high, best = middle, found
            if found.pruned <= share + NEAR:
                break
        return best


def _pair(first: float, second: float) -> Thresholds:
    return [first, second]
