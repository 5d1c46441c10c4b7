"""Spec of how far off latencies of one GPU are: measured over predicted, on rows that took no part in a fit.

A kernel is in exactly one regime, told by what is known before any measurement: the rows of C, which decide between
matrix-vector and tiled kernels, and the predicted time, which tells launch- and latency-bound kernels from those that
fill the device, and these from those that last long enough to meet the power limit.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from accelsim.config.base import Spec
from accelsim.config.hardware import Dtype

FEW_ROWS = 16
SHORT_US = 10.0
LONG_US = 1000.0

INTERVAL_PERCENT = 80
"""Share of measurements that an interval is to hold."""

MIN_ROWS = 20
"""Rows that a regime needs for an interval of its own; kernels of smaller ones take that of all rows."""

Regime = Literal["all", "few_rows", "short", "medium", "long"]
AccuracyEngine = Literal["estimate", "events"]
"""The SimPy twin equals events to the tick, and takes their accuracy."""

REGIMES: dict[Regime, str] = {
    "few_rows": f"at most {FEW_ROWS} rows in C",
    "short": f"predicted to last up to {SHORT_US:g} us",
    "medium": f"predicted to last up to {LONG_US / 1000:g} ms",
    "long": f"predicted to last over {LONG_US / 1000:g} ms",
}
"""What is in each regime: the first of them that holds."""


def regime_of(rows_of_c: int, predicted_us: float) -> Regime:
    """The one regime that a product's kernel is in.

    Parameters
    ----------
    rows_of_c : int
        Rows of C as it is simulated (of a column-major product, its columns).
    predicted_us : float
        Of the kernel with its launch.
    """
    if rows_of_c <= FEW_ROWS:
        return "few_rows"
    if predicted_us <= SHORT_US:
        return "short"
    return "medium" if predicted_us <= LONG_US else "long"


_Ratio = Annotated[float, Field(gt=0)]


class Spread(Spec):
    """Where measured over predicted latency lies."""

    n: int = Field(gt=0)
    """Rows."""
    low: _Ratio
    """Lower end of the 80 % interval: one in ten measurements is expected below it."""
    median: _Ratio
    """Above 1 where predictions are too short."""
    high: _Ratio
    """Upper end, likewise."""

    @model_validator(mode="after")
    def _ordered(self) -> "Spread":
        if not self.low <= self.median <= self.high:
            raise ValueError(f"low, median and high must rise, not {self.low:g}, {self.median:g}, {self.high:g}")
        return self


class Accuracy(Spec):
    """Held-out errors of the latencies of one GPU's dense products. `accelsim accuracy-hw` writes it."""

    kind: Literal["accuracy"]
    name: str
    description: str = ""
    of_gpu: str
    """Machine whose predictions were compared."""
    gpu_digest: str
    """Hash of its figures (`accelsim.config.record.gpu_digest`): a machine of other figures borrows these errors."""
    formats: list[Dtype] = Field(min_length=1)
    """Operand formats that the errors hold for."""
    table: str
    """Measured table."""
    table_digest: str
    """SHA-256 of it."""
    stack: str
    """Software that was measured, as far as the table tells."""
    holdout: float = Field(gt=0, le=1)
    """Share of shapes that took no part in a fit."""
    split_seed: int = Field(ge=0)
    """Of the hash that chose them."""
    engines: dict[AccuracyEngine, dict[Regime, Spread]]
    """For each engine and regime where measured over predicted latency lies; `all` has every row."""
    sources: dict[str, str]

    @model_validator(mode="after")
    def _whole(self) -> "Accuracy":
        for engine, regimes in self.engines.items():
            if "all" not in regimes:
                raise ValueError(f"engines.{engine} needs the regime all, which stands in for those that are left out")
        return self

    def spread(self, engine: str, rows_of_c: int, predicted_us: float) -> Spread | None:
        """Spread of a kernel's regime, or of all rows where its regime has none; None for an unmeasured engine.

        Parameters
        ----------
        engine : str
            estimate, events, or simpy, which equals events.
        rows_of_c, predicted_us
            As for `regime_of`.
        """
        regimes = self.engines.get("estimate" if engine == "estimate" else "events")
        if regimes is None:
            return None
        return regimes.get(regime_of(rows_of_c, predicted_us), regimes["all"])
