"""Where a run's latency went: every moment given to one kernel, and every kernel's moments to causes, exactly.

Devices may work side by side; a moment belongs to the GPU if it works, else to the attention unit, else to the link, so
a transfer counts only where nothing hides it. What a kernel is given is divided like its own account: for a run on one
device the stack is that device's account.

Two causes of the account are divided further, by what the kernel did:

- `compute` into `compute` and `padding`, as multiply-accumulates that count are to those that whole tiles and filled
  slots make the unit carry out beside them;
- `l2` and `dram`, waits for operands, into themselves and `gather`, as the bytes of elements that were asked for are to
  those that came beside them: the rest of their sectors, and indices. A kernel that only moves columns to their places
  (`scatter=separate`) is `gather` but for its launch.

Sums are of integers and fractions, so nothing is lost to rounding.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pandas as pd

from accelsim.results.result import Result

PS_PER_US = 10**6

MEANINGS = {
    "compute": "multipliers work on what counts",
    "padding": "multipliers work on what fills tiles up",
    "shared_memory": "operands pass shared memory",
    "bank_conflict": "lanes meet in a bank of shared memory",
    "l2": "waiting for L2",
    "dram": "waiting for DRAM",
    "gather": "waiting for what comes beside the elements asked for: sectors, indices, moves",
    "prologue": "a thread block is set up and fills its first stage",
    "epilogue": "results leave the accumulators",
    "launch": "no kernel is active",
    "imbalance": "waiting for thread blocks of more k-steps",
    "tail": "too few thread blocks are left to fill the device",
    "power_limit": "the clock falls to keep the board's power",
    "link": "operands cross the link, and nothing hides it",
    "idle": "nothing is under way",
    "unexplained": "the result has no account of it",
}
"""Causes in the order of a stack. Those of an attention unit follow as ``attention_unit.CAUSE``."""

_WAITS = ("l2", "dram")
_RANKS = {"gpu": 0, "attention_unit": 1, "link": 2}


@dataclass(frozen=True)
class Exposed:
    """The part of a run's latency that belongs to one kernel, transfer or attention."""

    name: str
    operation: str
    part: str
    device: str
    time_ps: int
    causes: Mapping[str, Fraction]
    """Picoseconds; add up to `time_ps`."""


def latency_ps(result: Result) -> int:
    """Latency in whole picoseconds."""
    return round(result.value("latency_us") * PS_PER_US)


def exposed(result: Result) -> list[Exposed]:
    """What each row of the table of kernels takes of the latency, in order of begin; adds up to the latency.

    Time in which nothing is under way is a row of its own, at the end, whose operation has no name.
    """
    whole, by_device = latency_ps(result), _device_accounts(result)
    table = _records(result.kernels.sort_values(["begin_us", "end_us"], kind="stable"))
    spans = [
        tuple(min(whole, round(float(str(row[key])) * PS_PER_US)) for key in ("begin_us", "end_us")) for row in table
    ]
    ranks = [_RANKS.get(str(row["device"]), len(_RANKS)) for row in table]
    taken = _owned(spans, ranks)
    rows = []
    for row, time in zip(table, taken, strict=True):
        causes = {name: time * share for name, share in _shares(row, by_device).items() if time and share}
        operation = str(row.get("operation") or row["name"])
        rows.append(Exposed(str(row["name"]), operation, str(row["part"]), str(row["device"]), time, causes))
    gaps = whole - sum(taken)
    return [*rows, Exposed("", "", "idle", "", gaps, {"idle": Fraction(gaps)})] if gaps else rows


def _owned(spans: Sequence[tuple[int, ...]], ranks: Sequence[int]) -> list[int]:
    """Time of each span in which none of a lower rank is under way; of equal ranks the first one counts."""
    owned = [0] * len(spans)
    edges = sorted((time, index) for index, span in enumerate(spans) for time in span)
    active: set[int] = set()
    for (time, index), (after, _) in pairwise([*edges, edges[-1]] if edges else []):
        active ^= {index}
        if active and after > time:
            owned[min(active, key=lambda one: (ranks[one], one))] += after - time
    return owned


