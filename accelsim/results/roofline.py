"""How near a run and its kernels come to what the machine could do: peak multipliers, and DRAM at its full bandwidth.

The roof is the longer of two times: multiply-accumulates that count over the peak of the unit that carries them out,
and bytes to and from DRAM over the bandwidth of the datasheet. Neither is lowered by an efficiency, so the roof is what
no kernel on this machine beats with this traffic. Rates of sparse tensor cores count pruned weights too; of 2:4 weights
half are kept, so half of that rate is the peak of what counts.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from accelsim.config.quantity import parse_quantity
from accelsim.results.result import Result

_KEPT = 0.5
"""Share of weights that sparse tensor cores multiply."""


@dataclass(frozen=True)
class Peaks:
    """What a GPU reaches at most."""

    macs_per_s: Mapping[str, float]
    """By unit of a kernel: tensor_core, sparse_tensor_core, cuda_core."""
    dram_bytes_per_s: float


@dataclass(frozen=True)
class Position:
    """Where a kernel or a run stands below the roof."""

    intensity_flop_per_byte: float | None
    """2 FLOPs to a multiply-accumulate; None without traffic to DRAM."""
    compute_us: float
    """At the units' peak."""
    dram_us: float
    """At the full bandwidth of DRAM."""
    bound: str
    """compute or dram, whichever takes longer."""
    attained_percent: float | None
    """Of the roof: the longer of both times over the time that was taken."""

    def document(self) -> dict[str, object]:
        """As plain values of JSON."""
        return asdict(self)


def peaks(result: Result) -> Peaks | None:
    """Peaks of a result's GPU for the number format of its workload; None where its provenance does not tell them."""
    config = result.provenance.get("config")
    try:
        gpu, dtype = config["hardware"]["gpu"], config["workload"]["dtype"]  # type: ignore[index]
        all_sms = gpu["sm_count"] * parse_quantity(gpu["clock"], "frequency")
        tensor, cuda = gpu["tensor_core"].get(dtype), gpu["cuda_core"].get(dtype)
        doubled = (gpu.get("sparse_tensor_core") or {}).get(dtype)
        rates = {
            "tensor_core": tensor,
            "cuda_core": cuda,
            "sparse_tensor_core": tensor * doubled * _KEPT if tensor and doubled else None,
        }
        bandwidth = parse_quantity(gpu["dram"]["bandwidth"], "bandwidth")
    except (KeyError, TypeError, AttributeError, ValueError):
        return None
    return Peaks({unit: rate * all_sms for unit, rate in rates.items() if rate}, bandwidth)


def position(compute_us: float, dram_bytes: float, macs: float, time_us: float, found: Peaks) -> Position:
    """Position of something that takes `time_us`."""
    dram_us = 1e6 * dram_bytes / found.dram_bytes_per_s
    return Position(
        intensity_flop_per_byte=2 * macs / dram_bytes if dram_bytes else None,
        compute_us=compute_us,
        dram_us=dram_us,
        bound="compute" if compute_us >= dram_us else "dram",
        attained_percent=100 * max(compute_us, dram_us) / time_us if time_us else None,
    )


def kernel_positions(result: Result, found: Peaks | None) -> dict[str, Position]:
    """Position of each kernel on the GPU, by name."""
    if found is None:
        return {}
    placed = {}
    for row in result.kernels[result.kernels["device"] == "gpu"].to_dict("records"):
        macs, unit = _number(row.get("macs")), str(row.get("unit"))
        if macs and unit not in found.macs_per_s:
            continue
        traffic = _number(row.get("dram_read_bytes")) + _number(row.get("dram_write_bytes"))
        compute_us = 1e6 * macs / found.macs_per_s[unit] if macs else 0.0
        time_us = float(row["end_us"]) - float(row["begin_us"])
        placed[str(row["name"])] = position(compute_us, traffic, macs, time_us, found)
    return placed


def run_position(result: Result) -> Position | None:
    """Position of all kernels on the GPU together, in the time that they take; None without peaks or kernels."""
    found = peaks(result)
    placed = kernel_positions(result, found)
    rows = result.kernels[result.kernels["name"].isin(list(placed))]
    if found is None or rows.empty:
        return None
    traffic = sum(float(rows[key].fillna(0).sum()) for key in ("dram_read_bytes", "dram_write_bytes") if key in rows)
    macs = float(rows["macs"].fillna(0).sum()) if "macs" in rows else 0.0
    time_us = float((rows["end_us"] - rows["begin_us"]).sum())
    return position(sum(one.compute_us for one in placed.values()), traffic, macs, time_us, found)


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and value == value else 0.0
