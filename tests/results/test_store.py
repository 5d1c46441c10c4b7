"""Folders: whole or not at all, and never outside themselves."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import ResultError
from accelsim.results.store import MANIFEST, json_text, npz_bytes, read_folder, write_folder


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(st.text("abcdef/_.", min_size=1, max_size=8), st.lists(st.floats(width=32), max_size=6), max_size=4)
)
def test_arrays_read_back(arrays: dict[str, list[float]]) -> None:
    given_ = {name: np.array(values, dtype=np.float32) for name, values in arrays.items()}
    content = npz_bytes(given_)
    assert content == npz_bytes(dict(reversed(given_.items())))
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        assert set(archive.files) == set(given_)
        for name, array in given_.items():
            np.testing.assert_array_equal(archive[name], array)


def test_a_scalar_array_keeps_its_shape() -> None:
    with np.load(io.BytesIO(npz_bytes({"x": np.float64(3)}))) as archive:
        assert archive["x"].shape == ()


def test_objects_are_not_pickled() -> None:
    with pytest.raises(TypeError, match="holds Python objects"):
        npz_bytes({"x": np.array([{}], dtype=object)})


def test_json_refuses_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"x": float("nan")})


def test_subfolders(tmp_path: Path) -> None:
    write_folder(tmp_path / "out", {"a/b.txt": b"1", "c.txt": b"2"})
    assert read_folder(tmp_path / "out") == {"a/b.txt": b"1", "c.txt": b"2"}


def test_what_fails_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_folder(folder, {"a.txt": b"old"})
    with pytest.raises(TypeError):
        write_folder(folder, {"b.txt": b"new", "a.txt": None})  # type: ignore[dict-item]
    assert read_folder(folder) == {"a.txt": b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a.txt": b"1"})
    assert read_folder(tmp_path) == {"a.txt": b"1"}


def test_a_list_of_files_cannot_lead_outside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    folder = tmp_path / "out"
    for name in ("../secret", str(tmp_path / "secret")):
        write_folder(folder, {"a.txt": b"1"})
        (folder / MANIFEST).write_text(json.dumps({"files": {name: "0"}}))
        with pytest.raises(ResultError, match="not a list of files"):
            read_folder(folder)
        (folder / MANIFEST).unlink()
        (folder / "a.txt").unlink()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 3}', '{"files": {"a": 1}}'])
def test_a_damaged_list_of_files(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ResultError, match="not a list of files"):
        read_folder(tmp_path)


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="cannot write results"):
        write_folder(tmp_path / "file" / "out", {"a.txt": b"1"})
