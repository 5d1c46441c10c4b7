"""From a measured row to a simulated latency: the very kernel and time of a run under the row's conditions."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim
from accelsim.config.hardware import Gpu
from accelsim.config.loader import load_hardware, load_library
from accelsim.config.options import Mapping
from accelsim.config.workload import Caches, GemmWorkload
from accelsim.errors import UserError
from accelsim.mapping.choice import rank
from accelsim.model.graph import Gemm
from accelsim.validate.estimates import estimate_dense
from accelsim.validate.notes import Conditions
from accelsim.validate.predict import predict
from accelsim.validate.rows import MeasuredRow

SIZES = st.one_of(st.just(1), st.integers(1, 64), st.sampled_from([100, 256, 1000, 2048, 5124, 8192]))


@pytest.fixture(scope="module")
def a100() -> Gpu:
    return load_hardware("a100_sxm4_80gb").gpu


def row(m: int, n: int, k: int, op: str = "gemm", **told: object) -> MeasuredRow:
    sparsity = 0.75 if op != "gemm" else 0.0
    conditions = replace(Conditions(), **told)  # type: ignore[arg-type]
    return MeasuredRow(1, 2, "some GPU", "fp16", op, 1, m, n, k, sparsity, 1.0, None, conditions)


@settings(deadline=None, max_examples=15)
@given(
    shapes=st.lists(st.tuples(SIZES, SIZES, SIZES), min_size=1, max_size=5),
    hardware=st.sampled_from(["a100_sxm4_80gb", "h100_sxm5", "t4"]),
    caches=st.builds(Caches, activations=st.sampled_from(["cold", "warm"]), weights=st.sampled_from(["cold", "warm"])),
    batch=st.sampled_from([1, 3]),
    split_k=st.sampled_from([None, 2]),
)
def test_many_estimates_at_once_are_those_of_the_choice_of_kernels(
    shapes: list[tuple[int, int, int]], hardware: str, caches: Caches, batch: int, split_k: int | None
) -> None:
    gpu = load_hardware(hardware).gpu
    library, mapping = load_library(gpu.library), Mapping(split_k=split_k)
    weight = "weight" if batch == 1 else None
    gemms = [Gemm("gemm", *shape, batch=batch, dtype="fp16", weight=weight) for shape in shapes]
    found = estimate_dense(gemms, [caches] * len(gemms), gpu, library, mapping)
    launch = gpu.launch.graph + gpu.launch.start_drain
    for gemm, estimate in zip(gemms, found, strict=True):
        best = rank(gemm, gpu, library, mapping, caches)[0]
        assert estimate.tile == best.tile
        np.testing.assert_allclose(estimate.seconds + launch, best.cycles / gpu.clock, rtol=1e-9)


@pytest.mark.parametrize("launch", ["graph", "stream"])
def test_events_take_the_time_of_a_run(a100: Gpu, launch: str) -> None:
    workload = GemmWorkload(kind="gemm", name="one", m=300, n=512, k=1024, launch=launch)  # type: ignore[arg-type]
    result = accelsim.run("a100_sxm4_80gb", workload, values=False)
    found = predict([row(300, 512, 1024, launch=launch)], a100, "events")[0]
    assert found.latency_us == pytest.approx(result.summary["latency_us"], rel=1e-9)


@pytest.mark.parametrize("engine", ["estimate", "events"])
def test_launches_differ_by_what_precedes_the_kernel(a100: Gpu, engine: str) -> None:
    rows = [row(512, 512, 512, launch=launch) for launch in ("kernel", "graph", "stream")]
    kernel, graph, stream = (found.latency_us or 0.0 for found in predict(rows, a100, engine))  # type: ignore[arg-type]
    assert graph - kernel == pytest.approx(1e6 * a100.launch.graph, abs=2e-3)
    assert stream - graph == pytest.approx(1e6 * (a100.launch.stream - a100.launch.graph), abs=2e-3)


def test_column_major_products_are_the_transposed_row_major_ones(a100: Gpu) -> None:
    column, row_major = predict([row(4096, 16, 1024, order="column"), row(16, 4096, 1024)], a100)
    assert column == row_major


def test_weights_are_warm_when_all_their_copies_fit(a100: Gpu) -> None:
    def time(**told: object) -> float:
        return predict([row(16, 2048, 2048, **told)], a100)[0].latency_us or 0.0

    # 8 MiB of weights: three copies fit 40 MiB, six do not.
    assert time(copies=3) == time(warm="both") < time(copies=6) == time(warm="activations")
    assert time(copies=6) < time(warm="none")


def test_a_fixed_kernel_is_the_one_simulated(a100: Gpu) -> None:
    found = predict([row(1024, 1024, 1024, tile=(64, 64, 64), stages=5, split_k=2)], a100)[0]
    assert found.kernel == "64 x 64 x 64 in 5 stages, split-K 2"
    assert found.waves == pytest.approx(16 * 16 * 2 / (108 * 2))


def test_a_named_library_has_a_menu_of_its_own() -> None:
    v100 = load_hardware("v100_pcie").gpu
    rows = [row(1024, 768, 768, library=name) for name in ("cublas", "cutlass", "somebody")] + [row(1024, 768, 768)]
    assert [found.library for found in predict(rows, v100)] == [
        "cublas_volta", "cutlass_volta", "cublas_volta", "cublas_volta",
    ]  # fmt: skip
    forced = predict(rows, v100, library=load_library("cutlass_volta"))
    assert {found.library for found in forced} == {"cutlass_volta"}


@pytest.mark.parametrize("engine", ["estimate", "events"])
def test_tile_wise_products_are_simulated_with_masks(engine: str) -> None:
    v100 = load_hardware("v100_pcie").gpu
    sparse, dense, wide = predict(
        [
            row(2048, 768, 768, op="tilewise", library="cutlass", strategy="merged"),
            row(2048, 768, 768, library="cutlass"),
            row(2048, 64, 768, op="tilewise"),
        ],
        v100,
        engine,  # type: ignore[arg-type]
    )
    assert 0 < (sparse.latency_us or 0) < (dense.latency_us or 0)
    assert wide.latency_us is None
    assert "wider than the 64" in wide.reason


def test_what_is_not_modelled_has_a_reason(a100: Gpu) -> None:
    attention = replace(row(0, 0, 0, op="generation"), attention={"q_len": 1})
    kinds = [attention, row(1, 1, 1, op="spmm_2to4"), row(1, 1, 1, op="spmm_vnm"), row(1, 1, 1, op="sort")]
    found = predict([*kinds, replace(row(1, 1, 1), sparsity=0.5), row(8, 8, 8)], a100)
    assert [one.latency_us is None for one in found] == [True] * 5 + [False]
    assert [bool(one.reason) for one in found] == [True] * 5 + [False]
    assert "sort" in found[3].reason


def test_a_format_that_the_gpu_lacks_is_the_users_mistake() -> None:
    v100 = load_hardware("v100_sxm2").gpu
    with pytest.raises(UserError, match=r"row 1 \(line 2\): v100_sxm2 cannot multiply bf16; it takes fp16"):
        predict([replace(row(8, 8, 8), dtype="bf16")], v100)


@pytest.mark.parametrize("engine", ["estimate", "events"])
def test_waiting_for_each_product_takes_a_round_trip(engine: str) -> None:
    gpu = load_hardware("v100_pcie").gpu
    told = [row(1024, 1024, 1024, launch=launch) for launch in ("stream", "sync")]
    stream, sync = (found.latency_us for found in predict(told, gpu, engine=engine))  # type: ignore[arg-type]
    assert gpu.launch.sync is not None
    assert stream is not None
    assert sync is not None
    expected = 1e6 * (gpu.launch.sync - gpu.launch.stream - gpu.launch.start_drain)
    assert sync - stream == pytest.approx(expected, rel=1e-3)


def test_waiting_needs_to_be_described(a100: Gpu) -> None:
    assert "launch.sync" in predict([row(512, 512, 512, launch="sync")], a100)[0].reason
    workload = GemmWorkload(kind="gemm", m=512, n=512, k=512, launch="sync")
    with pytest.raises(UserError, match="launch may be graph or stream"):
        accelsim.run("a100_sxm4_80gb", workload, values=False)
