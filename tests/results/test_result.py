"""Results: saved and loaded equal, the same bytes each time, damage told."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

from accelsim.errors import ResultError
from accelsim.results import Result
from accelsim.results.schema import RUN_SCHEMA, SUMMARY
from tests.results.examples import SCHEMES, energy, example

TABLES = ("kernels", "units", "account", "energy")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_loads_back_equal(tmp_path: Path, scheme: str) -> None:
    result = example(scheme)
    assert Result.load(result.save(tmp_path / "run")).equals(result)


def test_without_values_there_is_no_output(tmp_path: Path) -> None:
    whole = example()
    result = Result(whole.summary, whole.kernels, whole.units, whole.account, whole.energy)
    loaded = Result.load(result.save(tmp_path / "run"))
    assert loaded.output is None
    assert loaded.masks == {}
    assert loaded.equals(result)
    assert not loaded.equals(whole)


def test_equal_results_are_equal_bytes(tmp_path: Path) -> None:
    first, second = example("tile_wise").files(), example("tile_wise").files()
    assert first == second
    example("tile_wise").save(tmp_path / "a")
    example("tile_wise").save(tmp_path / "b")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == len(first) + 1
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    "changed",
    [
        {"summary": {**example().summary, "energy_uj": 1.0}},
        {"energy": example().energy.assign(count=0.0)},
        {"output": example().output + 1},
        {"output": None},
        {"masks": {"ffn": np.eye(4, dtype=bool)}},
        {"provenance": {"seed": 1}},
    ],
    ids=["summary", "energy", "output", "no output", "masks", "provenance"],
)
def test_equals_sees_every_part(changed: dict[str, object]) -> None:
    whole = example()
    parts = {name: getattr(whole, name) for name in ("summary", *TABLES, "output", "masks", "provenance")}
    assert Result(**parts).equals(whole)
    assert not Result(**{**parts, **changed}).equals(whole)


def test_output_with_nan_equals_itself(tmp_path: Path) -> None:
    whole = example()
    output = np.array([1.0, np.nan], dtype=np.float32)
    result = Result(whole.summary, whole.kernels, whole.units, whole.account, whole.energy, output=output)
    assert Result.load(result.save(tmp_path / "run")).equals(result)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_document_follows_the_schema(scheme: str) -> None:
    document = json.loads(example(scheme).to_json())
    jsonschema.validate(document, RUN_SCHEMA, jsonschema.Draft202012Validator)
    assert document["cycles"] == example(scheme).summary["cycles"]


def test_schema_refuses_what_is_wrong() -> None:
    document = json.loads(example().to_json())
    for key, wrong in (("cycles", -1), ("cycles", 1.5), ("scheme", None), ("accuracy", 1.2), ("engine", "magic")):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**document, key: wrong}, RUN_SCHEMA)
    for key in SUMMARY:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({name: entry for name, entry in document.items() if name != key}, RUN_SCHEMA)


def test_json_has_null_and_never_nan() -> None:
    result = example(max_rel_error=float("nan"), items_per_s=np.float64("inf"), area_mm2=np.float32(2.5))
    text = result.to_json()
    assert "NaN" not in text
    assert "Infinity" not in text
    document = json.loads(text)
    assert document["max_rel_error"] is None
    assert document["items_per_s"] is None
    assert document["area_mm2"] == 2.5


def test_frame_has_one_row() -> None:
    frame = example().to_frame()
    assert len(frame) == 1
    assert frame["latency_us"][0] == example().summary["latency_us"]


def test_value_of_the_summary() -> None:
    result = example()
    assert result.value("macs") == 931_135_488
    assert np.isnan(result.value("accuracy"))
    with pytest.raises(TypeError, match="scheme"):
        result.value("scheme")


def test_a_summary_is_whole() -> None:
    whole = example()
    short = {key: entry for key, entry in whole.summary.items() if key != "cycles"}
    with pytest.raises(ValueError, match="lacks cycles"):
        Result(short, whole.kernels, whole.units, whole.account, whole.energy)


def test_a_table_has_its_columns() -> None:
    whole = example()
    with pytest.raises(ValueError, match="table energy lacks source"):
        Result(whole.summary, whole.kernels, whole.units, whole.account, energy("dense").drop(columns="source"))


def test_a_table_mixes_no_types() -> None:
    whole = example()
    mixed = whole.kernels.assign(tile=pd.Series(["a", 3, "b", "c"], dtype=object))
    with pytest.raises(ValueError, match="column tile of table kernels mixes int, str"):
        Result(whole.summary, mixed, whole.units, whole.account, whole.energy)


def test_tables_with_gaps_load_back_equal(tmp_path: Path) -> None:
    whole = example()
    gaps = whole.kernels.assign(
        tile=pd.Series(["128x128", None, None, "64x64"], dtype=object),
        split_k=pd.Series([1, None, 2, None], dtype=object),
    )
    result = Result(whole.summary, gaps.iloc[::-1], whole.units, whole.account, whole.energy)
    assert Result.load(result.save(tmp_path / "run")).equals(result)


def test_empty_tables(tmp_path: Path) -> None:
    whole = example()
    result = Result(whole.summary, pd.DataFrame(), whole.units, whole.account, pd.DataFrame())
    loaded = Result.load(result.save(tmp_path / "run"))
    assert loaded.kernels.empty
    assert loaded.equals(result)


def test_saving_again_replaces(tmp_path: Path) -> None:
    example("dense").save(tmp_path / "run")
    example("hdp").save(tmp_path / "run")
    assert Result.load(tmp_path / "run").scheme == "hdp"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_another_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ResultError, match=r"holds something else \(thesis.tex\)"):
        example().save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_of_the_user_in_a_folder_of_ours_is_kept(tmp_path: Path) -> None:
    folder = example().save(tmp_path / "run")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ResultError, match=r"notes.txt"):
        example("hdp").save(folder)
    assert (folder / "notes.txt").read_text() == "mine"
    assert Result.load(folder).scheme == "dense"


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="no folder of results"):
        Result.load(tmp_path / "nowhere")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(ResultError, match="is a file"):
        example().save(tmp_path / "run")


@pytest.mark.parametrize("name", ["kernels.parquet", "arrays.npz", "result.json"])
def test_damage_is_told(tmp_path: Path, name: str) -> None:
    folder = example().save(tmp_path / "run")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(ResultError, match=f"{name}.*damaged"):
        Result.load(folder)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    folder = example().save(tmp_path / "run")
    (folder / "units.parquet").unlink()
    with pytest.raises(ResultError, match=r"units.parquet.*damaged"):
        Result.load(folder)


def test_another_format_is_told(tmp_path: Path) -> None:
    files = example().files()
    document = json.loads(files["result.json"]) | {"schema_version": 99}
    with pytest.raises(ResultError, match="format 99"):
        Result.from_files(files | {"result.json": json.dumps(document).encode()}, tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("result.json", b"{"),
        ("result.json", b"[]"),
        ("energy.parquet", b"PAR1"),
        ("arrays.npz", b"PK"),
        ("arrays.npz", b""),
    ],
)
def test_unreadable_content_is_the_users_error(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(ResultError, match="cannot be read as a result"):
        Result.from_files(example().files() | {name: content}, tmp_path)


def test_a_folder_of_something_else_of_ours(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="holds no result"):
        Result.from_files({"comparison.json": b"{}"}, tmp_path)
