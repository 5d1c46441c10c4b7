"""Every pattern of weights from scores to values, cycles and joules."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import accelsim
from accelsim.config.pattern_options import PATTERN_OPTIONS
from accelsim.errors import UserError
from accelsim.kernels.formats import round_to_format
from accelsim.results import Result

SMALL = {
    "tile_wise": ["tile_wise.granularity=16"],
    "tile_element_wise": ["tile_element_wise.granularity=16"],
    "tile_vector_wise": ["tile_vector_wise.granularity=16"],
    "block_wise": ["block_wise.block_rows=8", "block_wise.block_columns=16"],
}
"""Options with which patterns fit small matrices."""

every = pytest.mark.parametrize("scheme", list(PATTERN_OPTIONS))


def run(scheme: str, *sets: str, hardware: str = "a100_sxm4_80gb", **options: object) -> Result:
    small = [*SMALL.get(scheme, []), *sets]
    return accelsim.run(hardware, "gemm_1024", scheme=scheme, sets=small, **options)  # type: ignore[arg-type]


def sized(m: int, n: int, k: int, dtype: str = "fp16") -> list[str]:
    return [f"workload.m={m}", f"workload.n={n}", f"workload.k={k}", f"workload.dtype={dtype}"]


@every
@pytest.mark.parametrize(("m", "n", "k"), [(1, 70, 333), (70, 3841, 40), (130, 100, 257), (33, 17, 21)])
def test_outputs_are_those_of_the_masked_product(scheme: str, m: int, n: int, k: int, tmp_path: Path) -> None:
    random = np.random.default_rng(m)
    a, b = (random.normal(size=shape).astype("float32") for shape in ((m, k), (k, n)))
    np.savez(tmp_path / "operands.npz", A=a, B=b)
    result = run(scheme, operands=tmp_path / "operands.npz")
    mask = next(mask for name, mask in result.masks.items() if not name.endswith(".tiles"))
    a, b = (round_to_format(array, "fp16").astype(np.float64) for array in (a, b))
    expected = a @ np.where(mask, b, 0)
    assert np.abs(result.output - expected).max() <= 3e-3 * max(1.0, np.abs(expected).max())
    summary = result.summary
    assert summary["effectual_macs"] == m * np.count_nonzero(mask)
    assert summary["weight_sparsity"] == pytest.approx(1 - mask.mean())
    assert 0 < mask.mean() < 1


@pytest.mark.parametrize("scheme", [name for name in PATTERN_OPTIONS if name not in ("element_wise", "vector_wise")])
def test_integers_are_multiplied_exactly(scheme: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    a, b = (random.integers(-127, 128, size=shape).astype("int8") for shape in ((40, 96), (96, 64)))
    np.savez(tmp_path / "operands.npz", A=a, B=b)
    if scheme == "tile_element_wise":
        with pytest.raises(UserError, match="CUDA cores, and a100_sxm4_80gb has no rate for int8"):
            run(scheme, "workload.dtype=int8", operands=tmp_path / "operands.npz")
        return
    result = run(scheme, "workload.dtype=int8", operands=tmp_path / "operands.npz")
    mask = next(mask for name, mask in result.masks.items() if not name.endswith(".tiles"))
    assert np.array_equal(result.output, a.astype(np.int64) @ np.where(mask, b, 0).astype(np.int64))


@every
def test_masks_that_a_run_saved_are_run_again_without_values(scheme: str, tmp_path: Path) -> None:
    first = run(scheme, *sized(64, 160, 96))
    first.save(tmp_path / "first")
    again = run(scheme, *sized(64, 160, 96), values=False, masks=tmp_path / "first")
    assert again.value("latency_us") == first.value("latency_us")
    assert again.summary["effectual_macs"] == first.summary["effectual_macs"]
    assert list(again.masks) == list(first.masks)
    for name, mask in first.masks.items():
        assert np.array_equal(again.masks[name], mask)
    assert "recorded masks" in str(again.summary["operands"])


@every
def test_seeded_masks_follow_the_seed(scheme: str) -> None:
    one, same, other = (run(scheme, *sized(32, 128, 128), values=False, seed=seed) for seed in (1, 1, 2))
    for name, mask in one.masks.items():
        assert np.array_equal(same.masks[name], mask)
    assert any(not np.array_equal(other.masks[name], mask) for name, mask in one.masks.items())
    assert "synthetic masks of seed 1" in str(one.summary["operands"])


@every
def test_engines_agree(scheme: str) -> None:
    size = sized(100, 200, 150)
    events, simpy, estimate = (
        run(scheme, *size, values=False, engine=engine) for engine in ("events", "simpy", "estimate")
    )
    assert events.value("cycles") == simpy.value("cycles")
    assert events.account.equals(simpy.account)
    assert estimate.value("latency_us") == pytest.approx(events.value("latency_us"), rel=0.5)


@pytest.mark.parametrize("scheme", [name for name in PATTERN_OPTIONS if name != "n_m"])
def test_more_sparsity_takes_no_longer_and_less_energy(scheme: str) -> None:
    found = [
        accelsim.run("a100_sxm4_80gb", "gemm_1024", scheme=scheme, values=False, sparsity=sparsity)
        for sparsity in (0.5, 0.75, 0.875)
    ]
    for sparse, sparser in pairwise(found):
        assert sparser.value("latency_us") <= 1.01 * sparse.value("latency_us")
        assert sparser.value("energy_uj") < sparse.value("energy_uj")
        assert sparser.value("effectual_macs") < sparse.value("effectual_macs")


@pytest.mark.parametrize("size", [(2048, 2048, 2048), (4096, 1024, 512), (1, 1024, 4096)])
def test_two_of_four_never_doubles_the_speed(size: tuple[int, int, int]) -> None:
    fixed = [*sized(*size), "mapping.tile_m=128", "mapping.tile_n=128", "mapping.tile_k=64", "mapping.split_k=1"]
    sparse, dense = (run(scheme, *fixed, values=False) for scheme in ("n_m", "dense"))
    assert 0.5 * dense.value("latency_us") < sparse.value("latency_us") <= 1.02 * dense.value("latency_us")
    assert sparse.energy.set_index("action").loc["sparse_tensor_mac_fp16", "count"] == (
        dense.energy.set_index("action").loc["tensor_mac_fp16", "count"] / 2
    )
    assert sparse.kernels.unit.tolist() == ["sparse_tensor_core"]


@pytest.mark.parametrize("engine", ["events", "estimate"])
def test_kernels_on_sparse_tensor_cores_are_those_of_the_machines_library_for_them(engine: str) -> None:
    size = sized(4096, 3072, 768)

    def time(scheme: str, *sets: str) -> float:
        return run(scheme, *size, *sets, values=False, engine=engine).value("latency_us")

    def moved(scheme: str, *sets: str) -> float:
        return time(scheme, *sets, "hardware.gpu.sparse_library=cublas_ampere") / time(scheme, *sets)

    assert moved("n_m") < 0.85  # the dense library's stand-in has no efficiency of its own for them
    assert moved("tile_vector_wise", "tile_vector_wise.granularity=256") < 0.98
    for scheme, *sets in (["dense"], ["tile_wise"], ["block_wise"], ["n_m", "n_m.execution=decompressed"]):
        assert moved(scheme, *sets) == 1


def test_groups_without_a_unit_are_multiplied_as_dense_tiles() -> None:
    size = sized(256, 256, 512)
    plain, other = run("n_m", *size, "n_m.execution=decompressed"), run("n_m", *size, "n_m.n=1")
    for result in (plain, other):
        assert result.kernels.unit.tolist() == ["tensor_core"]
        assert result.energy.set_index("action").loc["tensor_mac_fp16", "count"] >= 256 * 256 * 512
    assert other.value("dram_bytes") < plain.value("dram_bytes")  # half of the weights, as they lie in memory


def test_a_machine_without_the_unit_says_so_or_imagines_it() -> None:
    with pytest.raises(UserError, match=r"v100_pcie has none.*--force imagines.*n_m.execution=decompressed"):
        run("n_m", hardware="v100_pcie", values=False)
    with pytest.raises(UserError, match=r"those of a100_sxm4_80gb take fp16, bf16, int8 alone, not tf32; --set"):
        run("n_m", *sized(64, 64, 64, "tf32"), values=False)
    with pytest.raises(UserError, match="sparse tensor cores, and a100_sxm4_80gb has none for fp32"):
        run("tile_vector_wise", *sized(64, 64, 64, "fp32"), values=False, force=True)
    forced = run("n_m", hardware="v100_pcie", values=False, force=True)
    assert "v100_pcie does not have" in str(forced.summary["imagined"])
    assert run("n_m", values=False, force=True).summary["imagined"] is None
    assert run("dense", hardware="v100_pcie", values=False, force=True).summary["imagined"] is None


@pytest.mark.parametrize(
    ("scheme", "sets", "match"),
    [
        ("n_m", ["n_m.n=5"], "5:4 keeps more weights than a group has"),
        ("n_m", ["n_m.n=1", "n_m.execution=sparse_tensor_core"], "run 2:4 alone, not 1:4"),
        ("n_m", ["mapping.tile_k=30"], "tile_k is 30, which cuts groups of 4"),
        ("vector_wise", ["vector_wise.sparsity=0.99"], "vectors of 16 keep nothing"),
        ("vector_wise", ["workload.dtype=int8"], "no rate for int8"),
        ("element_wise", ["mapping.split_k=2"], "do not share out k"),
        ("element_wise", ["element_wise.score=taylor"], "no gradients"),
        ("block_wise", ["block_wise.sparsity=1"], "less than 1"),
        ("block_wise", ["mapping.tile_n=128"], "mapping.tile_n is 128"),
        ("tile_element_wise", ["tile_element_wise.granularity=2000"], "tile_element_wise.granularity is 2000"),
        ("tile_vector_wise", ["tile_vector_wise.strategy=padded_batch"], "merged"),
        ("tile_vector_wise", ["tile_vector_wise.strategy=stream", "mapping.split_k=2"], "strategy stream"),
    ],
)
def test_what_cannot_run_is_refused(scheme: str, sets: list[str], match: str) -> None:
    with pytest.raises(UserError, match=match):
        run(scheme, *sets, values=False)


def test_sparsity_is_that_of_the_scheme() -> None:
    assert run("block_wise", values=False, sparsity=0.5).summary["weight_sparsity"] == pytest.approx(0.5, abs=0.01)
    assert run("n_m", values=False, sparsity=0.5).summary["weight_sparsity"] == 0.5
    with pytest.raises(UserError, match="2:4 prunes"):
        run("n_m", values=False, sparsity=0.8)
    with pytest.raises(UserError, match="give one of them"):
        run("block_wise", "block_wise.sparsity=0.5", values=False, sparsity=0.5)
    both = accelsim.compare("a100_sxm4_80gb", "gemm_1024", schemes=["n_m", "block_wise"], sparsity=0.8, values=False)
    assert any("n_m 50 %, block_wise 80" in note for note in both.notes())


def test_masks_of_another_pattern_are_refused(tmp_path: Path) -> None:
    run("element_wise", *sized(8, 64, 64)).save(tmp_path / "masks")
    for scheme in ("n_m", "block_wise", "tile_wise"):
        with pytest.raises(UserError, match=r"gemm_1024|weight|B"):
            run(scheme, *sized(8, 64, 64), values=False, masks=tmp_path / "masks")
