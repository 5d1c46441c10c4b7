"""Points of a sweep: what each is, and its record."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from accelsim.config.loader import load_config
from accelsim.config.record import config_hash
from accelsim.config.scheme import RunConfig
from accelsim.errors import ConfigError, UserError
from accelsim.explore.sweep.axes import Scalar
from accelsim.explore.sweep.spec import NAMES, Sweep

if TYPE_CHECKING:
    from accelsim.explore.sweep.reuse import Reuse

Record = dict[str, bool | int | float | str | None]
"""Of a point: the value of every axis, `error` (None if it went well), `config_hash`, and its summary's scalars."""

INTERNAL = "internal error"
"""How the error of a point begins that is our mistake; such a point is tried again when the sweep is resumed."""


@dataclass(frozen=True)
class Point:
    """One run of a sweep. It can be sent to another process."""

    position: int
    """Among the sweep's points."""
    settings: dict[str, Scalar]
    """Value of every axis, as the sweep's file has it."""
    names: dict[str, Scalar]
    """Of `NAMES` all, with paths that hold in any folder."""
    key: str
    """Hash of what the sweep's file says of it, by which a resumed sweep knows it."""

    def config(self) -> RunConfig:
        """What it runs.

        Raises
        ------
        ConfigError
            When a value is not allowed, or values do not go together.
        """
        options = dict(self.names)
        hardware, workload = str(options.pop("hardware")), str(options.pop("workload"))
        sets = [f"{path}={json.dumps(value)}" for path, value in self.settings.items() if path not in NAMES]
        return load_config(hardware, workload, sets=sets, **options)  # type: ignore[arg-type]


def make_point(sweep: Sweep, settings: dict[str, Scalar], position: int = 0) -> Point:
    """The point of a sweep at which its axes have the values `settings`."""
    names = {name: settings.get(name, getattr(sweep.spec, name)) for name in NAMES}
    text = json.dumps([names, settings], sort_keys=True, ensure_ascii=False)
    located = {name: sweep.located(str(names[name])) for name in ("hardware", "workload")}
    return Point(position, settings, names | located, hashlib.sha256(text.encode()).hexdigest()[:32])


_THREAD = threading.local()


def _reuse() -> "Reuse":
    """What the points of this thread share. Kernels are loaded here, which a sweep that only resumes can spare."""
    if not hasattr(_THREAD, "reuse"):
        from accelsim.explore.sweep.reuse import Reuse

        _THREAD.reuse = Reuse()
    reuse: Reuse = _THREAD.reuse
    return reuse


def evaluate_point(point: Point) -> Record:
    """Record of a point: its settings and the summary of its run, or the error that it ended with."""
    record: Record = {**point.settings, "error": None, "config_hash": None}
    try:
        config = point.config()
        record["config_hash"] = config_hash(config)
        summary = _reuse().summary(config)
    except UserError as error:
        return record | {"error": str(error)}
    except Exception as error:  # one point's failure is recorded and must not lose the others
        return record | {"error": f"{INTERNAL}: {type(error).__name__}: {error}"}
    scalars = {key: value for key, value in summary.items() if not isinstance(value, (list, dict))}
    return scalars | record  # type: ignore[return-value]


@cache
def _version() -> str:
    """Of accelsim; looking it up reads and parses a file."""
    return version("accelsim")


@dataclass(frozen=True)
class Chunk:
    """Points that go to a worker together, so that sending them costs little."""

    points: tuple[Point, ...]
    evaluate: Callable[[Point], Record] = evaluate_point
    version: str = field(default_factory=_version)
    """Of accelsim that sends it."""

    def __len__(self) -> int:
        return len(self.points)


def evaluate_chunk(chunk: Chunk) -> tuple[list[Record], float]:
    """Records of a chunk's points, and the seconds that they took.

    Raises
    ------
    ConfigError
        When another version of accelsim sent it.
    """
    own = _version()
    if chunk.version != own:
        raise ConfigError(f"a worker runs accelsim {own}, and the sweep {chunk.version}; install one version on all")
    begin = time.perf_counter()
    records = [chunk.evaluate(point) for point in chunk.points]
    return records, time.perf_counter() - begin


def chunk_size(seconds_each: float | None, remaining: int, workers: int, target_s: float = 0.5, most: int = 64) -> int:
    """Points of the next chunk: about `target_s` of work, and few towards the end, where workers would wait.

    Parameters
    ----------
    seconds_each : float or None
        That a point has taken; None before the first.
    remaining, workers : int
        Points that are not handed out yet, and who may take them.
    target_s, most
        Limits of a chunk.
    """
    if seconds_each is None:
        return 1
    wanted = int(target_s / max(seconds_each, target_s / most))
    return max(1, min(wanted, -(-remaining // (4 * workers))))


def is_final(record: Record | None) -> bool:
    """Whether a recorded point is done with."""
    return record is not None and not str(record["error"]).startswith(INTERNAL)


def records_of_lost(points: Sequence[Point], why: str) -> list[Record]:
    """Records of points whose worker ended with them."""
    return [{**point.settings, "error": f"{INTERNAL}: {why}", "config_hash": None} for point in points]
