"""From a measured table and machines to a validation."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from accelsim.config.hardware import Gpu
from accelsim.config.loader import load_config
from accelsim.config.workload import GemmWorkload
from accelsim.errors import UserError
from accelsim.validate.attention_rows import HALVES
from accelsim.validate.halves import is_held_out
from accelsim.validate.mechanisms import Switches, mechanisms
from accelsim.validate.predict import Defaults, ValidationEngine, predict
from accelsim.validate.report import Validation, counted_conditions, frame_of
from accelsim.validate.rows import MeasuredRow, read_rows

_SETTABLE = ("hardware", "mapping", "workload.caches", "workload.launch")
"""What overrides may change: all else stands in the rows."""


def validate(
    measured: str | Path,
    hardware: Sequence[str],
    *,
    engine: ValidationEngine = "estimate",
    gpus: Sequence[str] = (),
    sets: Sequence[str] = (),
    without: Sequence[str] = (),
) -> Validation:
    """Predict every row of a measured table that belongs to the machines, and say how far predictions are off.

    Parameters
    ----------
    measured : str or path-like
        CSV (see `accelsim.validate.rows.read_rows`).
    hardware : sequence of str
        Names or paths of GPUs or systems, each at most once; one alone will do, as for `gpus` and `without`.
    engine : str
        estimate (closed form) or events.
    gpus : sequence of str
        For each machine the GPU whose rows it stands for, as the table names it. Left out, rows whose gpu is the
        machine's name or one of its `measured_as`; or all rows, where there is one machine and the table has one GPU.
    sets : sequence of str
        ``path=value`` texts, as for `accelsim.run`: ``hardware.*`` and ``mapping.*`` hold for all rows,
        ``workload.caches.*`` and ``workload.launch`` for those that do not tell.
    without : sequence of str
        Names of mechanisms that are switched off for all rows (`accelsim.validate.mechanisms.MECHANISMS`).

    Returns
    -------
    Validation

    Raises
    ------
    UserError
        When the table is unfit (with the row), no row belongs to a machine, a mechanism does not exist, or a field of
        `sets` has no part in a validation.
    """
    hardware, gpus, without = map(_listed, (hardware, gpus, without))
    switches = Switches(mechanisms(without))
    _check_sets(sets)
    rows = read_rows(measured)
    if not hardware:
        raise UserError("name at least one machine")
    if gpus and len(gpus) != len(hardware):
        raise UserError(
            f"{len(hardware)} machines but {len(gpus)} GPUs of the table; give one for each machine or none"
        )
    frames, used, told = [], [], []
    remarks = [f"Without {mechanism.name}: {mechanism.instead}." for mechanism in switches.switched_off]
    names: set[str] = set()
    for index, name in enumerate(hardware):
        workload = GemmWorkload(kind="gemm", name="validation", m=1, n=1, k=1)
        config = load_config(name, workload, sets=sets)
        system = config.hardware
        if system.name in names:
            raise UserError(f"machine {system.name} is given twice")
        names.add(system.name)
        chosen = rows_of(rows, system.gpu, gpus[index] if gpus else None, len(hardware) == 1, measured)
        if not gpus and not _known_as(chosen[0].gpu, system.gpu):
            remarks.append(
                f"The table's only GPU is {chosen[0].gpu}, not a name of {system.name}; its rows were taken."
            )
        defaults = Defaults(config.mapping, config.workload.caches, config.workload.launch)
        try:
            predictions = predict(chosen, system.gpu, engine, defaults=defaults, switches=switches)
        except UserError as error:
            raise UserError(f"{measured}, {error}") from None
        halves = [HALVES[is_held_out(row)] for row in chosen] if any(row.is_attention for row in rows) else None
        frames.append(frame_of(chosen, predictions, system.gpu, system.name, halves))
        used += chosen
        told += [row for row, prediction in zip(chosen, predictions, strict=True) if not prediction.reason]
    taken = {row.row for row in used}
    left_out = Counter(row.gpu for row in rows if row.row not in taken)
    frame = pd.concat(frames, ignore_index=True)
    return Validation(engine, frame, *counted_conditions(told), dict(sorted(left_out.items())), tuple(remarks))


def _listed(texts: Sequence[str]) -> Sequence[str]:
    """One text alone stands for a list of it, and not for its letters."""
    return (texts,) if isinstance(texts, str) else texts


def _check_sets(sets: Sequence[str]) -> None:
    """Refuse overrides that would change nothing, since rows tell sizes and formats."""
    for text in [] if isinstance(sets, str) else sets:  # load_config says that it wants a list
        path = text.partition("=")[0].strip()
        if not any(path == part or path.startswith(f"{part}.") for part in _SETTABLE):
            raise UserError(f"--set {text}: has no part in a validation; allowed: {', '.join(_SETTABLE)}")


def rows_of(
    rows: list[MeasuredRow], gpu: Gpu, wanted: str | None, alone: bool, measured: str | Path
) -> list[MeasuredRow]:
    """Rows that a machine stands for."""
    present = list(dict.fromkeys(row.gpu for row in rows))
    if wanted is None and alone and len(present) == 1:
        return rows
    if wanted is None:
        chosen = [row for row in rows if _known_as(row.gpu, gpu)]
    else:
        chosen = [row for row in rows if _spelling(row.gpu) == _spelling(wanted)]
    if not chosen:
        known = wanted or " or ".join([gpu.name, *gpu.measured_as])
        raise UserError(f"{measured}: no row of {known}; it has {', '.join(present)}: name one with --gpu")
    return chosen


def _known_as(name: str, gpu: Gpu) -> bool:
    """Whether a table's name is one of a GPU's."""
    return _spelling(name) in {_spelling(known) for known in (gpu.name, *gpu.measured_as)}


def _spelling(name: str) -> str:
    """A GPU's name without case and punctuation."""
    return "".join(letter for letter in name.lower() if letter.isalnum())