def stack_ps(rows: Iterable[Exposed]) -> dict[str, int]:
    """Whole picoseconds by cause, in the order of `MEANINGS`; add up to the time of `rows`."""
    sums: dict[str, Fraction] = {}
    for row in rows:
        for cause, time in row.causes.items():
            sums[cause] = sums.get(cause, Fraction(0)) + time
    return whole_ps({cause: sums[cause] for cause in ordered(sums)})


def ordered(causes: Iterable[str]) -> list[str]:
    """Causes in the order of a stack."""
    found = list(dict.fromkeys(causes))
    return [cause for cause in MEANINGS if cause in found] + [cause for cause in found if cause not in MEANINGS]


def whole_ps(times: Mapping[str, Fraction]) -> dict[str, int]:
    """Times as whole numbers whose sum is that of `times`, rounded: their running sum is rounded, so no gap is left."""
    reached, total, rounded = 0, Fraction(0), {}
    for name, time in times.items():
        total += time
        rounded[name] = round(total) - reached
        reached = round(total)
    return rounded


def _records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Rows without what is missing in them."""
    return [
        {str(key): value for key, value in row.items() if value == value and value is not None}
        for row in frame.to_dict("records")
    ]


def _device_accounts(result: Result) -> dict[str, dict[str, int]]:
    """Time of each device by cause, without what it spends beside the rows of the table."""
    accounts: dict[str, dict[str, int]] = {}
    columns = (result.account["device"], result.account["cause"], result.account["time_total_ps"])
    for device, cause, time in zip(*columns, strict=True):
        if cause != "other_unit":
            accounts.setdefault(str(device), {})[str(cause)] = int(time)
    return accounts


def _shares(row: Mapping[str, object], by_device: Mapping[str, Mapping[str, int]]) -> dict[str, Fraction]:
    """Causes of a row with their shares of its time, which add up to 1."""
    device = str(row["device"])
    if device == "link":
        return {"link": Fraction(1)}
    own = {
        key.removeprefix("time_").removesuffix("_ps"): int(value)  # type: ignore[call-overload]
        for key, value in row.items()
        if key.startswith("time_") and key.endswith("_ps") and value
    }
    times = own or by_device.get(device, {})
    whole = sum(times.values())
    if not whole:
        return {"unexplained": Fraction(1)}
    shares = {cause: Fraction(time, whole) for cause, time in times.items()}
    if device != "gpu":
        return {f"{device}.{cause}": share for cause, share in shares.items()}
    return _refined(shares, row) if own else shares


def _refined(shares: dict[str, Fraction], row: Mapping[str, object]) -> dict[str, Fraction]:
    """Shares with padding and gathering told apart."""
    if row["part"] == "gemm" and "macs" not in row:
        launch = shares.get("launch", Fraction(0))
        return {"launch": launch, "gather": 1 - launch}
    useful, done = _whole(row.get("macs")), _whole(row.get("executed_macs"))
    if 0 <= useful < done and "compute" in shares:
        filled = shares["compute"] * Fraction(done - useful, done)
        shares = shares | {"compute": shares["compute"] - filled, "padding": filled}
    asked, came = _whole(row.get("asked_bytes")), _whole(row.get("fetched_bytes"))
    if 0 <= asked < came:
        beside = Fraction(came - asked, came)
        waits = {cause: shares[cause] for cause in _WAITS if cause in shares}
        shares = shares | {cause: share * (1 - beside) for cause, share in waits.items()}
        shares["gather"] = beside * sum(waits.values(), Fraction(0))
    return shares


def _whole(value: object) -> int:
    """A count of a table, -1 where it is missing."""
    return int(value) if isinstance(value, (int, float, np.integer)) else -1
