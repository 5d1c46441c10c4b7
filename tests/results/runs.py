"""Hand-made results whose kernels have accounts of their own, for tests of explanations and differences."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
from hypothesis import strategies as st

from accelsim.results import Result
from tests.results.examples import example

CAUSES = ("launch", "compute", "l2", "dram", "tail")
SMS = 3


def kernel(
    name: str,
    begin_ps: int,
    times: Sequence[int],
    *,
    operation: str | None = None,
    device: str = "gpu",
    part: str = "gemm",
    macs: float | None = None,
    executed: float | None = None,
    asked: float | None = None,
    fetched: float | None = None,
) -> dict[str, object]:
    """A row of kernels that takes the sum of `times` (whole picoseconds by cause of `CAUSES`) on each of three SMs."""
    end_ps = begin_ps + sum(times)
    return {
        **{"name": name, "operation": operation or name, "device": device, "part": part},
        **{"begin_us": begin_ps / 1e6, "end_us": end_ps / 1e6, "duration_us": (end_ps - begin_ps) / 1e6},
        **{"macs": macs, "executed_macs": executed, "asked_bytes": asked, "fetched_bytes": fetched},
        **{f"time_{cause}_ps": SMS * time for cause, time in zip(CAUSES, times, strict=True)},
    }


def run_of(rows: Sequence[dict[str, object]], scheme: str = "dense", **changes: object) -> Result:
    """A result of these kernels; `changes` replace entries of its summary."""
    table = pd.DataFrame(list(rows)).astype({"macs": "float64", "executed_macs": "float64"})
    table = table.astype({"asked_bytes": "float64", "fetched_bytes": "float64"})
    latency = max(float(str(row["end_us"])) for row in rows)
    macs = int(table["macs"].fillna(0).sum())
    return replace(
        example(scheme, latency_us=latency, effectual_macs=macs, skipped_macs=931_135_488 - macs, **changes),
        kernels=table,
    )


@st.composite
def runs(draw: st.DrawFn, scheme: str = "dense") -> Result:
    """Results of one to four kernels with gaps, transfers beside them, padding and gathering."""
    rows: list[dict[str, object]] = []
    now = draw(st.integers(0, 50))
    for index in range(draw(st.integers(1, 4))):
        times = [draw(st.integers(1 if cause == "compute" else 0, 10**6)) for cause in CAUSES]
        macs = draw(st.integers(1, 10**9))
        asked = draw(st.integers(1, 10**6))
        rows.append(
            kernel(
                f"k{index}", now, times, operation=f"o{index // 2}", part=draw(st.sampled_from(("gemm", "attention"))),
                macs=macs, executed=macs + draw(st.integers(0, 10**8)), asked=asked,
                fetched=asked + draw(st.integers(0, 10**6)),
            )
        )  # fmt: skip
        if draw(st.booleans()):
            begin = now + draw(st.integers(0, 10**6))
            sent = kernel(f"k{index}.send", begin, (0,) * 5, operation=f"o{index // 2}", device="link", part="transfer")
            rows.append(sent | {"end_us": (begin + draw(st.integers(0, 10**6))) / 1e6})
        now += sum(times) + draw(st.integers(0, 1000))
    return run_of(rows, scheme)
