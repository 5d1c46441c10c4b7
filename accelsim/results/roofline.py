"""How near a run and its kernels come to what the machine could do: peak multipliers, and DRAM at its full bandwidth.

The roof is the longer of two times: multiply-accumulates that count over the peak of the unit that carries them out,
and bytes to and from DRAM over the bandwidth of the datasheet. Neither is lowered by an efficiency, so the roof is what
no kernel on this machine beats with this traffic. Both stand in the table of kernels (`peak_compute_us`,
`peak_dram_us`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from accelsim.results.result import Result

_PEAKS = ("peak_compute_us", "peak_dram_us")


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


def kernel_positions(result: Result) -> dict[str, Position]:
    """Position of each kernel on the GPU, by name; of those whose peaks are known."""
    return {str(row["name"]): _position([row]) for row in _rows(result)}


def run_position(result: Result) -> Position | None:
    """Position of all those kernels together, in the time that they take; None without any."""
    rows = _rows(result)
    return _position(rows) if rows else None


def _rows(result: Result) -> list[dict[str, Any]]:
    if any(key not in result.kernels.columns for key in _PEAKS):
        return []
    known = result.kernels.dropna(subset=list(_PEAKS))
    return [{str(key): value for key, value in row.items()} for row in known.to_dict("records")]


def _position(rows: Sequence[Mapping[str, Any]]) -> Position:
    compute_us, dram_us = (sum(float(row[key]) for row in rows) for key in _PEAKS)
    traffic = sum(float(row["dram_read_bytes"] + row["dram_write_bytes"]) for row in rows)
    macs = sum(float(row["macs"]) for row in rows if row["macs"] == row["macs"])
    time_us = sum(float(row["end_us"] - row["begin_us"]) for row in rows)
    return Position(
        intensity_flop_per_byte=2 * macs / traffic if traffic else None,
        compute_us=compute_us,
        dram_us=dram_us,
        bound="compute" if compute_us >= dram_us else "dram",
        attained_percent=100 * max(compute_us, dram_us) / time_us if time_us else None,
    )
