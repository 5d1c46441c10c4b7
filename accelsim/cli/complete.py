"""What a shell offers at TAB: names of machines, workloads and schemes, from file names alone.

A shell asks at every press of the key, so nothing here reads a YAML file or imports more than the standard library.
Where nothing fits, shells fall back on files: machines and workloads may be paths.
"""

from collections.abc import Callable, Iterable

_MACHINES = ("gpus", "systems")
_UNITS = ("attention", "gpus")
_NO_WORKLOADS = ("sweeps", "schedules", "tunes")

Names = Callable[[], Iterable[str]]
Completion = Callable[[str], list[str]]


def one_of(names: Names) -> Completion:
    """Completion of a single name.

    Parameters
    ----------
    names : callable
        Gives all names; called when the key is pressed, and no earlier.

    Returns
    -------
    callable
        From what is typed so far to the names that begin with it.
    """

    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete


def several_of(names: Names) -> Completion:
    """Completion of names separated by commas: those before the last comma stay, and are not offered again.

    Parameters
    ----------
    names : callable
        As for `one_of`.
    """

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        given = {word.strip() for word in before.split(",")}
        return [f"{before}{comma}{name}" for name in names() if name.startswith(last) and name not in given]

    return complete


def machines() -> list[str]:
    """Names of GPUs and systems that are shipped."""
    return _of(_MACHINES)


def gpus() -> list[str]:
    """Names of GPUs that are shipped."""
    return _available("gpus")


def systems() -> list[str]:
    """Names of systems that are shipped."""
    return _available("systems")


def units() -> list[str]:
    """Names of attention units and GPUs, which attention is compared on."""
    return _of(_UNITS)


def hardware() -> list[str]:
    """Every name below hwconfigs: machines, units, libraries, tables."""
    return _available("hwconfigs")


def energy_tables() -> list[str]:
    """Names of tables of energy per action."""
    return _available("energy")


def workloads() -> list[str]:
    """Names of workloads; sweeps and the like lie in the same folder and are none."""
    return sorted(set(_available("workloads")) - set(_of(_NO_WORKLOADS)))


def sweeps() -> list[str]:
    """Names of sweeps that are shipped."""
    return _available("sweeps")


def schedules() -> list[str]:
    """Names of published schedules of gradual pruning."""
    return _available("schedules")


def tunes_and_machines() -> list[str]:
    """What ``accelsim tune`` begins with: a search that is shipped, or a machine."""
    return [*_available("tunes"), *machines()]


def _available(folder: str) -> list[str]:
    from accelsim.config.names import available

    return available(folder)


def _of(folders: Iterable[str]) -> list[str]:
    return sorted(name for folder in folders for name in _available(folder))
