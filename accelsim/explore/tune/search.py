"""The search: the best of the first guess, then proposals of the sampler, until as many were judged as may be.

Everything that is drawn follows from the seed and from what came out before, and what was judged is not judged again.
So a search that was stopped goes the same way when it is begun again, and passes what is recorded without a run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from accelsim.explore.sweep import Record
from accelsim.explore.tune.guesses import Guesses
from accelsim.explore.tune.judge import Judge
from accelsim.explore.tune.measures import Values, excess, front, holds, values_of
from accelsim.explore.tune.sampler import Sampler
from accelsim.explore.tune.spec import Tune

_PATIENCE = 12
"""Proposals of the sampler that may be of no use before the most promising setting is taken instead."""

_TRUST = 0.75
"""Of a guess, what a setting is expected to take at least, as long as none that was judged took less of its own."""

_FAILURES = 10
"""Settings that cannot run, for each that may be judged, after which a search ends."""

REFERENCE, FIRST, SAMPLER, GUESS, REST = "without settings", "first guess", "sampler", "closed form", "all others"
"""Who proposes a setting: nobody, since it is what runs without any; the order of guesses at the start; the sampler;
the order of guesses in turn with it; and whoever wants to know of all the others."""


@dataclass(frozen=True)
class Trial:
    """One setting that was judged."""

    position: int
    by: str
    record: Record
    values: Values | None
    """Of the objectives; None where it failed."""
    holds: bool
    """Whether it keeps all limits."""


@dataclass
class Search:
    """One search.

    Parameters
    ----------
    tune : Tune
    judge : Judge
    guesses : Guesses
    at_once : int
        Settings that are proposed, and judged, together.
    told : callable, optional
        Told the number of judged settings, and of those that may be.
    watch : callable, optional
        Told of each trial that is better than all before.
    """

    tune: Tune
    judge: Judge
    guesses: Guesses
    at_once: int = 1
    told: Callable[[int, int], None] | None = None
    watch: Callable[[Trial], None] | None = None
    trials: list[Trial] = field(default_factory=list, init=False)
    """Settings in the order in which they were judged, the one without settings first."""
    hopeless: set[int] = field(default_factory=set, init=False)
    """Settings that were proposed and left alone: the bound, or the guess at its best, says that they are beaten."""
    impossible: set[int] = field(default_factory=set, init=False)
    """Settings that were proposed and cannot run."""

    def run(self, looked: Callable[[int, int], None] | None = None) -> None:
        """Search until as many settings were judged as may be, or nothing is left that might be better.

        Parameters
        ----------
        looked : callable, optional
            Told how many settings were guessed at, and how many will be.
        """
        sampler = Sampler(self.tune)
        self._judge([self.tune.reference], [REFERENCE])
        first = self.guesses.ranked(min(self.tune.spec.first, self._left()), looked)
        self._judge(first, [FIRST] * len(first))
        for trial in self.trials[1:]:
            self._tell(sampler, sampler.at(trial.position), trial)
        turn = 0
        while self._left() > 0:
            proposed: list[tuple[Any, int, str]] = []
            for _ in range(min(self.at_once, self._left())):
                one = self._propose(sampler, turn, {position for _, position, _ in proposed})
                turn += 1
                if one is not None:
                    proposed.append(one)
            if not proposed:
                return
            trials = self._judge([position for _, position, _ in proposed], [by for *_, by in proposed])
            for (asked, _, _), trial in zip(proposed, trials, strict=True):
                self._tell(sampler, asked, trial)

    def rest(self) -> None:
        """Judge every setting that can run and was not judged."""
        judged = {trial.position for trial in self.trials}
        left = [at for at in range(len(self.tune.sweep)) if at not in judged and self.guesses.of(at).error is None]
        self._judge(left, [REST] * len(left), len(left))

    def _left(self) -> int:
        """Settings that may still be judged. Neither the one without settings nor what cannot run counts, but there is
        an end to the latter as well."""
        tried = self.trials[1:]
        ran = sum(trial.values is not None for trial in tried)
        return min(self.tune.spec.evaluations - ran, _FAILURES * self.tune.spec.evaluations - (len(tried) - ran))

    def _judge(self, positions: Sequence[int], by: Sequence[str], more: int | None = None) -> list[Trial]:
        before = max(0, len(self.trials) - 1)
        total = self.tune.spec.evaluations if more is None else before + more
        tell = None if self.told is None else (lambda done: self.told(before + done, total))  # type: ignore[misc]
        self.judge.judge(positions, tell)
        own = [self._trial(position, who) for position, who in zip(positions, by, strict=True)]
        for trial in own:
            better = trial.holds and not any(_covers(other, trial) for other in self.trials)
            self.trials.append(trial)
            if better and self.watch is not None:
                self.watch(trial)
        return own

    def _trial(self, position: int, by: str) -> Trial:
        record = self.judge.records[position]
        values = values_of(record, self.tune.spec.objectives)
        return Trial(position, by, record, values, values is not None and holds(record, self.tune.spec.limits))

    def _tell(self, sampler: Sampler, asked: Any, trial: Trial) -> None:
        if trial.values is None:
            sampler.given_up(asked, None)
        else:
            sampler.judged(asked, trial.values, excess(trial.record, self.tune.spec.limits))

    def _propose(self, sampler: Sampler, turn: int, taken: set[int]) -> tuple[Any, int, str] | None:
        """A setting that is worth judging; every other one is the most promising by the guesses that is left.

        None where all that might be better has been judged.
        """
        judged = {trial.position for trial in self.trials} | taken
        beaten = self._beaten()
        if turn % 2 and self.guesses.comparable:
            best = self.guesses.best(lambda at: at in judged or beaten(at))
            if best is not None:
                return sampler.at(best), best, GUESS
        for _ in range(_PATIENCE):
            asked, position = sampler.ask()
            guess = self.guesses.of(position)
            if position in judged:
                sampler.known(asked)
            elif guess.error is not None:
                self.impossible.add(position)
                sampler.given_up(asked, None)
            elif beaten(position):
                self.hopeless.add(position)
                sampler.given_up(asked, guess.values)
            else:
                return asked, position, SAMPLER
        best = self.guesses.best(lambda at: at in judged or beaten(at))
        if best is None:
            best = self._any(judged, beaten)
        return None if best is None else (sampler.at(best), best, GUESS)

    def _any(self, judged: set[int], beaten: Callable[[int], bool]) -> int | None:
        """The first setting that nothing is known of, in a space small enough to look."""
        if self.guesses.comparable or len(self.tune.sweep) > 100 * self.tune.spec.evaluations:
            return None
        left = (at for at in range(len(self.tune.sweep)) if at not in judged and self.guesses.of(at).error is None)
        return next((at for at in left if not beaten(at)), None)

    def _beaten(self) -> Callable[[int], bool]:
        """Whether a setting is beaten for certain by its bound, or in all likelihood by its guess.

        A guess is taken at its best: as far below it as any setting that was judged was below its own, and at least a
        quarter.
        """
        spec = self.tune.spec
        if spec.objectives != ["latency_us"]:
            return lambda at: _above(self.guesses.of(at).bound_us, spec.limits.latency_us)
        best = min((trial.values[0] for trial in self.trials if trial.holds and trial.values), default=float("inf"))
        optimism = _TRUST
        for trial in self.trials:
            guessed = self.guesses.of(trial.position).values if trial.by != REFERENCE else None
            if guessed is not None and trial.values is not None and self.guesses.comparable:
                optimism = min(optimism, trial.values[0] / guessed[0])

        def beaten(at: int) -> bool:
            guess = self.guesses.of(at)
            if guess.bound_us >= best or _above(guess.bound_us, spec.limits.latency_us):
                return True
            return self.guesses.comparable and guess.values is not None and optimism * guess.values[0] >= best

        return beaten

    def best(self, trials: Sequence[Trial] | None = None) -> list[Trial]:
        """Settings that keep all limits and that none beats; of equal ones the first. One, with one objective."""
        own = self.trials if trials is None else trials
        good = {index: trial.values for index, trial in enumerate(own) if trial.holds and trial.values is not None}
        return [own[index] for index in front(good)]


def _above(value: float, limit: float | None) -> bool:
    return limit is not None and value > limit


def _covers(one: Trial, other: Trial) -> bool:
    """Whether a trial leaves nothing that another does better."""
    if not one.holds or one.values is None or other.values is None:
        return False
    return all(mine <= theirs for mine, theirs in zip(one.values, other.values, strict=True))
