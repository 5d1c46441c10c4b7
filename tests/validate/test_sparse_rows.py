"""Measured 2:4 and V:N:M products: which product stands for a row, and how far its time is from measurements."""

import os
import runpy
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.hardware import Gpu
from accelsim.config.loader import load_hardware, load_library
from accelsim.config.options import Mapping
from accelsim.config.workload import Caches
from accelsim.errors import UserError
from accelsim.mapping.counts import count_blocks
from accelsim.mapping.plan import GemmPlan
from accelsim.mapping.sparse import plan_sparse
from accelsim.pruning.packed.groups import pack_groups
from accelsim.validate import read_rows, validate
from accelsim.validate.calibrate import is_held_out
from accelsim.validate.notes import Conditions
from accelsim.validate.predict import ValidationEngine, predict
from accelsim.validate.rows import MeasuredRow
from accelsim.validate.sparse_rows import not_sparse, sparse_operand, transposed_gemm, transposed_kernel
from tests.validate.tables import HEADER, write

DATA = Path(os.environ.get("ACCELSIM_DATA", Path(__file__).parents[3] / "shared")) / "measured" / "gemm_sparse.csv"
measured = pytest.mark.skipif(not DATA.is_file(), reason="needs the measured tables (set ACCELSIM_DATA)")
ENGINES: tuple[ValidationEngine, ...] = ("estimate", "events")


@pytest.fixture(scope="module")
def gpu() -> Gpu:
    return load_hardware("rtx3090").gpu


