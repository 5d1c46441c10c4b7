"""A session of measurements: what PyTorch and the device are, and one case after another into the table."""

from __future__ import annotations

import gc
import os
import platform
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import products
from .board import Board, NoBoard, open_board
from .cases import Case, warm_state
from .errors import DeviceLostError, NotMeasurableError, UsageError
from .table import Table, notes_of
from .tile_wise import tile_wise
from .timing import Cpu, Cuda, Device, Settings, measure

_TOLERANCE = {"fp16": 1e-2, "bf16": 2e-2, "tf32": 1e-2, "fp32": 1e-4}
"""Relative error of a sparse product, above which its kernel computes something else."""


@dataclass(frozen=True)
class Bench:
    """PyTorch, the device that is measured, and what it says of itself."""

    torch: Any
    device: Any
    board: Board
    name: str
    capability: tuple[int, int] | None
    """Of CUDA; None on a processor."""
    l2_bytes: int | None

    def takes(self, dtype: str) -> bool:
        """Whether the device multiplies a format in hardware, as far as its generation tells."""
        if self.capability is None:
            return dtype != "tf32"
        return self.capability >= {"bf16": (8, 0), "tf32": (8, 0), "int8": (7, 5), "fp16": (5, 3)}.get(dtype, (0, 0))


def open_bench(device: str, name: str = "") -> Bench:
    """PyTorch and a device.

    Parameters
    ----------
    device : str
        cuda, cuda:N or cpu.
    name : str
        For the column gpu, instead of the name that the device gives.

    Raises
    ------
    UsageError
        When PyTorch is not installed, or CUDA or the device is not there.
    """
    try:
        import torch
    except ImportError as error:
        raise UsageError(
            f"PyTorch cannot be imported ({error}); install it for your GPU: https://pytorch.org"
        ) from None
    warnings.filterwarnings("ignore", category=UserWarning, module="torch")
    if device == "cpu":
        return Bench(torch, torch.device("cpu"), NoBoard(), name or _processor(), None, None)
    if not torch.cuda.is_available():
        built = torch.version.cuda or "without CUDA"
        raise UsageError(
            f"PyTorch {torch.__version__} (built for CUDA: {built}) finds no CUDA device; check nvidia-smi, or try "
            "--device cpu --quick"
        )
    index = int(device.partition(":")[2] or 0)
    if index >= torch.cuda.device_count():
        raise UsageError(f"no device {device}; CUDA has {torch.cuda.device_count()}, counted from 0")
    torch.cuda.set_device(index)
    told = torch.cuda.get_device_properties(index)
    board = open_board(_identity(getattr(told, "uuid", None), index))
    given = name or str(told.name).removeprefix("NVIDIA ")
    l2_bytes = getattr(told, "L2_cache_size", None)
    return Bench(torch, torch.device("cuda", index), board, given, (told.major, told.minor), l2_bytes)


def _identity(uuid: object, index: int) -> str:
    """How NVML finds the device that CUDA calls `index`: NVML counts the boards that CUDA_VISIBLE_DEVICES hides."""
    if uuid is not None:
        return str(uuid) if str(uuid).startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
    visible = [word.strip() for word in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if word.strip()]
    return visible[index] if index < len(visible) else str(index)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


def base_cells(bench: Bench, dataset: str) -> dict[str, str]:
    """Columns that all rows of a session share."""
    version = str(bench.torch.__version__)
    return {"dataset": dataset, "gpu": bench.name, "driver": bench.board.driver, "torch": version}


def run_cases(
    cases: Sequence[Case], bench: Bench, table: Table, settings: Settings, dataset: str, say: Callable[[str], None]
) -> Counter[str]:
    """Measure what the table does not have yet; each row is in the file before the next case begins.

    Parameters
    ----------
    say : callable
        Takes a line about each case.

    Returns
    -------
    Counter
        Cases that were measured, were there, and could not be measured.

    Raises
    ------
    DeviceLostError
        When the device no longer works after a case has failed.
    """
    counts: Counter[str] = Counter(measured=0, there=0, failed=0)
    base = base_cells(bench, dataset)
    for number, case in enumerate(cases, 1):
        cells = base | case.cells()
        if cells in table:
            counts["there"] += 1
            continue
        begin = f"[{number}/{len(cases)}] {case}"
        try:
            cells |= _measured(case, bench, settings)
        except NotMeasurableError as error:
            counts["failed"] += 1
            say(f"{begin}: not measured: {error}")
            continue
        table.append(cells | {"notes": notes_of(cells)})
        counts["measured"] += 1
        power = f", {float(cells['power_w']):.0f} W" if "power_w" in cells else ""
        say(f"{begin}: {float(cells['latency_us']):.2f} us{power}")
    return counts


def _measured(case: Case, bench: Bench, settings: Settings) -> dict[str, str]:
    """Columns that come from measuring a case."""
    reason = case.reason_against() or ("" if bench.takes(case.dtype) else f"{bench.name} has no {case.dtype}")
    if reason:
        raise NotMeasurableError(reason)
    try:
        with bench.torch.no_grad():
            return _run(case, bench, settings)
    except (RuntimeError, TypeError, ValueError, ImportError) as error:
        lines = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
    _recover(case, bench, reason)
    raise NotMeasurableError(reason)


def _run(case: Case, bench: Bench, settings: Settings) -> dict[str, str]:
    torch = bench.torch
    torch.manual_seed(0)
    products.set_precision(torch, case.dtype)
    build = {"gemm": products.dense, "spmm_2to4": products.sparse24, "tilewise": tile_wise}
    operation = build.get(case.op, products.attention)(torch, case, bench.device)
    if operation.relative_error is not None:
        error = operation.relative_error()
        if not error <= _TOLERANCE[case.dtype]:
            raise NotMeasurableError(f"wrong result: relative error {error:.2g}")
    on_cuda = bench.capability is not None
    device: Device = Cuda(torch, bench.board, case.launch == "graph") if on_cuda else Cpu(bench.board)
    timing = asdict(measure(operation.calls, device, settings))
    found = {"latency_us": timing.pop("median_us"), **timing, **(operation.tile or {})}
    cells = {name: f"{value:.6g}" for name, value in found.items() if value is not None}
    warm = warm_state(case, bench.l2_bytes)
    del operation
    _free(bench)
    return cells | ({"warm": warm} if warm else {})


def _free(bench: Bench) -> None:
    """Give memory back, which closures of the last case may hold in a circle."""
    gc.collect()
    if bench.capability is not None:
        bench.torch.cuda.empty_cache()


def _recover(case: Case, bench: Bench, reason: str) -> None:
    """After a failure: free memory, and see whether the device still works."""
    try:
        _free(bench)
        if bench.capability is not None:
            bench.torch.cuda.synchronize()
            float(bench.torch.ones(1, device=bench.device).sum())
    except RuntimeError:
        raise DeviceLostError(f"the device stopped working at {case}: {reason}; run again to go on after it") from None
