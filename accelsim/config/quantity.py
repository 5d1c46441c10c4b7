"""Quantities with units: the field types of the specs.

YAML writes a dimensional quantity as number and unit (``192 KiB``, ``1.41 GHz``); the spec holds a plain number in the
canonical unit of its dimension, named in the table below. A bare number for a dimensional field is an error, because
``192`` could mean bytes, KiB or kB and nobody would notice. KiB (1024 B) and kB (1000 B) are different units.

========== ================= =======================================
dimension  canonical unit    accepted units
========== ================= =======================================
bytes      B                 B, kB, MB, GB, TB, KiB, MiB, GiB, TiB
frequency  Hz                Hz, kHz, MHz, GHz
bandwidth  B/s               B/s, kB/s, MB/s, GB/s, TB/s, GiB/s
rate       B/cycle           B/cycle
cycles     cycle             cycle, cycles
time       s                 s, ms, us, ns, ps
energy     pJ                pJ, nJ, uJ, fJ
power      W                 W, mW, kW
area       mm2               mm2, um2
length     nm                nm
========== ================= =======================================
"""

import math
import re
from collections.abc import Callable
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

_DECIMAL = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_BYTES = {f"{prefix}B": factor for prefix, factor in (_DECIMAL | _BINARY).items()}

UNITS: dict[str, dict[str, float]] = {
    "bytes": _BYTES,
    "frequency": {f"{prefix}Hz": factor for prefix, factor in _DECIMAL.items()},
    "bandwidth": {f"{unit}/s": factor for unit, factor in _BYTES.items()},
    "rate": {"B/cycle": 1.0},
    "cycles": {"cycle": 1.0, "cycles": 1.0},
    "time": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "ps": 1e-12},
    "energy": {"pJ": 1.0, "nJ": 1e3, "uJ": 1e6, "fJ": 1e-3},
    "power": {"W": 1.0, "mW": 1e-3, "kW": 1e3},
    "area": {"mm2": 1.0, "um2": 1e-6},
    "length": {"nm": 1.0},
}
"""Accepted units of each dimension and their size in the canonical unit (the one of size 1)."""

CANONICAL = {dimension: next(unit for unit, size in units.items() if size == 1.0) for dimension, units in UNITS.items()}

_QUANTITY = re.compile(r"^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z0-9/]+)\s*$")


def parse_quantity(text: object, dimension: str) -> float:
    """Number in the canonical unit of ``dimension`` for a text such as ``"1.41 GHz"``.

    Parameters
    ----------
    text : object
        What the YAML holds. Anything but a string of number and unit is refused.
    dimension : str
        A key of `UNITS`.

    Raises
    ------
    ValueError
        For a bare number, an unknown unit, a negative or a non-finite value; the message names the units allowed.
    """
    units = UNITS[dimension]
    allowed = ", ".join(units)
    if not isinstance(text, str):
        raise ValueError(f"needs a number with a unit ({allowed}), not {text!r}")
    match = _QUANTITY.match(text)
    if match is None:
        raise ValueError(f"cannot read {text!r} as a number with a unit ({allowed})")
    number, unit = float(match[1]), match[2]
    if unit not in units:
        raise ValueError(f"unknown unit {unit!r} in {text!r}; allowed: {allowed}")
    value = number * units[unit]
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{text!r} must be finite and not negative")
    return value


LIMITS: dict[str, tuple[str, str]] = {
    "bytes": ("0 B", "1000 TB"),
    "frequency": ("1 kHz", "1 THz"),
    "bandwidth": ("1 kB/s", "1000000 TB/s"),
    "rate": ("0.001 B/cycle", "1000000 B/cycle"),
    "cycles": ("0 cycles", "1000000 cycles"),
    "time": ("0 s", "1 s"),
    "energy": ("0 pJ", "1000000 uJ"),
    "power": ("0 W", "1000 kW"),
    "area": ("0 mm2", "1000000 mm2"),
    "length": ("0.1 nm", "1000000 nm"),
}
"""Smallest and largest quantity that a field takes: far beyond any machine, but all that is computed stays finite."""


def _reader(dimension: str, whole: bool) -> Callable[[object], float]:
    low, high = (parse_quantity(limit, dimension) for limit in LIMITS[dimension])

    def read(text: object) -> float:
        value = parse_quantity(text, dimension)
        if not low <= value <= high:
            raise ValueError(f"{text!r} is out of range; allowed: {' to '.join(LIMITS[dimension])}")
        if not whole:
            return value
        if value != int(value):
            raise ValueError(f"{text!r} is not a whole number of {CANONICAL[dimension]}")
        return int(value)

    return read


def format_quantity(value: float, dimension: str) -> str:
    """Shortest text, such as ``1.41 GHz``, that `parse_quantity` reads as exactly this value.

    Parameters
    ----------
    value : float
        In the canonical unit of ``dimension``.
    dimension : str
        A key of `UNITS`.
    """
    units = sorted(UNITS[dimension].items(), key=lambda item: -item[1])
    texts = [f"{value / size:.15g} {unit}" for unit, size in units if size <= abs(value)]
    exact = [text for text in texts if _QUANTITY.match(text) and parse_quantity(text, dimension) == value]
    return min(exact, key=len, default=f"{value!r} {CANONICAL[dimension]}")


def _writer(dimension: str) -> Callable[[float], str]:
    return lambda value: format_quantity(value, dimension)


Bytes = Annotated[int, BeforeValidator(_reader("bytes", True)), PlainSerializer(_writer("bytes"))]
Frequency = Annotated[float, BeforeValidator(_reader("frequency", False)), PlainSerializer(_writer("frequency"))]
Bandwidth = Annotated[float, BeforeValidator(_reader("bandwidth", False)), PlainSerializer(_writer("bandwidth"))]
Rate = Annotated[float, BeforeValidator(_reader("rate", False)), PlainSerializer(_writer("rate"))]
Cycles = Annotated[float, BeforeValidator(_reader("cycles", False)), PlainSerializer(_writer("cycles"))]
Time = Annotated[float, BeforeValidator(_reader("time", False)), PlainSerializer(_writer("time"))]
Energy = Annotated[float, BeforeValidator(_reader("energy", False)), PlainSerializer(_writer("energy"))]
Power = Annotated[float, BeforeValidator(_reader("power", False)), PlainSerializer(_writer("power"))]
Area = Annotated[float, BeforeValidator(_reader("area", False)), PlainSerializer(_writer("area"))]
Length = Annotated[float, BeforeValidator(_reader("length", False)), PlainSerializer(_writer("length"))]
