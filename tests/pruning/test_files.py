"""Weights from files, masks and packed weights to files and back."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.config.patterns import PATTERNS, BlockWisePattern, TileElementWisePattern, TileVectorWisePattern
from accelsim.errors import OperandError
from accelsim.pruning.file_masks import mask_arrays, read_any_arrays, read_pattern_masks
from accelsim.pruning.packed_files import packed_arrays, read_packed
from accelsim.pruning.prune_file import prune_file
from accelsim.pruning.report import BINS, layer_report, rows_histogram
from accelsim.pruning.tile_wise import TileWiseMask
from accelsim.pruning.weight_files import as_matrix, from_matrix, prunable, read_tensors

RANDOM = np.random.default_rng(5)
TENSORS: dict[str, NDArray[Any]] = {
    "encoder.q.weight": RANDOM.normal(size=(40, 24)).astype(np.float32),
    "encoder.q.bias": RANDOM.normal(size=24).astype(np.float32),
    "decoder.v.weight": RANDOM.normal(size=(24, 40)).astype(np.float16),
    "stem.conv": RANDOM.normal(size=(16, 3, 2, 9)).astype(np.float32),
}


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    np.savez(tmp_path / "w.npz", **TENSORS)
    return tmp_path / "w.npz"


@pytest.fixture
def tensor_file(tmp_path: Path) -> Path:
    safetensors.numpy.save_file(TENSORS, tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


def test_both_kinds_of_file_hold_the_same(npz: Path, tensor_file: Path) -> None:
    (one, _), (other, _) = read_tensors(npz), read_tensors(tensor_file)
    assert set(one) == set(other) == set(TENSORS)
    for name, array in TENSORS.items():
        for found in (one[name], other[name]):
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found, array)


def test_names_as_in_a_shell(npz: Path, tensor_file: Path) -> None:
    for path in (npz, tensor_file):
        assert set(read_tensors(path, ["*.weight"])[0]) == {"encoder.q.weight", "decoder.v.weight"}
        assert set(read_tensors(path, ["encoder.*", "stem.conv"])[0]) == set(TENSORS) - {"decoder.v.weight"}
        with pytest.raises(OperandError, match=r"no tensor 'encoder.q.wight'; did you mean 'encoder.q.weight'"):
            read_tensors(path, ["*", "encoder.q.wight"])


def write_safetensors(path: Path, dtype: str, shape: tuple[int, ...], data: bytes) -> None:
    """A file of one tensor w, written by its format: length of the header, header as JSON, data."""
    header = json.dumps({"w": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    values = np.array([[1.0, -2.5], [0.15625, 3e38]], dtype=np.float32)
    halves = (values.view(np.uint32) >> 16).astype(np.uint16)
    write_safetensors(tmp_path / "w.safetensors", "BF16", (2, 2), halves.tobytes())
    found = read_tensors(tmp_path / "w.safetensors")[0]["w"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, (halves.astype(np.uint32) << 16).view(np.float32))
    np.testing.assert_allclose(found, values, rtol=2**-8)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for name, message in (
        ("w.pt", "from .npz and .safetensors files, not from '.pt'"),
        ("w", "not from a file without a suffix"),
    ):
        with pytest.raises(OperandError, match=message):
            read_tensors(tmp_path / name)
    with pytest.raises(OperandError, match="is a folder; name a"):
        read_tensors(tmp_path)
    for suffix in ("npz", "safetensors"):
        path = tmp_path / f"damaged.{suffix}"
        with pytest.raises(OperandError, match="no such file"):
            read_tensors(path)
        path.write_bytes(b"\x01" * 40)
        with pytest.raises(OperandError, match=f"damaged.{suffix}: not a .{suffix} file, or damaged"):
            read_tensors(path)
    np.savez(tmp_path / "empty.npz")
    with pytest.raises(OperandError, match="holds no tensors"):
        read_tensors(tmp_path / "empty.npz")
    np.savez(tmp_path / "text.npz", w=np.array(["a"]))
    with pytest.raises(OperandError, match="array w holds <U1, not real numbers"):
        read_tensors(tmp_path / "text.npz", ["w"])
    np.savez(tmp_path / "objects.npz", w=np.array([{}], dtype=object))
    with pytest.raises(OperandError, match="array w cannot be read"):
        read_tensors(tmp_path / "objects.npz", ["w"])
    write_safetensors(tmp_path / "flags.safetensors", "BOOL", (2,), b"\x00\x01")
    with pytest.raises(OperandError, match="tensor w holds BOOL; allowed: F64"):
        read_tensors(tmp_path / "flags.safetensors", ["w"])


def test_tensors_that_are_no_weights_are_left_alone(tmp_path: Path) -> None:
    numbers = {"w": np.ones((4, 8)), "q": np.ones((4, 8), np.int8), "places": np.arange(32).reshape(4, 8)}
    np.savez(tmp_path / "w.npz", **numbers, flags=np.ones((2, 2), dtype=np.bool_), text=np.array(["a"]))
    found, others = read_tensors(tmp_path / "w.npz")
    assert set(found) == set(numbers)
    assert others == ["flags", "text"]
    pruned = prune_file(tmp_path / "w.npz", BlockWisePattern())
    assert list(pruned.masks) == ["w", "q"]
    assert pruned.skipped == ["places", "flags", "text"]
    assert list(prune_file(tmp_path / "w.npz", BlockWisePattern(), only=["places"]).masks) == ["places"]
    write_safetensors(tmp_path / "flags.safetensors", "BOOL", (2,), b"\x00\x01")
    assert read_tensors(tmp_path / "flags.safetensors") == ({}, ["w"])
    with pytest.raises(OperandError, match="no tensor of real numbers"):
        prune_file(tmp_path / "flags.safetensors", BlockWisePattern())


def test_a_name_may_look_like_a_pattern(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **{"layer[0]": np.ones((4, 8)), "layer0": np.ones((4, 8))})
    assert list(read_tensors(tmp_path / "w.npz", ["layer[0]"])[0]) == ["layer[0]", "layer0"]
    assert list(read_tensors(tmp_path / "w.npz", ["layer[[]0]"])[0]) == ["layer[0]"]


def test_matrices_are_pruned_and_convolutions_when_named() -> None:
    taken, skipped = prunable(TENSORS, named=False)
    assert list(taken) == ["encoder.q.weight", "decoder.v.weight"]
    assert skipped == ["encoder.q.bias", "stem.conv"]
    taken, skipped = prunable(TENSORS, named=True)
    assert "stem.conv" in taken
    assert skipped == ["encoder.q.bias"]
    for named, hint in ((False, "--only"), (True, r"\[24\]$")):
        with pytest.raises(OperandError, match=hint):
            prunable({"encoder.q.bias": TENSORS["encoder.q.bias"]}, named)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=4), st.sampled_from(["in_out", "out_in"]))
def test_a_tensor_is_a_matrix_and_back(shape: list[int], orientation: Any) -> None:
    shape = shape if len(shape) != 3 else shape[:2]
    tensor = np.arange(np.prod(shape)).reshape(shape)
    matrix = as_matrix(tensor, orientation)
    assert matrix.shape[1] == shape[-1 if orientation == "in_out" else 0]
    np.testing.assert_array_equal(from_matrix(matrix, shape, orientation), tensor)


def test_k_of_a_convolution_is_height_width_channel() -> None:
    tensor = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)  # height, width, in, out
    for orientation, given_ in (("in_out", tensor), ("out_in", tensor.transpose(3, 2, 0, 1))):
        matrix = as_matrix(given_, orientation)  # type: ignore[arg-type]
        assert matrix[(1 * 3 + 2) * 4 + 3, 4] == tensor[1, 2, 3, 4]


@pytest.mark.parametrize("kind", PATTERNS)
@pytest.mark.parametrize("out_in", [False, True])
def test_every_pattern_to_files_and_back(kind: str, out_in: bool, npz: Path, tmp_path: Path) -> None:
    pattern = PATTERNS[kind].model_validate({"granularity": 8} if "granularity" in PATTERNS[kind].model_fields else {})
    pruned = prune_file(npz, pattern, only=["*.weight", "stem.*"], out_in=out_in)
    matrices = pruned.matrices()
    for name, array in pruned.masked_tensors().items():
        assert array.shape == TENSORS[name].shape
        assert array.dtype == TENSORS[name].dtype
        np.testing.assert_array_equal(
            as_matrix(array, pruned.orientation), np.where(pruned.masks[name].to_dense(), matrices[name], 0)
        )
    np.savez(tmp_path / "masks.npz", **mask_arrays(pruned.masks))
    again = prune_file(npz, pattern, only=["*.weight", "stem.*"], out_in=out_in, masks=tmp_path / "masks.npz")
    assert again.sparsity == pruned.sparsity
    for layer, before in zip(again.layers, pruned.layers, strict=True):
        # A tile without rows leaves no trace in a dense mask: its columns are pruned.
        rows = before.rows_per_tile and [count for count in before.rows_per_tile if count]
        assert layer == dataclasses.replace(before, rows_per_tile=layer.rows_per_tile)
        assert rows == (layer.rows_per_tile and [count for count in layer.rows_per_tile if count])
    packed = pruned.packed()
    arrays = [packed_arrays(name, weights) for name, weights in packed.items()]
    np.savez(tmp_path / "packed.npz", **{name: array for part in arrays for name, array in part.items()})
    back = read_packed(tmp_path / "packed.npz")
    assert list(back) == list(packed)
    for name, weights in packed.items():
        assert type(back[name]) is type(weights)
        assert {k: v.tolist() for k, v in packed_arrays(name, back[name]).items()} == {
            k: v.tolist() for k, v in packed_arrays(name, weights).items()
        }


def test_masks_that_do_not_fit(npz: Path, tmp_path: Path) -> None:
    path = tmp_path / "masks.npz"
    pattern = BlockWisePattern(block_rows=8, block_columns=8)
    np.savez(path, **{"masks/encoder.q.weight": np.ones((40, 24), dtype=np.bool_), "other": np.ones(3)})
    for masks, message in (
        (path, "no mask of decoder.v.weight; it holds masks of encoder.q.weight"),
        (tmp_path / "none.npz", "no such file"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(OperandError, match=message):
            prune_file(npz, pattern, masks=masks)
    with pytest.raises(OperandError, match=r"has shape \[40, 24\], the layer \[k, n\] \[24, 40\]"):
        prune_file(npz, pattern, only=["encoder.q.weight"], masks=path, out_in=True)
    wide = TileVectorWisePattern(granularity=32)
    with pytest.raises(OperandError, match="granularity 32 exceeds its 24 columns"):
        read_pattern_masks(path, wide, {"encoder.q.weight": (40, 24)})
    with pytest.raises(OperandError, match=r"mask encoder.q.weight: .*tiles, which are missing"):
        read_pattern_masks(path, TileElementWisePattern(granularity=8), {"encoder.q.weight": (40, 24)})
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(OperandError, match=r"cannot be read as .npz"):
        read_any_arrays(tmp_path / "text.npz")


def test_packed_files_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "packed.npz"
    np.savez(path, w=np.ones(3))
    with pytest.raises(OperandError, match="holds no packed weights"):
        read_packed(path)
    np.savez(path, **{"w/format": np.array("Zip")})
    with pytest.raises(OperandError, match="w has an unknown format; allowed: BlockWeights"):
        read_packed(path)
    np.savez(path, **{"w/format": np.array("TileWiseWeights"), "w/k": np.array(3)})
    with pytest.raises(OperandError, match="w/n is missing"):
        read_packed(path)


def test_options_that_exclude_each_other(npz: Path) -> None:
    pattern = BlockWisePattern()
    with pytest.raises(OperandError, match="no gradients and no schedule"):
        prune_file(npz, pattern, masks=npz, stages=[0.5])
    with pytest.raises(OperandError, match="without a schedule"):
        prune_file(npz, pattern, gradients=npz, stages=[0.5])
    np.savez(npz.parent / "g.npz", **{name: a for name, a in TENSORS.items() if name != "stem.conv"})
    scored = BlockWisePattern(score="taylor")
    with pytest.raises(OperandError, match=r"no gradients of stem.conv"):
        prune_file(npz, scored, only=["stem.*"], gradients=npz.parent / "g.npz")


def test_report_of_a_layer() -> None:
    weights = np.array([[3.0, 0.0], [4.0, 12.0]])
    mask = TileWiseMask(2, 2, 1, (np.array([0]), np.array([1])), (np.array([0, 1]), np.array([0])))
    report = layer_report("w", weights, mask)
    assert (report.k, report.n, report.kept, report.sparsity) == (2, 2, 3, 0.25)
    assert report.retained_norm == pytest.approx(5 / 13)
    assert report.rows_per_tile == [2, 1]
    np.testing.assert_array_equal(rows_histogram([report]), [0, 0, 0, 0, 0, 1, 0, 0, 0, 1])
    assert BINS == 10
    assert layer_report("w", np.zeros((2, 2)), mask).retained_norm is None
