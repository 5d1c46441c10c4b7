"""Guesses at the settings of a space, from whatever can tell something of them cheaply."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from accelsim.explore.sweep.axes import Scalar
from accelsim.explore.tune.guess import ClosedForm, Guess
from accelsim.explore.tune.judge import Judge
from accelsim.explore.tune.measures import Values, in_layers, values_of
from accelsim.explore.tune.spec import LOOKED_RUNS, LOOKS, Tune

_NOTHING = Guess(None)
_PIECE = 2_000
"""Settings that are looked at together."""


class Guesses:
    """What settings of a space are thought to take.

    Where the closed form of kernels can tell settings apart, it looks at each that is asked for, and where energy
    matters, runs by the closed form look at the most promising. Elsewhere such runs look at a sample of the space; a
    limit of accuracy leaves nothing to look at that would be cheap.

    Parameters
    ----------
    tune : Tune
    runs : Judge or None
        Runs by the closed form; None under a limit of accuracy.
    """

    def __init__(self, tune: Tune, runs: Judge | None) -> None:
        self._tune = tune
        self._runs = runs
        self._closed = ClosedForm.of(tune)
        self._known: dict[int, Guess] = {}
        self._times: dict[int, Values] = {}
        """Latency by the closed form of kernels."""
        self.looks = 0
        """Settings that the closed form of kernels looked at."""

    @property
    def runs(self) -> int:
        """Settings that whole runs by the closed form looked at."""
        return 0 if self._runs is None else len(self._runs.records)

    @property
    def comparable(self) -> bool:
        """Whether every guess is of the objectives themselves."""
        return self._closed is not None and self._tune.spec.objectives == ["latency_us"]

    def of(self, position: int) -> Guess:
        """The guess at a setting."""
        if position not in self._known and self._closed is not None:
            self._look([position])
        return self._known.get(position, _NOTHING)

    def ranked(self, count: int, told: Callable[[int, int], None] | None = None) -> list[int]:
        """The most promising settings; drawn at random where nothing can tell.

        Parameters
        ----------
        count : int
        told : callable, optional
            Told how many settings have been looked at, and how many will be.
        """
        spec = self._tune.spec
        if self._closed is None and self._runs is None:
            return self._sample(count)
        if self._closed is None:
            return self._by_runs(self._sample(spec.estimates or LOOKED_RUNS), count, told)
        sample = self._sample(spec.estimates or LOOKS)
        for begin in range(0, len(sample), _PIECE):
            self._look(sample[begin : begin + _PIECE])
            if told is not None:
                told(min(begin + _PIECE, len(sample)), len(sample))
        if self.comparable or self._runs is None:
            return in_layers(self._times, count)
        fast = in_layers(self._times, LOOKED_RUNS // 2)
        able = sorted(set(self._times) - set(fast))
        drawn = self._draw(len(able), LOOKED_RUNS - len(fast))
        return self._by_runs([*fast, *(able[index] for index in drawn)], count, told)

    def best(self, without: Callable[[int], bool]) -> int | None:
        """The most promising setting but for some, of those that were guessed at; None where none is left."""
        values = {position: guess.values for position, guess in self._known.items() if guess.values is not None}
        order = sorted(values.items(), key=lambda item: (item[1], item[0]))
        return next((position for position, _ in order if not without(position)), None)

    def _look(self, positions: Sequence[int]) -> None:
        assert self._closed is not None
        at: list[dict[str, Scalar]] = [self._tune.sweep.at(position) for position in positions]
        for position, guess in zip(positions, self._closed.look(at), strict=True):
            if guess.values is not None:
                self._times[position] = guess.values
            self._known[position] = guess if self.comparable else replace(guess, values=None)
        self.looks += len(positions)

    def _by_runs(self, positions: Sequence[int], count: int, told: Callable[[int, int], None] | None) -> list[int]:
        assert self._runs is not None
        tell = None if told is None else (lambda done: told(done, len(positions)))
        self._runs.judge(positions, tell)
        values: dict[int, Values] = {}
        for position in positions:
            record = self._runs.records[position]
            own = values_of(record, self._tune.spec.objectives)
            bound = self._known.get(position, _NOTHING).bound_us
            self._known[position] = Guess(own, bound, None if record["error"] is None else str(record["error"]))
            if own is not None:
                values[position] = own
        return in_layers(values, count)

    def _sample(self, count: int) -> list[int]:
        """So many positions of the space in order, or all of it."""
        size = len(self._tune.sweep)
        return list(range(size)) if size <= count else sorted(self._draw(size, count))

    def _draw(self, size: int, count: int) -> list[int]:
        """So many different numbers below `size`, by the search's seed."""
        draws = np.random.default_rng(self._tune.spec.seed)
        if size <= 4 * count:
            return [int(index) for index in draws.permutation(size)[:count]]
        found: dict[int, None] = {}
        while len(found) < count:
            found |= dict.fromkeys(int(index) for index in draws.integers(size, size=count - len(found)))
        return list(found)
