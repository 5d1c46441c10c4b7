"""Search for the setting that costs least among those that lose no more than a budget; greedy, and without chance.

Weights first: the sparsity of a pattern is raised step by step as far as the budget allows. HDP then starts from the
highest row threshold that all layers may share and moves one coordinate at a time, each layer's row threshold and head
threshold being one; steps are halved when none helps. Every setting that was tried counts, so the answer is never worse
than the best of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from accelsim.config.pattern_options import PATTERN_OPTIONS
from accelsim.config.scheme import SchemeName
from accelsim.errors import UserError
from accelsim.explore.budget.evaluate import DENSE, Evaluation, Inputs
from accelsim.explore.budget.settings import Setting

Objective = Literal["kept", "latency", "energy"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)
"""What is made small: the share of the network's multiply-accumulates that is still done, time, or energy."""

SPARSITIES = tuple(round(0.05 * step, 2) for step in range(1, 20))
GROUPS = ((3, 4), (2, 4), (1, 4), (1, 8), (1, 16))
"""n:m in order of sparsity."""
ROW_THRESHOLDS = (-0.999, -0.9, -0.75, *(round(0.05 * step, 2) for step in range(-10, 19)), 0.95)
HEAD_SHARES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6)
"""Of a layer's heads, over all inputs, that lie below the head thresholds tried."""
STEPS = (4, 2, 1)
"""By how many thresholds a coordinate moves at once."""
WEIGHTS_SHARE = 0.5
"""Of the budget that weights may use where HDP comes after them."""
_FAILURES = 2
"""Sparsities in a row that may be too much before higher ones are given up."""


