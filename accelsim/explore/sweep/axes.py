"""Values of an axis as a sweep's file writes them: a list, or a range between two ends."""

import math
import re
from collections.abc import Mapping, Sequence

from accelsim.config.yaml import describe
from accelsim.errors import ConfigError

Scalar = bool | int | float | str | None

SPACINGS = ("log", "linear")
_FORM = "needs a list, or a range such as {log: [64, 4096], points: 7}"
_KEYS = (*SPACINGS, "points", "multiple_of")
_QUANTITY = re.compile(r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(\S.*?)?\s*")


def axis_values(given: object) -> list[Scalar]:
    """Values of an axis.

    A range is ``log`` (equal ratios) or ``linear`` (equal steps), from its first end to its last, of ``points`` values.
    Between whole numbers values are whole, rounded to the nearest ``multiple_of`` (1 when left out); ends may be
    quantities of one unit, as in ``{log: [0.5 GHz, 2 GHz], points: 5}``.

    Parameters
    ----------
    given : list or mapping
        As the file has it.

    Raises
    ------
    ConfigError
        For anything else, without a place; or when values of a range fall together.

    Examples
    --------
    >>> axis_values({"log": [64, 1024], "points": 5})
    [64, 128, 256, 512, 1024]
    >>> axis_values({"linear": ["1 GHz", "2 GHz"], "points": 3})
    ['1 GHz', '1.5 GHz', '2 GHz']
    """
    if isinstance(given, list):
        return list(given)
    if given is None:
        raise ConfigError(f"has no value; {_FORM}")
    if not isinstance(given, dict):
        raise ConfigError(f"{_FORM}, not {describe(given)}")
    return _range(given)


def _range(given: Mapping[str, object]) -> list[Scalar]:
    spacings = [key for key in SPACINGS if key in given]
    unknown = [key for key in given if key not in _KEYS]
    if unknown or len(spacings) != 1:
        problem = f"unknown key {unknown[0]!r}" if unknown else "one of log and linear"
        raise ConfigError(f"{problem}; {_FORM}")
    spacing, points, step = spacings[0], given.get("points"), given.get("multiple_of")
    if isinstance(points, bool) or not isinstance(points, int) or points < 2:
        raise ConfigError(f"points is {describe(points)}; a range needs at least 2 points")
    first, last, unit = _ends(given[spacing])
    if spacing == "log" and not (first > 0 and last > 0):
        raise ConfigError(f"the ends of a log range must be positive, not {first:g} and {last:g}")
    whole = isinstance(first, int) and isinstance(last, int) and not unit
    if step is not None and (not whole or isinstance(step, bool) or not isinstance(step, int) or step < 1):
        raise ConfigError("multiple_of is for ranges of whole numbers, and is one itself")
    values = [_between(spacing, first, last, index / (points - 1)) for index in range(points)]
    if whole:
        each = step if isinstance(step, int) else 1
        found: list[Scalar] = [max(1, round(value / each)) * each if each > 1 else round(value) for value in values]
    else:
        found = [f"{value:.10g} {unit}" if unit else float(f"{value:.12g}") for value in values]
    if len(set(found)) < len(found):
        raise ConfigError(f"{points} points fall together; take fewer, or ends further apart")
    return found


def _ends(given: object) -> tuple[int | float, int | float, str]:
    """First and last value of a range, and their unit."""
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2:
        raise ConfigError(f"a range goes from one end to another, as in [64, 4096], not {describe(given)}")
    (first, unit), (last, other) = (_number(end) for end in given)
    if unit != other:
        raise ConfigError(f"the ends of a range have different units, {unit or 'none'} and {other or 'none'}")
    return first, last, unit


def _number(end: object) -> tuple[int | float, str]:
    if isinstance(end, (int, float)) and not isinstance(end, bool) and math.isfinite(end):
        return end, ""
    match = _QUANTITY.fullmatch(end) if isinstance(end, str) else None
    try:
        if match is None or not match[2]:
            raise ValueError
        return float(match[1]), match[2]
    except ValueError:
        raise ConfigError(f"the ends of a range are numbers or quantities, not {describe(end)}") from None


def _between(spacing: str, first: float, last: float, share: float) -> float:
    """The ends exactly, and what lies between by share."""
    if share in (0.0, 1.0):
        return last if share else first
    if spacing == "log":
        return float(first * (last / first) ** share)
    return first + (last - first) * share
