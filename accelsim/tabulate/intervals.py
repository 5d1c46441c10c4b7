"""Which kernels of a run have measured errors, and the interval of its latency that follows from them."""

from dataclasses import dataclass

from accelsim.config.accuracy import INTERVAL_PERCENT, Accuracy
from accelsim.config.loader import load_accuracy
from accelsim.config.record import gpu_digest
from accelsim.config.scheme import RunConfig
from accelsim.machine.simulate import PS_PER_US, KernelRun, NetworkRun
from accelsim.mapping.fused_attention import FusedAttentionPlan
from accelsim.mapping.plan import GemmPlan
from accelsim.results.intervals import COVERED_PERCENT, Interval, Timed, covered_percent, total, widened


@dataclass(frozen=True)
class RunIntervals:
    """What held-out errors say of a run."""

    parts: dict[str, Timed]
    """Every kernel and transfer by name, with its interval where errors were measured."""
    latency: Interval | None
    """Of the run in us; None where it is unknown."""
    covered_percent: float
    """Share of the parts' time that has measured errors."""
    basis: str
    """What the interval rests on, or why there is none."""
    left_out: str = ""
    """What has no measured errors and is taken as exact, with its share of the parts' time."""

    def summary(self) -> dict[str, object]:
        """The keys of `accelsim.results.schema.INTERVAL`."""
        return {
            "latency_low_us": None if self.latency is None else self.latency.low,
            "latency_high_us": None if self.latency is None else self.latency.high,
            "interval_covered_percent": self.covered_percent,
            "interval_basis": self.basis,
            "interval_left_out": self.left_out or None,
        }


def run_intervals(config: RunConfig, run: NetworkRun) -> RunIntervals:
    """Intervals of a simulated run.

    Products on the GPU take the spread of their regime, tile-wise and batched ones too, although it is dense ones with
    weights that were measured. Element-wise kernels, the attention unit, transfers and formats that were not measured
    have none.

    Parameters
    ----------
    config : RunConfig
        Its GPU names the accuracy.
    run : NetworkRun
        What was simulated.
    """
    gpu = config.hardware.gpu
    accuracy = None if gpu.accuracy is None else load_accuracy(gpu.accuracy)
    parts = timed(run, accuracy, config.engine)
    if accuracy is None:
        basis = f"unknown, since {gpu.name} names no accuracy: its errors on held-out measurements are not known"
        return RunIntervals(parts, None, 0.0, basis)
    every = list(parts.values())
    share, latency = covered_percent(every), total(run.latency_ps / PS_PER_US, every)
    basis = f"unknown, since less than {COVERED_PERCENT:g} % of the time has measured errors"
    if latency is not None:
        basis = _basis(accuracy, config, gpu_digest(gpu) != accuracy.gpu_digest)
    return RunIntervals(parts, latency, share, basis, _left_out(parts, run))


def timed(run: NetworkRun, accuracy: Accuracy | None, engine: str) -> dict[str, Timed]:
    """Every kernel and transfer of a run by name, with its interval where errors were measured.

    Parameters
    ----------
    run : NetworkRun
    accuracy : Accuracy or None
        Of the GPU; None gives no intervals.
    engine : str
        That the run is by.
    """
    kernels = {kernel.name: kernel for kernel in run.kernels}
    parts: dict[str, Timed] = {}
    for span in run.spans:
        kernel, part = kernels.get(span.name), Timed(span.name, (span.end_ps - span.begin_ps) / PS_PER_US)
        if kernel is not None and accuracy is not None:
            part = _with_interval(part, kernel, accuracy, engine)
        parts[span.name] = part
    return parts


def _left_out(parts: dict[str, Timed], run: NetworkRun) -> str:
    """What has no measured errors, with its share of the time of all parts."""
    kernels = {kernel.name: kernel for kernel in run.kernels}
    times: dict[str, float] = {}
    for span in run.spans:
        part = parts[span.name]
        if part.low is None and part.value:
            kind = _kind(kernels.get(span.name), span.unit)
            times[kind] = times.get(kind, 0.0) + part.value
    whole = sum(part.value for part in parts.values())
    return ", ".join(f"{kind} ({100 * value / whole:.2g} %)" for kind, value in times.items())


def _with_interval(part: Timed, kernel: KernelRun, accuracy: Accuracy, engine: str) -> Timed:
    plan = kernel.kernel
    if not isinstance(plan, GemmPlan) or plan.gemm.dtype not in accuracy.formats or part.value <= 0:
        return part
    spread = accuracy.spread(engine, plan.gemm.m, part.value)
    if spread is None:
        return part
    found = widened(part.value, spread.low, spread.high)
    return Timed(part.name, found.value, found.low, found.high)


def _kind(kernel: KernelRun | None, unit: str) -> str:
    """What a part without measured errors is called."""
    if kernel is None:
        return "transfers" if unit == "link" else unit.replace("_", " ")
    if isinstance(kernel.kernel, FusedAttentionPlan):
        return "fused attention"
    return f"{kernel.kernel.gemm.dtype} products" if isinstance(kernel.kernel, GemmPlan) else "element-wise kernels"


def _basis(accuracy: Accuracy, config: RunConfig, borrowed: bool) -> str:
    rows = accuracy.engines["estimate" if config.engine == "estimate" else "events"]["all"].n
    text = (
        f"{INTERVAL_PERCENT} % of measurements, by errors of {accuracy.of_gpu} on {rows} held-out dense products "
        f"({accuracy.table}: {accuracy.stack}), which sparse and batched ones take too"
    )
    if borrowed:
        text += f"; borrowed, since {config.hardware.gpu.name} has other figures than the machine whose errors they are"
    return text