def row(m: int, n: int, k: int, pattern: str | None = None, sparsity: float = 0.0, **told: object) -> MeasuredRow:
    op = "spmm_2to4" if pattern is None else "spmm_vnm"
    conditions = replace(Conditions(pattern=pattern), **told)  # type: ignore[arg-type]
    return MeasuredRow(1, 2, "RTX3090", "fp16", op, 1, m, n, k, sparsity, 1.0, None, conditions)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 70), st.integers(1, 400), st.sampled_from([1, 3, 16, 32]), st.integers(4, 50)
)  # fmt: skip
def test_every_v_rows_choose_four_of_each_m_and_keep_two(m: int, k: int, v: int, group: int) -> None:
    v = min(v, m)
    operand = sparse_operand(row(m, 8, k, f"{v}:2:{group}"))
    weights = operand.pack(k, m)
    assert (weights.k, weights.n, weights.slots, weights.group) == (k, m, 2, 4)
    assert weights.column_count.tolist() == [v] * (m // v) + [m % v] * (m % v > 0)
    for tile in range(weights.tiles):
        rows = weights.rows(tile)
        counts = np.bincount(rows // group, minlength=-(-k // group))
        assert (counts[: k // group] == 4).all()
        assert len(rows) == len(set(rows.tolist())) == weights.row_count[tile]
        assert rows.max(initial=0) < k
    # All columns of a tile are packed alike, as packing the whole mask does it.
    dense = np.zeros((k, m), np.bool_)
    for tile in range(weights.tiles):
        kept = weights.rows(tile)[np.arange(weights.row_count[tile]) % 4 < 2]
        dense[np.ix_(kept, weights.columns(tile))] = True
    assert weights.kept == np.count_nonzero(dense)
    assert len(weights.metadata) == weights.metadata_start[-1]


@pytest.mark.parametrize("n", [1, 24])
def test_a_repeated_column_is_packed_as_all_columns(n: int) -> None:
    mask = np.zeros((50, n), np.bool_)
    mask[np.arange(50) % 4 < 2] = True
    whole, found = pack_groups(None, mask, 2, 4), sparse_operand(row(n, 8, 50)).pack(50, n)
    for name in ("row_start", "column_start", "value_start", "metadata", "metadata_start", "group_kept", "group_start"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


def test_two_of_four_halves_the_work_and_keeps_the_whole_of_k(gpu: Gpu) -> None:
    one = row(96, 64, 128)
    gemm, operand = transposed_gemm(one), sparse_operand(one)
    assert (gemm.m, gemm.n, gemm.k) == (64, 96, 128)
    weights = operand.pack(gemm.k, gemm.n)
    assert weights.kept == gemm.k * gemm.n // 2
    library = load_library("cusparselt_ampere")
    (plan,) = plan_sparse(gemm, gpu, library, Mapping(), Caches(), weights, operand.options)
    assert isinstance(plan, GemmPlan)
    assert plan.tile.unit == "sparse_tensor_core"
    assert int(count_blocks(plan, gpu).macs.sum()) == 96 * 64 * 128 // 2


def test_the_kernel_of_a_table_lies_on_its_side(gpu: Gpu) -> None:
    told = {"library": "spatha", "tile": (128, 64, 32), "stages": 3}
    mapping = transposed_kernel(row(256, 512, 1024, "128:2:8", **told), Mapping())
    assert (mapping.tile_m, mapping.tile_n, mapping.tile_k, mapping.stages) == (64, 128, 32, 3)
    assert mapping.raster == "along_n"
    assert transposed_kernel(row(256, 512, 1024), Mapping()) == Mapping()
    kept = Mapping(raster="along_m")
    assert transposed_kernel(row(256, 512, 1024, "128:2:8"), kept) == kept
    found = predict([row(256, 512, 1024, "128:2:8", **told)], gpu)[0]
    assert found.kernel == "64 x 128 x 32 in 3 stages"
    assert found.library == "spatha_ampere"


def test_copies_of_packed_weights_take_less_of_l2() -> None:
    a100 = load_hardware("a100_sxm4_80gb").gpu

    def time(m: int, copies: int, **told: object) -> float:
        return predict([row(m, 16, 2048, copies=copies, **told)], a100)[0].latency_us or 0.0

    # 8 MiB of dense weights are 4.5 MiB packed: five copies fit the 27 MiB that L2 retains, seven do not.
    assert time(2048, 5) == time(2048, 1) < time(2048, 7)
    assert sparse_operand(row(64, 64, 64, "64:2:16")).held_share(2) == pytest.approx(0.5625 / 4)


@pytest.mark.parametrize(
    ("order", "op_b", "layout"),
    [
        (None, None, "transposed"),
        ("row", "T", "row_major"),
        ("column", "N", "row_major"),
        ("column", "T", "transposed"),
    ],
)
def test_activations_lie_as_the_tables_b(order: str | None, op_b: str | None, layout: str) -> None:
    assert sparse_operand(row(64, 64, 64, order=order, op_b=op_b)).activations == layout


def test_a_library_has_a_menu_for_the_very_gpu_or_for_its_family(gpu: Gpu) -> None:
    a100 = load_hardware("a100_sxm4_80gb").gpu
    rows = [row(256, 256, 256, library=name) for name in ("cusparselt", "cutlass", "somebody")]
    assert [one.library for one in predict(rows, gpu)] == ["cusparselt_ampere", "cutlass_ampere", "cusparselt_ampere"]
    assert predict(rows, a100)[0].library == "cusparselt_a100_sxm4_80gb"


@pytest.mark.parametrize("engine", ENGINES)
def test_sparse_products_take_less_than_dense_and_more_than_half(gpu: Gpu, engine: ValidationEngine) -> None:
    kernel = {"tile": (256, 128, 32), "stages": 3}
    dense = replace(row(1024, 4096, 4096, **kernel), op="gemm")
    fast, slow = predict([row(1024, 4096, 4096, **kernel), dense], gpu, engine)
    assert slow.latency_us is not None
    assert fast.latency_us is not None
    assert 0.5 < fast.latency_us / slow.latency_us < 0.75


@pytest.mark.parametrize("engine", ENGINES)
def test_more_sparsity_takes_less_time(gpu: Gpu, engine: ValidationEngine) -> None:
    told = {"library": "spatha", "tile": (64, 64, 32), "stages": 2}
    found = predict([row(512, 1024, 2048, f"64:2:{m}", **told) for m in (4, 8, 16, 40)], gpu, engine)
    times = [one.latency_us or 0.0 for one in found]
    assert all(first > second > 0 for first, second in pairwise(times))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (replace(row(64, 64, 64), batch=2), "batched 2:4"),
        (replace(row(64, 64, 64), dtype="tf32"), "take fp16, bf16, int8"),
        (row(64, 64, 64, sparsity=0.75), "2:4 has a sparsity of 0.5, the row 0.75"),
        (row(64, 64, 64, "16:2:8", 0.5), "16:2:8 has a sparsity of 0.75, the row 0.5"),
        (replace(row(64, 64, 64), op="spmm_vnm"), "unknown V, N and M"),
        (row(64, 64, 64, "16:4:8"), "no 2:4 operand"),
        (row(64, 64, 64, "16:2:3"), "no 2:4 operand"),
        (row(64, 64, 64, "128:2:8"), "A has 64"),
        (row(64, 64, 64, flaw="bad kernel"), "bad kernel"),
    ],
)
def test_what_is_not_modelled_says_why(gpu: Gpu, wrong: MeasuredRow, reason: str) -> None:
    found = predict([wrong], gpu)[0]
    assert found.latency_us is None
    assert reason in found.reason


def test_a_gpu_without_the_unit_is_named() -> None:
    v100 = load_hardware("v100_sxm2").gpu
    assert not_sparse(row(64, 64, 64), v100) == (
        "2:4 products run on sparse tensor cores, and those of v100_sxm2 take no format"
    )


def test_a_column_gives_the_pattern_and_must_be_one(tmp_path: Path) -> None:
    line = "made up,RTX3090,fp16,spmm_vnm,1,64,64,64,0.75,5.0,pattern=64:2:16,{}"
    header = HEADER + ",pattern"
    assert read_rows(write(tmp_path, line.format("16:2:8"), header=header))[0].conditions.pattern == "16:2:8"
    assert read_rows(write(tmp_path, line.format(""), header=header))[0].conditions.pattern == "64:2:16"
    for wrong in ("16:2", "0:2:8", "a:b:c"):
        with pytest.raises(UserError, match=r"row 1 \(line 2\): pattern is .*128:2:10"):
            read_rows(write(tmp_path, line.format(wrong), header=header))


@cache
def _errors(engine: ValidationEngine) -> pd.DataFrame:
    """Rows of the sparse table that took no part in a fit."""
    held = {one.row for one in read_rows(DATA) if is_held_out(one, 0.5, 0)}
    frame = validate(DATA, ["rtx3090", "a100_sxm4_80gb"], engine=engine).timed
    return frame[frame["row"].isin(held)]


@measured
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("hardware", "op", "limit"),
    [("rtx3090", "spmm_2to4", 5), ("a100_sxm4_80gb", "spmm_2to4", 12), ("rtx3090", "spmm_vnm", 9)],
)
def test_errors_of_rows_outside_of_fits_are_within_the_goals(
    engine: ValidationEngine, hardware: str, op: str, limit: float
) -> None:
    frame = _errors(engine)
    own = frame[(frame["hardware"] == hardware) & (frame["op"] == op)]
    assert len(own) >= 5
    assert own["ape_percent"].mean() < limit


def test_the_fit_finds_the_efficiency_that_made_the_rows(gpu: Gpu, capsys: pytest.CaptureFixture[str]) -> None:
    script = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/fit_sparse.py"))
    library = load_library("cusparselt_ampere")
    rows = [row(256 * size, 2048, 512 * size, library="cusparselt") for size in range(1, 7)]
    slow = script["with_efficiency"](library, 0.86)
    made = [one.latency_us for one in predict(rows, gpu, library=slow)]
    rows = [replace(one, latency_us=latency) for one, latency in zip(rows, made, strict=True)]
    script["fit"].__globals__["ENGINES"] = ("estimate",)
    found = script["fit"](rows, gpu, lambda share: (gpu, script["with_efficiency"](library, share)), "made up")
    assert found == pytest.approx(0.86, abs=0.003)
    assert "held out" in capsys.readouterr().out


def test_tables_of_the_page_part_fits_from_rows_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "docs"))
    from error_report import sparse  # type: ignore[import-not-found]

    kinds = (("gemm", 0.0, 9.0, "cublas"), ("spmm_2to4", 0.5, 6.0, "cuSPARSELt"))
    lines = [
        f"made up,{name},fp16,{op},1,256,512,{k},{sparsity},{latency},{library}"
        for name in ("RTX3090", "A100")
        for op, sparsity, latency, library in kinds
        for k in (512, 1024, 2048, 4096)
    ]
    dense = "made up,V100-PCIE-32GB,fp16,gemm,1,256,512,512,0.0,9.0,"
    write(tmp_path, *lines, dense, name="gemm_sparse.csv")
    rows = [line.split(" | ") for line in sparse.sparse(tmp_path).splitlines()[2:]]
    assert sum(int(cells[5]) for cells in rows) == 2 * len(lines)
    halves = {(cells[0].removeprefix("| "), cells[1], cells[3]) for cells in rows}
    assert ("a100_sxm4_80gb", "dense", "not fitted") in halves
    assert {"calibrated", "held out"} <= {half for gpu, _, half in halves if gpu == "rtx3090"}
    speedups = [line.split(" | ") for line in sparse.sparse_speedups(tmp_path).splitlines()[2:]]
    assert {cells[1] for cells in speedups} == {"2:4"}
    assert {cells[6] for cells in speedups} == {"1.50"}
    assert any("2:4 (cusparselt), held out" in line for line in sparse.held_out(tmp_path).splitlines())