@dataclass
class Search:
    """One search: what is allowed, what is made small, and what was tried.

    Parameters
    ----------
    inputs : Inputs
        The calibration split.
    budget : float
        Loss that is allowed (`accelsim.explore.budget.judge.Verdict`).
    objective : str
        One of `OBJECTIVES`.
    limit : int
        Settings that may be evaluated.
    progress : callable, optional
        Told after each setting how many were evaluated, and the limit.
    """

    inputs: Inputs
    budget: float
    objective: Objective = "kept"
    limit: int = 200
    progress: Callable[[int, int], None] | None = None
    tried: list[Evaluation] = field(default_factory=list)

    def cost(self, evaluation: Evaluation) -> float:
        """What is made small."""
        if self.objective == "kept":
            return evaluation.kept
        cost = evaluation.latency_us if self.objective == "latency" else evaluation.energy_uj
        assert cost is not None
        return cost

    def allowed(self, evaluation: Evaluation, share: float = 1.0) -> bool:
        """Whether it loses no more than so much of the budget; 1e-9 forgives rounding."""
        return evaluation.verdict.loss <= share * self.budget + 1e-9

    @property
    def exhausted(self) -> bool:
        """Whether as many settings as may be were evaluated."""
        return self.inputs.evaluations >= self.limit

    def evaluate(self, setting: Setting) -> Evaluation:
        """Evaluate and note a setting."""
        found = self.inputs.evaluate(setting, costs=self.objective != "kept")
        if found not in self.tried:
            self.tried.append(found)
        if self.progress is not None:
            self.progress(min(self.inputs.evaluations, self.limit), self.limit)
        return found

    def best(self, found: Sequence[Evaluation], share: float = 1.0) -> Evaluation | None:
        """The allowed one of least cost, of equals the one of least loss, of equals the first; None without any."""
        allowed = [one for one in found if self.allowed(one, share)]
        return min(allowed, key=lambda one: (self.cost(one), one.verdict.loss), default=None)

    def scheme(self, scheme: SchemeName) -> Evaluation | None:
        """The best allowed setting of a scheme; None when every one loses too much.

        Raises
        ------
        UserError
            When there is nothing to search for in the scheme, or HDP selects by a fixed number.
        """
        weights, _, attention = scheme.partition("+")
        start = Setting(scheme)
        if weights in PATTERN_OPTIONS:
            pattern = self.weights(Setting(weights), weights, WEIGHTS_SHARE if attention else 1.0)  # type: ignore[arg-type]
            if pattern is None:
                return None
            if not attention:
                return pattern
            start = Setting(scheme, pattern.setting.options)
        self.inputs.check(start)
        if "hdp" not in scheme:
            raise UserError(f"scheme {scheme} has nothing to calibrate; take one that prunes weights, hdp, or both")
        return self.thresholds(start)

    def weights(self, start: Setting, pattern: str, share: float) -> Evaluation | None:
        """The best sparsity of a pattern within a share of the budget.

        Sparsities rise by 0.05 until two in a row lose too much; the gap above the last that did not is halved twice.
        N:M has its groups instead.
        """
        found: list[Evaluation] = []
        failures = 0
        candidates = [start.changed(n_m__n=n, n_m__m=m) for n, m in GROUPS] if pattern == "n_m" else [
            start.changed(**{f"{pattern}__sparsity": sparsity}) for sparsity in SPARSITIES
        ]  # fmt: skip
        for candidate in self.inputs.runnable(candidates):
            if failures == _FAILURES or self.exhausted:
                break
            found.append(self.evaluate(candidate))
            failures = 0 if self.allowed(found[-1], share) else failures + 1
        if pattern != "n_m":
            found += self._refined(start, pattern, share, found)
        return self.best(found, share)

    def _refined(self, start: Setting, pattern: str, share: float, found: Sequence[Evaluation]) -> list[Evaluation]:
        key = f"{pattern}.sparsity"
        allowed = [float(dict(one.setting.options)[key]) for one in found if self.allowed(one, share)]
        low = max(allowed, default=0.0)
        high, finer = low + SPARSITIES[0], []
        for _ in range(2):
            middle = round((low + high) / 2, 4)
            if middle >= 1 or self.exhausted:
                break
            one = self.evaluate(start.changed(**{f"{pattern}__sparsity": middle}))
            finer.append(one)
            low, high = (middle, high) if self.allowed(one, share) else (low, middle)
        return finer

    def thresholds(self, start: Setting) -> Evaluation | None:
        """The best row and head thresholds of each layer, other options as in `start`.

        Raises
        ------
        UserError
            When HDP keeps a fixed number of blocks.
        """
        if self.inputs.config(start).hdp.selection != "threshold":
            raise UserError("calibrating finds hdp.rho_b and hdp.tau_h; set hdp.selection=threshold")
        layers = len(self.inputs.layers)
        ladders: list[Sequence[float]] = [ROW_THRESHOLDS] * layers
        first = self._uniform(start, layers)
        if first is None:
            return None
        ladders += self._head_ladders(start, layers)
        for begin in dict.fromkeys((first, max(0, first - 1))):
            if self.exhausted:
                break
            self._climb(start, [begin] * layers + [0] * layers, ladders)
        own = [one for one in self.tried if one.setting.scheme == start.scheme and _holds(one.setting, start)]
        return self.best(own)

    def _at(self, start: Setting, places: Sequence[int], ladders: Sequence[Sequence[float]]) -> Setting:
        values = tuple(ladder[place] for ladder, place in zip(ladders, places, strict=True))
        half = len(values) // 2
        return start.changed(hdp__rho_b=values[:half], hdp__tau_h=values[half:])

    def _uniform(self, start: Setting, layers: int) -> int | None:
        """Place of the highest row threshold that is allowed in all layers at once, by halving; None without any."""
        ladders: list[Sequence[float]] = [*[ROW_THRESHOLDS] * layers, *[(0.0,)] * layers]

        def fits(place: int) -> bool:
            return self.allowed(self.evaluate(self._at(start, [place] * layers + [0] * layers, ladders)))

        if not fits(0):
            return None
        low, high = 0, len(ROW_THRESHOLDS)
        while high - low > 1 and not self.exhausted:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return low

    def _head_ladders(self, start: Setting, layers: int) -> list[Sequence[float]]:
        """Head thresholds to try in each layer: 0, and what so many of its heads lie below on these inputs."""
        ladders: list[Sequence[float]] = [*[ROW_THRESHOLDS[:1]] * layers, *[(0.0,)] * layers]
        heads = self.evaluate(self._at(start, [0] * (2 * layers), ladders)).heads
        config = self.inputs.config(start)
        found: list[Sequence[float]] = []
        for name in self.inputs.layers:
            # Sums over blocks are compared where thresholds are not normalised; blocks are those of whole sequences.
            blocks = 1 if config.hdp.tau_normalised else _blocks(self.inputs, name)
            importance = heads[name] * blocks
            values = [float(f"{np.quantile(importance, share):.4g}") for share in HEAD_SHARES]
            found.append((0.0, *dict.fromkeys(value for value in values if value > 0)))
        return found

    def _climb(self, start: Setting, places: list[int], ladders: Sequence[Sequence[float]]) -> None:
        """Move one coordinate at a time to cheaper allowed settings, with ever smaller steps, until none helps."""
        here = self.evaluate(self._at(start, places, ladders))
        for step in STEPS:
            moved = True
            while moved:
                moved = False
                for coordinate, ladder in enumerate(ladders):
                    place = places[coordinate] + step
                    if place >= len(ladder) or self.exhausted:
                        continue
                    there = [*places[:coordinate], place, *places[coordinate + 1 :]]
                    found = self.evaluate(self._at(start, there, ladders))
                    if self.allowed(found) and self.cost(found) < self.cost(here):
                        places, here, moved = there, found, True


def _holds(setting: Setting, start: Setting) -> bool:
    """Whether a setting has all options of another."""
    return set(start.options) <= set(setting.options)


def _blocks(inputs: Inputs, name: str) -> int:
    sequence = next(op.sequence for op in inputs.network.operations if op.name == name)  # type: ignore[union-attr]
    return int(((sequence + 1) // 2) ** 2)


def choose(search: Search, schemes: Sequence[SchemeName]) -> Evaluation:
    """The best allowed setting of several schemes; the dense network where all of them lose too much."""
    found = [one for scheme in schemes if (one := search.scheme(scheme)) is not None]
    best = search.best(found)
    return search.evaluate(DENSE) if best is None else best
