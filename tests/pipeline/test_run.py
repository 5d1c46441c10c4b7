"""One run from YAML to result: what adds up, what is bounded, what is equal, what is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim
from accelsim.errors import UserError
from accelsim.results import Result

LAYER_MACS = 931_135_488


def gemm(
    hardware: str = "v100_pcie", *, m: int, n: int, k: int, sets: tuple[str, ...] = (), **options: object
) -> Result:
    sizes = [f"workload.m={m}", f"workload.n={n}", f"workload.k={k}"]
    return accelsim.run(hardware, "gemm_1024", sets=[*sizes, *sets], **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def layer() -> accelsim.Comparison:
    return accelsim.compare("a100_hdp", "bert_base_layer")


def test_a_layer_has_the_macs_of_its_products(layer: accelsim.Comparison) -> None:
    assert [result.scheme for result in layer.results] == [
        "dense", "tile_wise", "hdp", "tile_wise+hdp", "dense_on_unit",
    ]  # fmt: skip
    for result in layer.results:
        summary = result.summary
        assert summary["macs"] == LAYER_MACS
        assert summary["effectual_macs"] + summary["skipped_macs"] == LAYER_MACS
    assert layer["dense"].summary["skipped_macs"] == 0
    assert layer["dense_on_unit"].summary["skipped_macs"] == 0


def test_every_account_adds_up_to_the_latency_exactly(layer: accelsim.Comparison) -> None:
    for result in layer.results:
        latency_ps = round(result.value("latency_us") * 1e6)
        totals = result.account.groupby("device").time_total_ps.sum()
        assert totals["gpu"] == 108 * latency_ps
        assert totals["attention_unit"] == 16 * latency_ps
        assert (result.account.time_total_ps >= 0).all()
        assert (result.units.utilisation_percent <= 100).all()
        assert result.energy.energy_uj.sum() == pytest.approx(result.value("energy_uj"))


def test_values_stay_within_what_the_formats_imply(layer: accelsim.Comparison) -> None:
    assert layer["dense"].value("max_rel_error") < 2e-3  # fp16 tensors between operations: a few units of 2^-11
    assert layer["dense_on_unit"].value("max_rel_error") < 4e-3
    assert 0 < layer["hdp"].value("max_rel_error") < 1


def test_hdp_products_are_counted_apart(layer: accelsim.Comparison) -> None:
    summary = layer["hdp"].summary
    attention = 12 * 128 * 128 * 64
    assert summary["integer_products"] == attention
    assert summary["cross_products"] == 2 * summary["value_products"]
    assert summary["integer_bit_macs"] == attention * 16 / 256
    assert summary["value_bit_macs"] == summary["value_products"]
    assert layer["dense_on_unit"].summary["score_products"] == attention


def test_the_kernels_share_the_timeline_without_gaps_on_the_gpu(layer: accelsim.Comparison) -> None:
    kernels = layer["dense"].kernels
    assert kernels.begin_us.iloc[0] == 0
    assert np.allclose(kernels.begin_us.iloc[1:], kernels.end_us.iloc[:-1])
    assert kernels.end_us.iloc[-1] == layer["dense"].value("latency_us")


@pytest.mark.parametrize(("dtype", "bound"), [("fp16", 1e-3), ("fp32", 1e-6), ("int8", 0.0)])
def test_a_gemm_against_float64(dtype: str, bound: float) -> None:
    result = gemm(m=65, n=129, k=200, sets=(f"workload.dtype={dtype}",))
    assert result.value("max_rel_error") <= bound
    assert result.output is not None
    assert result.output.shape == (65, 129)


@settings(max_examples=15, deadline=None)
@given(
    m=st.integers(1, 300),
    n=st.integers(1, 300),
    k=st.integers(1, 300),
    split_k=st.sampled_from([1, 2, 3]),
    raster=st.sampled_from(["along_m", "along_n", "swizzle"]),
    activations=st.sampled_from(["warm", "cold"]),
)
def test_a_gemm_of_any_shape_keeps_its_bounds(
    m: int, n: int, k: int, split_k: int, raster: str, activations: str
) -> None:
    sets = (f"mapping.split_k={split_k}", f"mapping.raster={raster}", f"workload.caches.activations={activations}")
    result = gemm(m=m, n=n, k=k, sets=sets, values=False)
    twin = gemm(m=m, n=n, k=k, sets=sets, values=False, engine="simpy")
    assert result.summary["cycles"] == twin.summary["cycles"]
    assert result.account.equals(twin.account)
    kernels = result.kernels
    assert result.summary["macs"] == result.summary["effectual_macs"] == m * n * k
    assert int(kernels.macs.sum()) == m * n * k
    compulsory = 2 * (k * n + (m * k if activations == "cold" else 0))
    assert kernels.dram_read_bytes.sum() >= compulsory
    assert kernels.dram_write_bytes.sum() >= 2 * m * n
    assert result.summary["cycles"] >= m * n * k / (80 * 512)
    assert (result.account.time_total_ps >= 0).all()


def test_everything_kept_makes_tile_wise_the_dense_product() -> None:
    sets = ("tile_wise.sparsity=0", "tile_wise.granularity=64", "mapping.tile_m=64", "mapping.tile_n=64")
    dense, sparse = gemm(m=200, n=192, k=256, sets=sets), gemm(m=200, n=192, k=256, sets=sets, scheme="tile_wise")
    assert sparse.summary["skipped_macs"] == 0
    assert np.array_equal(dense.output, sparse.output)  # type: ignore[arg-type]


@pytest.mark.parametrize("strategy", ["merged", "padded_batch", "stream"])
@pytest.mark.parametrize("activations", ["transposed", "row_major"])
def test_tile_wise_strategies_agree_in_values_and_work(strategy: str, activations: str) -> None:
    sets = ("tile_wise.granularity=32", f"tile_wise.strategy={strategy}", f"tile_wise.activations={activations}")
    result = gemm(m=100, n=256, k=300, sets=sets, scheme="tile_wise", sparsity=0.75)
    plain = gemm(m=100, n=256, k=300, sets=("tile_wise.granularity=32",), scheme="tile_wise", sparsity=0.75)
    assert np.array_equal(result.output, plain.output)  # type: ignore[arg-type]
    assert result.summary["effectual_macs"] == plain.summary["effectual_macs"]
    assert result.value("weight_sparsity") == pytest.approx(0.75, abs=0.02)


def test_a_gather_from_row_major_activations_reads_more_sectors() -> None:
    sets = ("tile_wise.granularity=128", "mapping.tile_m=128", "mapping.tile_n=128")
    runs = {
        layout: gemm(
            m=8192, n=1024, k=1024, values=False, scheme="tile_wise", sets=(*sets, f"tile_wise.activations={layout}")
        )
        for layout in ("transposed", "row_major")
    }
    assert runs["row_major"].kernels.l2_read_bytes.sum() > 1.5 * runs["transposed"].kernels.l2_read_bytes.sum()
    assert runs["row_major"].value("latency_us") > runs["transposed"].value("latency_us")


def test_a_linear_layout_of_shared_memory_meets_in_banks() -> None:
    linear = gemm(m=1024, n=1024, k=1024, values=False, sets=("mapping.shared_layout=linear",))
    swizzled = gemm(m=1024, n=1024, k=1024, values=False, sets=("mapping.shared_layout=swizzled",))
    conflicts = linear.account.set_index("cause").time_total_ps["bank_conflict"]
    assert conflicts > 0
    assert swizzled.account.set_index("cause").time_total_ps["bank_conflict"] == 0
    assert linear.kernels.bank_conflict_ways.max() > 1


def test_equal_configs_give_equal_results_and_files(tmp_path: Path) -> None:
    first, second = (gemm(m=96, n=80, k=64, scheme="tile_wise", sets=("tile_wise.granularity=16",)) for _ in range(2))
    assert first.equals(second)
    assert first.files() == second.files()
    assert Result.load(first.save(tmp_path / "run")).equals(first)


def test_a_seed_changes_values_and_not_the_time_of_a_dense_product() -> None:
    one, two = gemm(m=64, n=64, k=64), gemm(m=64, n=64, k=64, seed=1)
    assert not np.array_equal(one.output, two.output)  # type: ignore[arg-type]
    assert one.summary["cycles"] == two.summary["cycles"]


def test_operands_of_ones_own(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    a, b = generator.standard_normal((33, 70)), generator.standard_normal((70, 41))
    np.savez(tmp_path / "mine.npz", A=a, B=b)
    result = accelsim.run("v100_pcie", "gemm_1024", operands=tmp_path / "mine.npz")
    assert result.output is not None
    assert result.output.shape == (33, 41)
    assert np.abs(result.output - a @ b).max() / np.abs(a @ b).max() < 3e-3  # operands and result rounded to fp16
    assert "mine.npz" in str(result.summary["operands"])


@pytest.mark.parametrize(
    ("hardware", "scheme", "sets", "message"),
    [
        ("v100_pcie", "hdp", (), "has none"),
        ("a100_hdp", "hdp", (), "attention, and workload gemm_1024 has none"),
        ("v100_pcie", "tile_wise", ("tile_wise.granularity=2048",), "granularity"),
        ("v100_pcie", "dense", ("mapping.tile_m=1024", "mapping.tile_n=1024"), "tile"),
        ("v100_pcie", "dense", ("workload.dtype=bf16",), "bf16"),
    ],
)
def test_what_does_not_go_together_is_refused(hardware: str, scheme: str, sets: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        accelsim.run(hardware, "gemm_1024", scheme=scheme, sets=sets)  # type: ignore[arg-type]


def test_operands_with_nan_are_refused(tmp_path: Path) -> None:
    a = np.ones((4, 4))
    np.savez(tmp_path / "bad.npz", A=np.where(np.eye(4) > 0, np.nan, a), B=a)
    with pytest.raises(UserError, match=r"A\[0, 0\] is nan"):
        accelsim.run("v100_pcie", "gemm_1024", operands=tmp_path / "bad.npz")


def test_without_values_hdp_needs_ratios() -> None:
    with pytest.raises(UserError, match=r"hdp\.block_ratio"):
        accelsim.run("a100_hdp", "bert_tiny", scheme="hdp", values=False)
    sets = ["hdp.block_ratio=0.5", "hdp.head_ratio=0"]
    result = accelsim.run("a100_hdp", "bert_tiny", scheme="hdp", values=False, sets=sets)
    assert result.value("block_ratio") == pytest.approx(0.5, abs=0.01)
    assert result.summary["max_rel_error"] is None
    assert "synthetic" in str(result.summary["operands"])


@pytest.mark.parametrize("engine", ["events", "simpy", "estimate"])
def test_engines_run_a_whole_network(engine: str) -> None:
    result = accelsim.run("a100_hdp", "bert_tiny", engine=engine, values=False, sets=["workload.sequence=32"])  # type: ignore[arg-type]
    assert result.summary["engine"] == engine
    latency_ps = round(result.value("latency_us") * 1e6)
    assert latency_ps > 0
    assert result.account[result.account.device == "gpu"].time_total_ps.sum() == 108 * latency_ps


def test_a_config_survives_its_document() -> None:
    from accelsim.config.record import from_document, to_document

    config = accelsim.load_config("a100_hdp", "bert_tiny", scheme="hdp", sets=["hdp.rho_b=0.25"])
    assert from_document(to_document(config)) == config


def test_recorded_masks_give_the_time_of_the_run_that_recorded_them(tmp_path: Path) -> None:
    sets = ["workload.sequence=32", "tile_wise.granularity=64"]
    valued = accelsim.run("a100_hdp", "bert_tiny", scheme="tile_wise+hdp", sets=sets)
    folder = valued.save(tmp_path / "run")
    replayed = accelsim.run("a100_hdp", "bert_tiny", scheme="tile_wise+hdp", sets=sets, values=False, masks=folder)
    for key in ("cycles", "latency_us", "energy_uj", "effectual_macs", "block_ratio", "weight_sparsity"):
        assert replayed.summary[key] == valued.summary[key], key
    with pytest.raises(UserError, match="granularity 128"):
        accelsim.run(
            "a100_hdp",
            "bert_tiny",
            scheme="tile_wise",
            values=False,
            masks=folder,
            sets=["workload.sequence=32", "tile_wise.granularity=128"],
        )
    with pytest.raises(UserError, match="needs bool"):
        accelsim.run(
            "a100_hdp", "bert_tiny", scheme="tile_wise", values=False, masks=folder, sets=["workload.hidden=256"]
        )
    with pytest.raises(UserError, match="without values"):
        accelsim.run("a100_hdp", "bert_tiny", scheme="tile_wise", masks=folder)


def test_writes_do_not_outrun_dram() -> None:
    result = gemm("t4", m=4096, n=4096, k=16, values=False)
    assert (result.units.utilisation_percent <= 100).all()
    written = result.kernels.dram_write_bytes.sum()
    rate = 320e9 * 0.8
    held_back = 4 * 2**20  # what L2 holds when the last thread block has gone
    assert result.value("latency_us") * 1e-6 * rate >= written - held_back
