"""Why a sparse run is not as much faster as it saves multiply-accumulates: from the ideal time to the actual one.

With s the share that is left of the multiply-accumulates of the dense run's operations, the ideal is s times the dense
latency. Let an operation o keep a share s(o) of its own (1 where it has none), and let dense(o, c) and sparse(o, c) be
its times by cause c (`accelsim.results.stack`). Then

    sparse latency = s x dense latency                                      the ideal
                   + sum over o of s(o) dense(o)  -  s x dense latency      `unpruned`
                   + sum over o and c of sparse(o, c) - s(o) dense(o, c)    the other losses, by c
                   + time of operations that the dense run does not have    `added`

holds exactly, because both stacks add up to their latencies. A cause costs nothing when it shrinks as the
multiply-accumulates do. A loss below zero is a gain.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from accelsim.errors import ResultError
from accelsim.results.result import Result
from accelsim.results.stack import PS_PER_US, exposed, latency_ps, whole_ps

LOSSES = {
    "unpruned": "operations that save less than the whole, element-wise ones nothing, take their time",
    "padding": "tiles are filled up, and what fills them is multiplied too",
    "slower_unit": "a multiply-accumulate that counts takes longer: another unit, or a smaller tile",
    "launch": "launches take as long however little they do",
    "gather": "sectors are used in part, indices are read, columns are moved",
    "memory": "loads from L2 and DRAM do not shrink as the work does",
    "shared_memory": "traffic through shared memory does not shrink as the work does",
    "fill_and_drain": "set-up, first stage and epilogue of thread blocks do not shrink as the work does",
    "imbalance": "thread blocks of fewer k-steps wait for those of more",
    "tail": "fewer or uneven waves of thread blocks leave more of the device idle",
    "power_limit": "the clock falls to keep the board's power",
    "other_device": "attention runs on another device, with its transfers",
    "attention_unit": "the attention unit's time does not shrink as the work does",
    "link": "transfers do not shrink as the work does",
    "added": "operations that the dense run does not have, such as a guard's second pass",
    "other": "causes that have no place above",
}
"""Losses in the order of a waterfall, with what they are."""

_OF_CAUSE = {
    "compute": "slower_unit",
    "padding": "padding",
    "launch": "launch",
    "idle": "launch",
    "gather": "gather",
    "l2": "memory",
    "dram": "memory",
    "shared_memory": "shared_memory",
    "bank_conflict": "shared_memory",
    "prologue": "fill_and_drain",
    "epilogue": "fill_and_drain",
    "imbalance": "imbalance",
    "tail": "tail",
    "power_limit": "power_limit",
    "link": "link",
}


@dataclass
class _Operation:
    """What the kernels of an operation are together."""

    macs: int = 0
    time_ps: int = 0
    devices: set[str] = field(default_factory=set)
    causes: dict[str, Fraction] = field(default_factory=dict)


@dataclass(frozen=True)
class Waterfall:
    """From the time that saved work would leave to the time that was left."""

    dense_ps: int
    ideal_ps: int
    actual_ps: int
    macs_saved: float
    """Dense multiply-accumulates over those that the same operations do."""
    losses: Mapping[str, int]
    """Picoseconds by loss, in the order of `LOSSES`; with `ideal_ps` they add up to `actual_ps`."""
    operations: tuple[dict[str, object], ...]
    """`operation`, `kept` (share of its multiply-accumulates), `dense_us`, `ideal_us`, `actual_us`, `loss_us`; the
    largest loss first."""

    @property
    def speedup(self) -> float:
        """Dense latency over the actual one."""
        return self.dense_ps / self.actual_ps

    def rows(self) -> list[dict[str, Any]]:
        """For each loss `time_us`, its share of all losses less gains, the latency `reached_us` after it, and the
        speed-up `without` it (None where nothing would be left)."""
        gap, reached, rows = self.actual_ps - self.ideal_ps, self.ideal_ps, []
        for name, time in self.losses.items():
            reached += time
            left = self.actual_ps - time
            rows.append(
                {
                    "loss": name,
                    "meaning": LOSSES[name],
                    "time_ps": time,
                    "time_us": time / PS_PER_US,
                    "share_percent": 100 * time / gap if gap else None,
                    "reached_us": reached / PS_PER_US,
                    "speedup_without": self.dense_ps / left if left > 0 else None,
                }
            )
        return rows

    def document(self) -> dict[str, object]:
        """As plain values of JSON."""
        return {
            "macs_saved": self.macs_saved,
            "speedup": self.speedup,
            "dense_us": self.dense_ps / PS_PER_US,
            "ideal_us": self.ideal_ps / PS_PER_US,
            "actual_us": self.actual_ps / PS_PER_US,
            "losses": self.rows(),
            "operations": list(self.operations),
        }


def waterfall(baseline: Result, result: Result) -> Waterfall:
    """Losses of a run against the dense one of the same machine and workload.

    Parameters
    ----------
    baseline, result : Result
        With operations in their tables of kernels.

    Raises
    ------
    ResultError
        When machines or workloads differ, one of them multiplies nothing or takes no time, or a table names no
        operations.
    """
    _check(baseline, result)
    before, after = _operations(baseline), _operations(result)
    dense_ps, actual_ps = latency_ps(baseline), latency_ps(result)
    left = _left(before, after)
    times = dict.fromkeys(LOSSES, Fraction(0))
    times["unpruned"] = -left * dense_ps
    rows = []
    for name in dict.fromkeys((*before, *after)):
        dense, sparse = before.get(name), after.get(name, _Operation())
        if dense is None:
            times["added"] += sparse.time_ps
            rows.append(_row(name, Fraction(1), _Operation(), sparse))
            continue
        kept = Fraction(sparse.macs, dense.macs) if dense.macs else Fraction(1)
        times["unpruned"] += kept * dense.time_ps
        moved = bool(dense.devices and sparse.devices) and dense.devices != sparse.devices
        for cause in {**dense.causes, **sparse.causes}:
            loss = sparse.causes.get(cause, Fraction(0)) - kept * dense.causes.get(cause, Fraction(0))
            times["other_device" if moved else _loss_of(cause)] += loss
        rows.append(_row(name, kept, dense, sparse))
    ideal = round(left * dense_ps)
    whole = whole_ps({"ideal": left * dense_ps, **times})
    losses = {name: time for name, time in whole.items() if time and name != "ideal"}
    rows.sort(key=lambda row: -float(str(row["loss_us"])))
    return Waterfall(dense_ps, ideal, actual_ps, float(1 / left), losses, tuple(rows))


def _row(name: str, kept: Fraction, dense: _Operation, sparse: _Operation) -> dict[str, object]:
    ideal = kept * dense.time_ps
    return {
        "operation": name,
        "kept": float(kept),
        "dense_us": dense.time_ps / PS_PER_US,
        "ideal_us": float(ideal / PS_PER_US),
        "actual_us": sparse.time_ps / PS_PER_US,
        "loss_us": float((sparse.time_ps - ideal) / PS_PER_US),
    }


def _loss_of(cause: str) -> str:
    return "attention_unit" if cause.startswith("attention_unit.") else _OF_CAUSE.get(cause, "other")


def _operations(result: Result) -> dict[str, _Operation]:
    """Operations by name in order of begin."""
    found: dict[str, _Operation] = {}
    for row in exposed(result):
        operation = found.setdefault(row.operation, _Operation())
        operation.time_ps += row.time_ps
        operation.devices |= {row.device} - {"link", ""}
        for cause, time in row.causes.items():
            operation.causes[cause] = operation.causes.get(cause, Fraction(0)) + time
    for name, macs in zip(result.kernels["operation"], result.kernels["macs"], strict=True):
        found[str(name)].macs += 0 if macs != macs else int(macs)
    return found


def _left(before: Mapping[str, _Operation], after: Mapping[str, _Operation]) -> Fraction:
    """Share that is left of the multiply-accumulates of the dense run's operations."""
    dense = sum(operation.macs for operation in before.values())
    sparse = sum(operation.macs for name, operation in after.items() if name in before)
    if not dense or not sparse:
        raise ResultError(f"the {'dense' if not dense else 'pruned'} run multiplies nothing, so there is no ideal time")
    return Fraction(sparse, dense)


def _check(baseline: Result, result: Result) -> None:
    for key in ("hardware", "workload"):
        names = (str(baseline.summary[key]), str(result.summary[key]))
        if len(set(names)) > 1:
            raise ResultError(f"losses are those of one {key}, not of {' and '.join(names)}; accelsim diff takes both")
    for one in (baseline, result):
        if not latency_ps(one):
            raise ResultError(f"{one.scheme} on {one.summary['workload']} takes no time, so there is nothing to lose")
    for one in (baseline, result):
        missing = [column for column in ("operation", "macs") if column not in one.kernels.columns]
        if missing:
            raise ResultError(f"the result of {one.scheme} names no operations (no {missing[0]}); run it again")
