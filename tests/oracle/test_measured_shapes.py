"""Events and closed form on shapes that real GPUs ran; skipped where the measured table is not at hand."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from accelsim.config.loader import load_config
from accelsim.estimate.program import estimate_program
from accelsim.machine.gemm.events import run_events
from accelsim.machine.gemm.lower import gemm_program
from accelsim.mapping.choice import rank
from accelsim.mapping.counts import count_blocks
from accelsim.mapping.gemm import plan_gemm
from accelsim.model.graph import Gemm

DATA = Path(os.environ.get("ACCELSIM_DATA", Path(__file__).parents[3] / "shared")) / "measured" / "gemm_dense.csv"
GPUS = {
    "A100-SXM4-80GB": "a100_sxm4_80gb",
    "H100-SXM5-80GB": "h100_sxm5",
    "V100-SXM2-16GB": "v100_sxm2",
    "T4": "t4",
}


def simulated(gpu_name: str, m: int, n: int, k: int) -> tuple[float, float, float]:
    """Cycles by events, by the closed form of the same program, and by the one that chooses kernels."""
    from accelsim.config.loader import load_library

    config = load_config(gpu_name, "gemm_1024", sets=[f"workload.m={m}", f"workload.n={n}", f"workload.k={k}"])
    gpu = config.hardware.gpu
    library, caches = load_library(gpu.library), config.workload.caches
    gemm = Gemm("gemm", m, n, k)
    plan = plan_gemm(gemm, gpu, library, config.mapping, caches)
    program = gemm_program(plan, count_blocks(plan, gpu), gpu, caches, "graph", 2, 2)
    best = rank(gemm, gpu, library, config.mapping, caches)[0]
    return run_events(program).end / 256, estimate_program(program).end / 256, best.cycles


@pytest.mark.skipif(not DATA.exists(), reason=f"needs the measured table {DATA.name} (set ACCELSIM_DATA)")
def test_the_closed_forms_agree_with_events_on_200_measured_shapes() -> None:
    rows = pd.read_csv(DATA).sample(200, random_state=0)
    results = np.asarray([simulated(GPUS[row.gpu], row.m, row.n, row.k) for row in rows.itertuples()])
    for estimate in (results[:, 1], results[:, 2]):
        error = np.abs(estimate / results[:, 0] - 1)
        assert np.median(error) <= 0.05
        assert np.quantile(error, 0.9) <= 0.15
