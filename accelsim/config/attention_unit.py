"""What all attention units have in common, and the registry through which each algorithm brings its own.

An algorithm is an object with a name and a spec (`accelsim.machine.attention.accelerator` says what else). Built-in
ones and those of other packages are found alike: through entry points of the group ``accelsim.attention_units``, one
for each algorithm.
"""

from functools import lru_cache
from importlib.metadata import EntryPoint, distributions
from typing import Any, Literal

from pydantic import Field

from accelsim.config.base import Spec
from accelsim.config.names import near
from accelsim.config.quantity import Area, Bandwidth, Frequency, Length, Time
from accelsim.errors import ConfigError

GROUP = "accelsim.attention_units"
"""Entry points, by the name of the algorithm."""


class AttentionUnit(Spec):
    """An attention unit: fields that every algorithm's spec has."""

    kind: Literal["attention_unit"]
    name: str
    description: str = ""
    algorithm: str
    """What the unit computes."""
    clock: Frequency
    """Of the whole unit."""
    max_head_dim: int = Field(gt=0)
    """Longest row of Q, K or V that the unit takes."""
    dram_bandwidth: Bandwidth
    """Shared by all that the unit does."""
    dram_latency: Time
    """From a request to its first data."""
    process_node: Length
    """Named for comparison; nothing is scaled by it."""
    energy: str
    """Table of energy per action (`hwconfigs/energy`)."""
    area: Area | None = None
    """Left out where no source gives it."""
    keep_ratio: float | None = Field(default=None, gt=0, le=1)
    """Share kept that publications cite for the algorithm, to which `accelsim attention compare` solves thresholds;
    left out, the unit's own thresholds hold."""
    published_gops: float | None = Field(default=None, gt=0)
    """Dense-equivalent GOP/s that publications give for the algorithm at 128 multipliers and 1 GHz; shown beside the
    simulated ones, and read by nothing."""
    sources: dict[str, str]


@lru_cache(maxsize=1)
def _registered() -> dict[str, Any]:
    return {}


@lru_cache(maxsize=1)
def _points() -> dict[str, EntryPoint]:
    # Over all distributions, since metadata of an older build in the working directory hides the installed one's.
    return {point.name: point for each in distributions() for point in each.entry_points if point.group == GROUP}


def register(accelerator: Any) -> None:
    """Make an accelerator known for the life of this process, as an entry point does for every process.

    Parameters
    ----------
    accelerator : accelsim.machine.attention.accelerator.Accelerator

    Raises
    ------
    ConfigError
        When its algorithm is known already.
    """
    if accelerator.algorithm in algorithms():
        raise ConfigError(f"algorithm {accelerator.algorithm!r} is registered already")
    _registered()[accelerator.algorithm] = accelerator


def algorithms() -> list[str]:
    """Names of the algorithms that attention units may have, sorted."""
    return sorted({*_points(), *_registered()})


def accelerator_of(algorithm: str) -> Any:
    """The accelerator that is registered for an algorithm.

    Raises
    ------
    ConfigError
        When none is, or the package that registers it cannot be loaded.
    """
    held = _registered()
    if algorithm not in held:
        if algorithm not in _points():
            raise ConfigError(f"unknown algorithm {algorithm!r}; {near(algorithm, algorithms())}")
        point = _points()[algorithm]
        try:
            held[algorithm] = point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"algorithm {algorithm!r} is registered as {point.value}: {error}") from None
    return held[algorithm]
