"""Comparisons: ratios, notes, documents, folders."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import ResultError
from accelsim.results import Comparison, Result
from accelsim.results.parts import IDLE, attention_share, defaults, latency_parts, ratio
from accelsim.results.schema import COMPARE_SCHEMA
from accelsim.results.tables import plain, unit_of
from tests.results.examples import SCHEMES, comparison, example


def test_ratios_refer_to_the_dense_run() -> None:
    compared = comparison()
    frame = compared.to_frame().set_index("scheme")
    assert list(frame.index) == list(SCHEMES)
    assert frame.loc["dense", ["speedup", "attention_speedup", "energy_ratio"]].tolist() == [1.0, 1.0, 1.0]
    latency = frame["latency_us"]
    assert frame.loc["tile_wise", "speedup"] == pytest.approx(latency["dense"] / latency["tile_wise"])
    assert frame.loc["hdp", "attention_speedup"] == pytest.approx(12.0 / 7.5)
    assert frame.loc["tile_wise", "energy_ratio"] < 1


def test_baseline_need_not_be_shown() -> None:
    compared = Comparison((example("hdp"),), example("dense"))
    assert compared.to_frame()["speedup"].notna().all()
    assert compared["hdp"].scheme == "hdp"
    with pytest.raises(KeyError, match="compared are hdp"):
        compared["dense"]


def test_without_attention_there_is_no_attention_speedup() -> None:
    compared = comparison(attention_latency_us=None, attention_macs=0)
    assert json.loads(compared.to_json())["schemes"][1]["attention_speedup"] is None
    assert not any("Attention is" in note for note in compared.notes())


def test_document_follows_the_schema() -> None:
    document = json.loads(comparison().to_json())
    jsonschema.validate(document, COMPARE_SCHEMA, jsonschema.Draft202012Validator)
    assert [entry["scheme"] for entry in document["schemes"]] == list(SCHEMES)
    document["schemes"][0].pop("speedup")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, COMPARE_SCHEMA)


def test_notes_say_what_attention_can_gain() -> None:
    notes = comparison().notes()
    share = 25_165_824 / 931_135_488
    assert any(f"Attention is {100 * share:.2g} % of the dense MACs" in note for note in notes)
    latency = example().value("latency_us")
    assert any(f"at most {1 / (1 - 12 / latency):.3g}x" in note for note in notes)
    assert any("normal, standard deviation 1" in note for note in notes)
    assert any("hardware.gpu.l2.port" in note for note in notes)


def test_defaults_are_found_in_the_config() -> None:
    found = ["hardware.gpu.l2.port", "energy.gpu.cuda_flop", "energy.gpu.leakage"]
    assert defaults(example()) == found


def test_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Comparison((), example())


def test_a_scheme_stands_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        Comparison((example("hdp"), example("hdp")), example())


@pytest.mark.parametrize("key", ["hardware", "workload"])
def test_one_machine_and_workload(key: str) -> None:
    with pytest.raises(ValueError, match=f"of one {key}"):
        Comparison((example("hdp", **{key: "another"}),), example())


def test_saved_folder(tmp_path: Path) -> None:
    compared = comparison()
    compared.save(tmp_path / "out", {"comparison.png": b"figure"})
    assert json.loads((tmp_path / "out/comparison.json").read_text()) == compared.document()
    assert pd.read_csv(tmp_path / "out/comparison.csv")["scheme"].tolist() == list(SCHEMES)
    assert (tmp_path / "out/comparison.png").read_bytes() == b"figure"
    for scheme in SCHEMES:
        files = {name: (tmp_path / "out" / scheme / name).read_bytes() for name in example(scheme).files()}
        assert Result.from_files(files, tmp_path).equals(compared[scheme])
    compared.save(tmp_path / "out")
    assert not (tmp_path / "out/comparison.png").exists()
    (tmp_path / "out/hdp/mine.txt").write_text("x")
    with pytest.raises(ResultError, match=r"hdp/mine.txt"):
        compared.save(tmp_path / "out")


_times = st.integers(0, 50)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(_times, _times, st.sampled_from(["gemm", "attention", "transfer"])), min_size=1, max_size=8))
def test_latency_parts_add_up(rows: list[tuple[int, int, str]]) -> None:
    spans = [(float(min(a, b)), float(max(a, b)), part) for a, b, part in rows]
    latency = max(end for _, end, _ in spans)
    kernels = pd.DataFrame(
        [{"name": "x", "device": "gpu", "part": part, "begin_us": a, "end_us": b} for a, b, part in spans]
    )
    whole = example()
    summary = {**whole.summary, "latency_us": latency}
    parts = latency_parts(Result(summary, kernels, whole.units, whole.account, whole.energy))
    assert sum(parts.values()) == pytest.approx(latency)
    assert all(time >= 0 for time in parts.values())
    # Time in which nothing is under way, counted second by second.
    idle = sum(not any(a <= t < b for a, b, _ in spans) for t in range(int(latency)))
    assert parts[IDLE] == pytest.approx(idle)


def test_latency_parts_of_overlapping_operations() -> None:
    whole = example()
    rows = [("a", "gemm", 0.0, 4.0), ("b", "attention", 2.0, 6.0), ("c", "gemm", 3.0, 5.0)]
    kernels = pd.DataFrame(rows, columns=["name", "part", "begin_us", "end_us"]).assign(device="gpu")
    summary = {**whole.summary, "latency_us": 7.0}
    parts = latency_parts(Result(summary, kernels, whole.units, whole.account, whole.energy))
    assert parts == {"gemm": 4.0, "attention": 2.0, IDLE: 1.0}


def test_attention_share() -> None:
    assert attention_share(example()) == pytest.approx(0.027027, rel=1e-4)
    assert attention_share(example(macs=0)) is None


def test_ratio_of_nothing() -> None:
    assert ratio(1.0, 0.0) is None
    assert ratio(float("nan"), 1.0) is None
    assert ratio(3.0, 2.0) == 1.5


@pytest.mark.parametrize(
    ("name", "unit"),
    [("latency_us", "us"), ("time_total_ps", "ps"), ("items_per_s", "1/s"), ("share_percent", "%"), ("bonus", "")],
)
def test_names_end_in_units(name: str, unit: str) -> None:
    assert unit_of(name) == unit


def test_plain_values() -> None:
    given_ = {"a": np.int64(3), "b": [np.float32(0.5), float("nan")], "c": (np.True_, pd.NA)}
    assert plain(given_) == {"a": 3, "b": [0.5, None], "c": [True, None]}
    with pytest.raises(TypeError, match="cannot stand in a JSON document"):
        plain({"a": object()})
