"""Layouts: which operands are strided, what that costs DRAM, and that both engines pay it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.hardware import Gpu
from accelsim.config.loader import load_hardware, load_library
from accelsim.config.options import Mapping
from accelsim.config.workload import Caches
from accelsim.machine.gemm.lower import gemm_program
from accelsim.machine.simulate import ENGINES
from accelsim.mapping.choice import choose
from accelsim.mapping.counts import count_blocks
from accelsim.mapping.gemm import plan_gemm
from accelsim.mapping.layout import dram_costs, strided_cost
from accelsim.model.graph import Gemm, Layout
from accelsim.validate.estimates import estimate_dense

COLD = Caches(activations="cold", weights="cold")
FIXED = Mapping(tile_m=64, tile_n=64, tile_k=64, split_k=1)


def gpu(strided: float | None) -> Gpu:
    base = load_hardware("v100_sxm2").gpu
    return base.model_copy(update={"dram": base.dram.model_copy(update={"strided_efficiency": strided})})


def cycles(gemm: Gemm, machine: Gpu, engine: str) -> float:
    library = load_library(machine.library)
    if engine == "choice":
        return choose(gemm, machine, library, FIXED, COLD).cycles
    plan = plan_gemm(gemm, machine, library, FIXED, COLD)
    program = gemm_program(plan, count_blocks(plan, machine), machine, COLD, "graph", 2, 2)
    return ENGINES[engine](program).end


@settings(deadline=None, max_examples=60)
@given(k=st.integers(1, 1 << 20), tile_k=st.sampled_from([8, 32, 64, 127, 128, 256]), share=st.floats(0.1, 1))
def test_short_pieces_of_uneven_rows_cost(k: int, tile_k: int, share: float) -> None:
    """Twice k bytes to a row, twice tile_k to a piece, 256 bytes to a channel."""
    uneven = k not in {1 << power for power in range(21)}
    expected = 1 / share if uneven and tile_k < 128 else 1.0
    assert strided_cost(k, tile_k, "fp16", gpu(share)) == pytest.approx(expected)


def test_operands_with_k_contiguous_pay() -> None:
    layouts: list[Layout] = ["row_major", "transposed"]
    paid = [[float(c) for c in dram_costs(5120, 32, "fp16", gpu(0.5), a, b)] for a in layouts for b in layouts]
    assert paid == [[2, 1], [2, 2], [1, 1], [1, 2]]


@pytest.mark.parametrize("engine", ["choice", "estimate", "events", "simpy"])
def test_engines_wait_for_strided_weights(engine: str) -> None:
    """A skinny product waits for its weights: at half the rate for about twice as long where rows are uneven."""
    strided, even = (Gemm("skinny", 64, 4096, k, b_layout="transposed") for k in (2560, 2048))
    across = Gemm("skinny", 64, 4096, 2560)
    half, whole = gpu(0.5), gpu(None)
    assert 1.5 < cycles(strided, half, engine) / cycles(strided, whole, engine) < 2.1
    assert cycles(even, half, engine) == pytest.approx(cycles(even, whole, engine), rel=0.1)
    assert cycles(across, half, engine) == pytest.approx(cycles(across, whole, engine), rel=0.1)


@settings(deadline=None, max_examples=20)
@given(
    k=st.integers(64, 5000),
    layouts=st.tuples(*[st.sampled_from(["row_major", "transposed"])] * 2),
    share=st.floats(0.3, 1),
)
def test_many_at_once_as_one_by_one(k: int, layouts: tuple[Layout, Layout], share: float) -> None:
    machine = gpu(share)
    library = load_library(machine.library)
    gemm = Gemm("one", 96, 3000, k, a_layout=layouts[0], b_layout=layouts[1])
    other = Gemm("other", 96, 3000, 2048)
    together = estimate_dense([other, gemm], [COLD, COLD], machine, library, Mapping())[1]
    alone = choose(gemm, machine, library, Mapping(), COLD)
    before = machine.launch.graph + machine.launch.start_drain
    assert together.seconds + before == pytest.approx(alone.cycles / machine.clock)
    assert np.isfinite(together.seconds)
