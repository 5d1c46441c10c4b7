"""Optuna as a proposer of settings: it is asked for places in the space, and told what came of them."""

import hashlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from accelsim.errors import ConfigError
from accelsim.explore.tune.measures import Values
from accelsim.explore.tune.spec import Tune

_STARTUP = 8
"""Told settings from which proposals follow a model; before, they are drawn evenly."""

_LIMITS = "limits"
"""Attribute of a trial that holds by how much it is above each limit."""


class Sampler:
    """Tree-structured Parzen estimators over the axes of a space.

    Axes of numbers in order are told apart by their order, others by name alone. What the n-th proposal is depends on
    the seed, on n, and on what was told before, so that a search which is begun again goes the same way.

    Parameters
    ----------
    tune : Tune

    Raises
    ------
    ConfigError
        When Optuna is not installed.
    """

    def __init__(self, tune: Tune) -> None:
        try:
            import optuna
        except ImportError:
            raise ConfigError("accelsim tune needs Optuna: pip install accelsim[tune]") from None
        self._optuna: Any = optuna
        self._tune = tune
        self._lengths = {axis: len(values) for axis, values in tune.sweep.values.items()}
        self._axes = {axis: self._distribution(axis) for axis, length in self._lengths.items() if length > 1}
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study: Any = optuna.create_study(directions=["minimize"] * len(tune.spec.objectives))
        self._asked = 0

    def _distribution(self, axis: str) -> Any:
        values = self._tune.sweep.values[axis]
        made = isinstance(self._tune.spec.space[axis], dict)
        if made or _in_order(values):
            return self._optuna.distributions.IntDistribution(0, len(values) - 1)
        return self._optuna.distributions.CategoricalDistribution(range(len(values)))

    def ask(self) -> tuple[Any, int]:
        """A trial, and the position in the space that it proposes."""
        digest = hashlib.sha256(f"{self._tune.spec.seed} {self._asked}".encode()).digest()
        self._asked += 1
        limits = self._tune.spec.limits.given()
        with _quiet():
            self._study.sampler = self._optuna.samplers.TPESampler(
                seed=int.from_bytes(digest[:4], "big"),
                n_startup_trials=_STARTUP,
                multivariate=True,
                constant_liar=True,
                constraints_func=(lambda trial: trial.user_attrs.get(_LIMITS, [0.0])) if limits else None,
            )
            trial = self._study.ask(self._axes)
        return trial, self._position(trial.params)

    def at(self, position: int) -> Any:
        """A trial for a position that somebody else proposes."""
        places = self._places(position)
        self._study.enqueue_trial({axis: places[axis] for axis in self._axes})
        return self.ask()[0]

    def judged(self, trial: Any, values: Values, over: Mapping[str, float]) -> None:
        """Tell what a setting takes, and by what share it is above each limit."""
        trial.set_user_attr(_LIMITS, list(over.values()) or [0.0])
        self._tell(trial, values=list(values))

    def given_up(self, trial: Any, guess: Values | None) -> None:
        """Tell that a setting was left alone as hopeless, or cannot run, with what it was guessed to take."""
        trial.set_user_attr(_LIMITS, [0.0])
        if guess is not None and len(guess) == 1 and math.isfinite(guess[0]):
            trial.report(guess[0], step=0)
        self._tell(trial, state=self._optuna.trial.TrialState.PRUNED)

    def known(self, trial: Any) -> None:
        """Tell that a proposal had been made before; it teaches nothing."""
        self._tell(trial, state=self._optuna.trial.TrialState.FAIL)

    def _tell(self, trial: Any, **outcome: Any) -> None:
        with _quiet():
            self._study.tell(trial, **outcome)

    def _position(self, places: Mapping[str, int]) -> int:
        position = 0
        for axis, length in self._lengths.items():
            position = position * length + int(places.get(axis, 0))
        return position

    def _places(self, position: int) -> dict[str, int]:
        places: dict[str, int] = {}
        for axis, length in reversed(self._lengths.items()):
            position, places[axis] = divmod(position, length)
        return places


def _in_order(values: Sequence[object]) -> bool:
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return len(numbers) == len(values) and numbers in (sorted(numbers), sorted(numbers, reverse=True))


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna warns of each option that it calls experimental, and of trials without constraints."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
