"""When requests arrive and how long they are: drawn, evenly spaced, or from a file."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ConfigError, OperandError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PS_PER_SECOND = 10**12
_HORIZON_PS = 2**62
"""Latest arrival, half of what 64 bits hold: service needs the rest."""

HIGHEST_RATE = 1e9
"""Requests a second; gaps are whole picoseconds, a thousand of them on average at this rate."""

ArrivalKind = Literal["poisson", "even"]
TIME, LENGTH = "time_s", "length"


@dataclass(frozen=True)
class Lengths:
    """From which lengths those of requests are drawn, all equally likely."""

    choices: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> "Lengths":
        """``16-128`` for every length in between, or ``32,64,128`` for these.

        Raises
        ------
        ConfigError
            For anything else, and for lengths below 1.
        """
        low, dash, high = text.partition("-")
        try:
            chosen = tuple(range(int(low), int(high) + 1)) if dash else tuple(int(word) for word in text.split(","))
        except ValueError:
            chosen = ()
        if not chosen or min(chosen) < 1:
            raise ConfigError(f"lengths {text!r}: allowed: a range as in 16-128, or a list as in 32,64,128, from 1 on")
        return cls(chosen)


@dataclass(frozen=True)
class Arrivals:
    """Requests in order of arrival."""

    times_ps: Ints
    """[requests] ascending, from 0 on."""
    lengths: Ints
    """[requests] tokens; 0 where lengths mean nothing."""


@dataclass(frozen=True)
class Traffic:
    """Requests whose spacing has no unit yet: at any rate, the same requests come in the same order.

    Gaps of all rates are those of one rate times a number, so that runs at two rates differ by the rate alone.
    """

    kind: str
    """poisson, even or trace."""
    gaps: Floats
    """[requests] before each request, in mean gaps."""
    lengths: Ints
    own_rate_per_s: float | None = None
    """Of a trace."""

    def at(self, rate_per_s: float) -> Arrivals:
        """The requests at a rate.

        Raises
        ------
        ConfigError
            When the rate is not allowed, or so low that the last arrival lies beyond what is simulated.
        """
        check_rates((rate_per_s,))
        if float(self.gaps.sum()) * PS_PER_SECOND / rate_per_s > _HORIZON_PS:
            raise ConfigError(
                f"rate {rate_per_s:g}: {len(self.gaps)} requests would take longer than is simulated "
                f"({_HORIZON_PS / PS_PER_SECOND:.3g} s); take fewer requests or a higher rate"
            )
        gaps = np.rint(self.gaps * (PS_PER_SECOND / rate_per_s)).astype(np.int64)
        return Arrivals(np.cumsum(gaps), self.lengths)


def drawn(kind: ArrivalKind, requests: int, seed: int, lengths: Lengths | None = None) -> Traffic:
    """Requests that arrive at random and independently (poisson), or evenly spaced (even).

    More requests of one seed begin with the same ones.

    Parameters
    ----------
    kind : str
        poisson or even.
    requests : int
    seed : int
    lengths : Lengths, optional
        From which lengths are drawn.

    Raises
    ------
    ConfigError
        For another kind, or no requests.
    """
    if kind not in ("poisson", "even"):
        raise ConfigError(f"unknown arrivals {kind!r}; allowed: poisson, even")
    if requests < 1:
        raise ConfigError(f"requests {requests}: needs at least 1")
    gaps = np.random.default_rng((seed, 0)).standard_exponential(requests) if kind == "poisson" else np.ones(requests)
    sizes = np.zeros(requests, np.int64)
    if lengths is not None:
        places = np.random.default_rng((seed, 1)).random(requests) * len(lengths.choices)
        sizes = np.asarray(lengths.choices, np.int64)[places.astype(np.int64)]
    return Traffic(kind, gaps, sizes)


def read_trace(path: str | Path) -> Traffic:
    """Requests of a CSV file: column ``time_s``, ascending and from 0 on, and if wanted ``length``, a whole number.

    Raises
    ------
    OperandError
        When the file cannot be read, lacks a column, or a row is not allowed; the message names the line.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            times, lengths = _rows(path, csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise OperandError(f"{path}: cannot be read as a trace ({error})") from error
    if len(times) < 2:
        raise OperandError(f"{path}: a trace needs at least 2 requests")
    if times[-1] <= times[0]:
        raise OperandError(f"{path}: all requests have one {TIME}, so that they have no rate")
    seconds = np.asarray(times)
    gap = (times[-1] - times[0]) / (len(times) - 1)
    gaps = np.concatenate([[0.0], np.diff(seconds)]) / gap
    return Traffic("trace", gaps, np.asarray(lengths, np.int64), 1 / gap)


def _rows(path: Path, reader: "csv.DictReader[str]") -> tuple[list[float], list[int]]:
    columns = [name.strip() for name in reader.fieldnames or ()]
    if TIME not in columns:
        raise OperandError(f"{path}:1: no column {TIME}; a trace has {TIME} and, if wanted, {LENGTH}")
    reader.fieldnames = columns
    times: list[float] = []
    lengths: list[int] = []
    for row in reader:
        where = f"{path}:{reader.line_num}"
        time = _number(row[TIME], f"{where}: {TIME}")
        if time < 0:
            raise OperandError(f"{where}: {TIME} {time:g} is negative")
        if times and time < times[-1]:
            raise OperandError(f"{where}: {TIME} {time:g} comes after {times[-1]:g}; sort the trace by {TIME}")
        length = _number(row[LENGTH], f"{where}: {LENGTH}") if LENGTH in columns else 0.0
        if LENGTH in columns and (length != int(length) or not 1 <= length <= 10_000_000):
            raise OperandError(f"{where}: {LENGTH} {length:g} is not a whole number of tokens from 1 on")
        times.append(time)
        lengths.append(int(length))
    return times, lengths


def _number(text: object, where: str) -> float:
    try:
        value = float(str(text))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise OperandError(f"{where} {text!r} is not a number")
    return value


def first_requests(traffic: Traffic, requests: int | None) -> Traffic:
    """The first so many requests of a trace; all when None.

    Raises
    ------
    ConfigError
        When the trace has fewer.
    """
    if requests is None:
        return traffic
    if not 2 <= requests <= len(traffic.gaps):
        raise ConfigError(f"requests {requests}: the trace has {len(traffic.gaps)}; allowed: 2 to {len(traffic.gaps)}")
    gaps = traffic.gaps[:requests]
    mean = float(gaps.sum()) / (requests - 1)
    if mean <= 0:
        raise ConfigError(f"requests {requests}: the first {requests} of the trace have one {TIME}; take more")
    own = None if traffic.own_rate_per_s is None else traffic.own_rate_per_s / mean
    return Traffic(traffic.kind, gaps / mean, traffic.lengths[:requests], own)


def check_rates(rates: Sequence[float]) -> tuple[float, ...]:
    """Rates without repeats, ascending.

    Raises
    ------
    ConfigError
        For a rate that is not above 0, or beyond `HIGHEST_RATE`.
    """
    for rate in rates:
        if not 0 < rate <= HIGHEST_RATE:
            raise ConfigError(f"rate {rate:g}: needs to be above 0 requests/s, and at most {HIGHEST_RATE:g}")
    return tuple(sorted(set(rates)))
