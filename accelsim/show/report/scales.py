"""Axes: from numbers to percents of a figure's side, with marks at round numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from accelsim.show.report.blocks import Tick

_SPAN = 20
"""Largest over smallest value above which an axis is logarithmic."""
_MARGIN = 0.05


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`, linear or logarithmic."""

    low: float
    high: float
    is_log: bool = False

    @classmethod
    def over(cls, values: Sequence[float], *, log: bool | None = None) -> "Scale":
        """An axis that holds all values with some room.

        Parameters
        ----------
        values : sequence of float
            Finite; at least one.
        log : bool, optional
            Left out, logarithmic where all are above zero and span more than a factor of 20.
        """
        low, high = min(values), max(values)
        if log if log is not None else 0 < low < high / _SPAN:
            span = math.log(high / low) or math.log(10)
            return cls(low / math.exp(_MARGIN * span), high * math.exp(_MARGIN * span), True)
        span = high - low or abs(high) or 1.0
        start = 0.0 if 0 <= low < 0.35 * high else low - _MARGIN * span
        return cls(start, high + _MARGIN * span)

    def place(self, value: float) -> float:
        """Percent of the axis at which a value lies."""
        if self.is_log:
            return round(100 * math.log(value / self.low) / math.log(self.high / self.low), 2)
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    def ticks(self, wanted: int = 5) -> list[Tick]:
        """Marks at about so many round numbers."""
        values = self._log_marks(wanted) if self.is_log else self._marks(wanted)
        texts: list[str] = []
        for digits in range(3, 16):  # neighbours on a short axis differ in a late digit
            texts = [short(value, digits) for value in values]
            if len(set(texts)) == len(texts):
                break
        return [Tick(self.place(value), text) for value, text in zip(values, texts, strict=True)]

    def _marks(self, wanted: int) -> list[float]:
        rough = (self.high - self.low) / wanted
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * part for part in (1, 2, 2.5, 5, 10) if size * part >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]

    def _log_marks(self, wanted: int) -> list[float]:
        decades = math.log10(self.high / self.low)
        if decades < 0.5:
            return self._marks(wanted)
        parts = (1, 2, 5) if decades <= 2 else (1, 3) if decades <= 3 else (1,)
        step = max(1, math.ceil(decades / wanted)) if len(parts) == 1 else 1
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        marks = [part * 10.0**power for power in range(first, last + 1, step) for part in parts]
        return [mark for mark in marks if self.low <= mark <= self.high]


def short(value: float, digits: int = 3) -> str:
    """A mark's number in few characters, with so many significant digits: 12,000 as 12k."""
    if abs(value) >= 1e4:
        for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
            if abs(value) >= size:
                return f"{value / size:.{digits}g}{prefix}"
    return f"{value:.{max(4, digits)}g}"
