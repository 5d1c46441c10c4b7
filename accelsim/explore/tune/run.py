"""Tuning: search, check what was found, write it down."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from accelsim.config.loader import load_config
from accelsim.errors import ConfigError, UserError
from accelsim.explore.sweep import make_point
from accelsim.explore.sweep.workers import Workers, workers_of
from accelsim.explore.tune.accuracy import OnData
from accelsim.explore.tune.guesses import Guesses
from accelsim.explore.tune.judge import ESTIMATES, EVALUATIONS, Evaluate, Judge, in_process, refuse_others
from accelsim.explore.tune.measures import excess, measure
from accelsim.explore.tune.result import FILES, Tuned, judge_of_all
from accelsim.explore.tune.search import REFERENCE, REST, Search, Trial
from accelsim.explore.tune.spec import Tune
from accelsim.explore.tune.written import best_command, best_yaml

MOST_EXHAUSTIVE = 100_000
"""Settings that a search through all may have."""

_NAMED = ("hardware", "workload")


@dataclass(frozen=True)
class Told:
    """Who is told of a search while it runs."""

    looked: Callable[[int, int], None] | None = None
    """Settings that were guessed at, and how many will be."""
    judged: Callable[[int, int], None] | None = None
    """Settings that were judged, and how many may be."""
    better: Callable[[Trial], None] | None = None
    """Each setting that is better than all before."""


def tune(
    wanted: Tune,
    out: str | Path | None = None,
    *,
    exhaustive: bool = False,
    workers: int = 1,
    evaluate: Evaluate | None = None,
    told: Told = Told(),
    draw: Callable[[Tuned], Mapping[str, bytes]] | None = None,
) -> Tuned:
    """Search a space of settings for the best ones.

    Parameters
    ----------
    wanted : Tune
        From `read_tune` or `make_tune`.
    out : str or Path, optional
        Folder in which each judged setting is recorded at once, and the outcome written at the end. What an earlier
        call recorded there is not run again, so that the same call goes on where one was stopped.
    exhaustive : bool
        Judge all other settings as well after the search, and tell how far from their best it ended.
    workers : int
        Processes that judge settings. With one the search is the same each time; so it is with each other number, but
        another one.
    evaluate : callable, optional
        From a point to its record, in place of a run.
    told : Told
    draw : callable, optional
        From the outcome to figures by file name, to be kept in `out`.

    Returns
    -------
    Tuned

    Raises
    ------
    UserError
        When no setting can run, or none keeps the limits: the message says what came nearest.
    ResultError
        When the folder holds another study or something else, is in use, is damaged or cannot be written.
    ConfigError
        When Optuna is not installed, or the space is too large for a search through all.
    """
    if exhaustive and len(wanted.sweep) > MOST_EXHAUSTIVE:
        raise ConfigError(
            f"a search through all is for at most {MOST_EXHAUSTIVE} settings, and the space has {len(wanted.sweep)}; "
            "give fewer values, or leave --exhaustive out"
        )
    folder = None if out is None else Path(out)
    if folder is not None:
        refuse_others(folder, [*FILES, *(f".{name}.tmp" for name in FILES)])
    on_data = OnData(wanted, wanted.spec.split) if wanted.judged_by_accuracy and evaluate is None else None
    if on_data is not None:
        evaluate = on_data.evaluate
    team = in_process() if on_data is not None else workers_of(None, workers, None)
    now = True
    try:
        search, guesses = _searched(wanted, folder, team, evaluate, told, exhaustive)
        now = False
    finally:
        team.close(now)
    found = _outcome(wanted, search, guesses, exhaustive, on_data)
    if folder is not None:
        _write(found, folder, draw)
    return found


def _searched(
    wanted: Tune, folder: Path | None, team: Workers, evaluate: Evaluate | None, told: Told, exhaustive: bool
) -> tuple[Search, Guesses]:
    judge = Judge(wanted, _below(folder, EVALUATIONS), wanted.spec.engine, team, evaluate)
    runs: Judge | None = None
    try:
        if evaluate is None:
            runs = Judge(wanted, _below(folder, ESTIMATES), "estimate", team)
        guesses = Guesses(wanted, runs)
        search = Search(wanted, judge, guesses, team.count(), told.judged, told.better)
        search.run(told.looked)
        if exhaustive:
            search.rest()
    finally:
        judge.close()
        if runs is not None:
            runs.close()
    return search, guesses


def _below(folder: Path | None, name: str) -> Path | None:
    return None if folder is None else folder / name


def _outcome(wanted: Tune, search: Search, guesses: Guesses, exhaustive: bool, on_data: OnData | None) -> Tuned:
    reference, *trials = search.trials
    best = search.best([trial for trial in trials if trial.by != REST])
    if not best:
        raise UserError(_nothing(wanted, trials))
    taken = {name: best[0].record[name] if name in wanted.axes else getattr(wanted.spec, name) for name in _NAMED}
    config = load_config(*(wanted.sweep.located(str(name)) for name in taken.values()))
    found = Tuned(
        tune=wanted,
        machine=config.hardware.name,
        workload=config.workload.name,
        reference=reference,
        trials=tuple(trials),
        best=tuple(best),
        looks=guesses.looks,
        estimate_runs=guesses.runs,
        hopeless=len(search.hopeless),
        impossible=len(search.impossible),
        command="",
        checked=_checked(wanted, best, on_data),
    )
    command = best_command(wanted, found.settings(best[0]))
    exhausted = judge_of_all(best, search.trials, search.best(trials)) if exhaustive else None
    return replace(found, command=command, exhausted=exhausted, notes=_notes(found))


def _checked(wanted: Tune, best: list[Trial], on_data: OnData | None) -> tuple[dict[str, object], ...]:
    """How the best settings do on the split that they were not chosen on."""
    if on_data is None or wanted.spec.test_split is None:
        return ()
    test = OnData(wanted, wanted.spec.test_split)
    return tuple(test.check(make_point(wanted.sweep, wanted.sweep.at(trial.position))) for trial in best)


def _nothing(wanted: Tune, trials: list[Trial]) -> str:
    """Why there is no best setting: nothing ran, or what came nearest to the limits."""
    failed = next((str(trial.record["error"]) for trial in trials if trial.record["error"]), "nothing was proposed")
    ran = [trial for trial in trials if trial.values is not None]
    small = [trial.record for trial in trials if "memory_mib" in trial.record]
    limits = wanted.spec.limits
    if not ran and small and limits.memory_mib is not None:
        least = min(small, key=lambda record: float(str(record["memory_mib"])))
        where = ", ".join(f"{axis}={least[axis]}" for axis in wanted.axes)
        return (
            f"no setting needs at most limits.memory_mib = {limits.memory_mib:g}; nearest comes "
            f"{float(str(least['memory_mib'])):.4g} ({where})"
        )
    if not ran:
        return f"none of the {len(trials)} settings that were tried can run; the first: {failed}"
    nearest = min(ran, key=lambda trial: max(excess(trial.record, limits).values()))
    over = [
        f"{name} {measure(nearest.record, name):.4g} of {limits.given()[name]:g}"
        for name, above in excess(nearest.record, limits).items()
        if above > 0
    ]
    where = ", ".join(f"{axis}={nearest.record[axis]}" for axis in wanted.axes)
    return f"none of the {len(ran)} settings that ran keeps the limits; nearest comes {where}: {', '.join(over)}"


def _notes(found: Tuned) -> tuple[str, ...]:
    notes = []
    gain = found.gain(found.best[0])
    first = found.objectives[0]
    if gain is not None and gain[first] < 1 and len(found.objectives) == 1:
        notes.append(
            f"Nothing that was tried is better than the run without settings: the best has {1 / gain[first]:.3f} times "
            f"its {first}."
        )
    if found.reference.by == REFERENCE and found.reference.values is None:
        notes.append(f"The run without settings fails: {found.reference.record['error']}")
    return tuple(notes)


def _write(found: Tuned, folder: Path, draw: Callable[[Tuned], Mapping[str, bytes]] | None) -> None:
    best = found.best[0]
    least = ", ".join(found.objectives)
    source = (
        f"accelsim tune: least {least} on {found.machine} of {found.evaluations} settings judged by "
        f"{found.tune.spec.engine}, seed {found.tune.spec.seed}"
    )
    command = best_command(found.tune, found.settings(best), str(folder / "best.yaml"))
    text = best_yaml(found.tune, found.settings(best), folder, source, command)
    found.save(folder, text, draw(found) if draw is not None else {})
