"""Fused attention as a device program: engines agree with each other and with the closed form."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.fused_attention import AttentionKernel, AttentionStack, FusedAttention
from accelsim.config.hardware import Library
from accelsim.config.loader import load_energy, load_hardware, load_library
from accelsim.config.workload import Caches
from accelsim.errors import MappingError
from accelsim.estimate.fused_attention import AttentionShape
from accelsim.estimate.program import estimate_program
from accelsim.machine.gemm.events import run_events
from accelsim.machine.gemm.fused_attention import estimate_fused_attention, fused_attention_program
from accelsim.machine.gemm.program import TICKS_PER_CYCLE, DeviceRun
from accelsim.machine.gemm.twin import run_simpy
from accelsim.mapping.fused_attention import FusedAttentionPlan, plan_fused_attention
from tests.mapping.machines import gpu

GPU = gpu()
COLD = Caches(activations="cold")


def library(*kernels: dict[str, object], **stack: object) -> Library:
    """A menu with one stack."""
    given = {"launch": "2 us", "efficiency": 0.7, "kernels": list(kernels)} | stack
    fused = {"default": "own", "stacks": {"own": given}}
    return load_library("cublas_ampere").model_copy(update={"fused_attention": FusedAttention.model_validate(fused)})


SMALL = library({"head_dim": 32, "tile_q": 16, "tile_k": 16, "resident": 2})


def plan(q_heads: int, kv_heads: int, q_len: int, kv_len: int, causal: bool) -> FusedAttentionPlan:
    shape = AttentionShape(1, q_heads, kv_heads, 24, q_len, kv_len, causal)
    return plan_fused_attention(shape, "fp16", GPU, SMALL)


cases = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 60), st.integers(0, 40), st.booleans())


@settings(deadline=None, max_examples=15)
@given(cases, st.sampled_from(["graph", "stream"]), st.sampled_from(["warm", "cold"]))
def test_both_engines_agree(case: tuple[int, int, int, int, bool], launch: str, state: str) -> None:
    kv_heads, group, q_len, more, causal = case
    own = plan(kv_heads * group, kv_heads, q_len, q_len + more, causal)
    program = fused_attention_program(own, GPU, Caches.model_validate({"activations": state}), launch)
    run = run_events(program)
    assert run.same_as(run_simpy(program))
    assert (run.sm_time.sum(axis=1) == run.end).all()


@settings(deadline=None, max_examples=40)
@given(cases)
def test_every_byte_is_counted(case: tuple[int, int, int, int, bool]) -> None:
    kv_heads, group, q_len, more, causal = case
    own = plan(kv_heads * group, kv_heads, q_len, q_len + more, causal)
    run = run_events(fused_attention_program(own, GPU, COLD, "graph"))
    assert run.steps == own.tiles
    assert run.dram_write_bytes == run.l2_write_bytes == own.shape.query_bytes
    assert run.dram_read_bytes == own.shape.query_bytes + own.shape.key_bytes
    assert run.l2_read_bytes >= own.shape.query_bytes
    assert run_events(fused_attention_program(own, GPU, Caches(), "graph")).dram_read_bytes == 0


def seconds(run: DeviceRun, clock: float) -> float:
    return run.end / (TICKS_PER_CYCLE * clock)


@pytest.mark.parametrize("name", ["a100_sxm4_80gb", "h100_sxm5", "t4"])
@pytest.mark.parametrize("shape", [(1, 12, 64, 1), (1, 12, 64, 77), (8, 12, 64, 512), (2, 16, 128, 3841)])
@pytest.mark.parametrize("causal", [False, True])
def test_events_and_estimate_agree_with_the_closed_form(
    name: str, shape: tuple[int, int, int, int], causal: bool
) -> None:
    machine, (batch, heads, head_dim, length) = load_hardware(name).gpu, shape
    menu = load_library(machine.library)
    found = estimate_fused_attention(machine, menu, batch, heads, heads, head_dim, length, length, causal, dtype="fp16")
    program = fused_attention_program(found.plan, machine, COLD, "graph")
    for engine in (run_events, estimate_program):
        assert seconds(engine(program), machine.clock) == pytest.approx(found.seconds, rel=0.25)


def test_a_launch_that_is_no_replay_takes_longer() -> None:
    own = plan(2, 2, 40, 40, False)
    graph, stream = (run_events(fused_attention_program(own, GPU, COLD, launch)).end for launch in ("graph", "stream"))
    assert stream - graph == pytest.approx((GPU.launch.stream - GPU.launch.graph) * GPU.clock * TICKS_PER_CYCLE, abs=2)


def test_a_long_kernel_is_slowed_by_the_power_limit() -> None:
    machine, menu = load_hardware("h100_sxm5").gpu, load_library("cublas_hopper")
    shape = (4, 32, 32, 128, 16384, 16384, True)
    free = estimate_fused_attention(machine, menu, *shape)
    assert machine.power is not None
    lower = machine.model_copy(update={"power": machine.power.model_copy(update={"limit": 400.0})})
    slowed = estimate_fused_attention(lower, menu, *shape, energy=load_energy(machine.energy))
    assert slowed.seconds > 1.2 * free.seconds
    assert free.actions == slowed.actions


def test_a_prompt_is_written_to_the_cache_first() -> None:
    machine, menu = load_hardware("a100_sxm4_80gb").gpu, load_library("cublas_ampere")
    for stack in ("vllm", "trtllm"):
        encoder, prompt = (
            estimate_fused_attention(machine, menu, 8, 32, 8, 128, 512, 512, True, stack, prompt=prompt)
            for prompt in (False, True)
        )
        moved = prompt.cache.moved_bytes
        assert prompt.seconds > encoder.seconds + moved / machine.dram.bandwidth
        assert prompt.actions["dram_byte"] == encoder.actions["dram_byte"] + moved
        assert moved == 2 * (
            encoder.plan.shape.key_bytes + (encoder.plan.shape.query_bytes if stack == "trtllm" else 0)
        )


def test_kernels_are_chosen_by_heads_length_and_mask() -> None:
    machine, menu = load_hardware("h100_sxm5").gpu, load_library("cublas_hopper")

    def tile(head_dim: int, length: int, causal: bool) -> tuple[int, int, int]:
        shape = AttentionShape(1, 1, 1, head_dim, length, length, causal)
        kernel = plan_fused_attention(shape, "bf16", machine, menu, "vllm").kernel
        return kernel.tile_q, kernel.tile_k, kernel.head_dim

    assert tile(64, 64, True) == (64, 128, 64)
    assert tile(64, 65, True) == (192, 128, 64)
    assert tile(64, 65, False) == (192, 192, 64)
    assert tile(72, 8, False) == (192, 144, 96)
    assert tile(257, 8, False) == (64, 64, 512)


@pytest.mark.parametrize(
    ("shape", "dtype", "stack", "message"),
    [
        ((1, 4, 4, 64, 9, 9), "fp32", None, "fused attention kernels take fp16 and bf16, not fp32"),
        ((1, 4, 4, 600, 9, 9), "bf16", None, "takes heads of 600; its widest take 256"),
        ((1, 4, 3, 64, 9, 9), "bf16", None, "4 heads of queries cannot share 3 of keys"),
        ((1, 4, 4, 64, 9, 8), "bf16", None, "9 queries needs at least as many keys, not 8"),
        ((1, 4, 4, 64, 9, 9), "bf16", "vlm", "no attention stack 'vlm'; did you mean 'vllm'"),
    ],
)
def test_what_does_not_work_is_named(shape: tuple[int, ...], dtype: str, stack: str | None, message: str) -> None:
    machine, menu = load_hardware("a100_sxm4_80gb").gpu, load_library("cublas_ampere")
    with pytest.raises(MappingError, match=message):
        estimate_fused_attention(machine, menu, *shape, True, stack, dtype=dtype)  # type: ignore[arg-type]


def test_a_machine_needs_tensor_cores_and_a_library_that_has_kernels() -> None:
    with pytest.raises(MappingError, match="those of t4 do not take bf16"):
        estimate_fused_attention(load_hardware("t4").gpu, load_library("cublas_turing"), 1, 1, 1, 64, 8, 8, False)
    edge = load_hardware("edge_array").gpu
    with pytest.raises(MappingError, match=r"has no fused attention \(fused_attention\)"):
        estimate_fused_attention(edge, load_library(edge.library), 1, 1, 1, 64, 8, 8, False, dtype="fp16")


def test_a_default_must_be_one_of_the_stacks() -> None:
    kernel = AttentionKernel(head_dim=64, tile_q=64, tile_k=64)
    stack = AttentionStack(launch="1 us", efficiency=0.5, kernels=[kernel])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="default is 'other'; it must be one of own"):
        FusedAttention(stacks={"own": stack}, default="other")
