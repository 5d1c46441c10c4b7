"""Differences: none of a result and itself, the other way round with the other sign, sums that hold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import ResultError
from accelsim.results import Result
from accelsim.results.diff import ArrayDiff, Change, diff_results, flatten
from accelsim.results.saved import SavedSweep, load_results, load_sweep
from accelsim.results.sweep_diff import diff_sweeps
from tests.results.examples import SCHEMES, comparison, example
from tests.results.runs import runs


def as_map(changes: tuple[Change, ...]) -> dict[str, tuple[object, object]]:
    return {change.name: (change.before, change.after) for change in changes}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_differs_from_itself(scheme: str) -> None:
    found = diff_results(example(scheme), example(scheme))
    assert found.is_empty
    assert found.worst_percent() == 0
    assert not any(found.document().values())


@given(runs(), runs("tile_wise"))
@settings(deadline=None, max_examples=12)
def test_the_other_way_round_has_the_other_sign(one: Result, other: Result) -> None:
    there, back = diff_results(one, other), diff_results(other, one)
    for part in ("totals", "causes", "energy", "kernels"):
        forward, backward = as_map(getattr(there, part)), as_map(getattr(back, part))
        assert forward == {name: (after, before) for name, (before, after) in backward.items()}
        assert {c.name: c.delta for c in getattr(there, part)} == {c.name: -c.delta for c in getattr(back, part)}
    assert {(s.path, str(s.before), str(s.after)) for s in (*there.config, *there.texts)} == {
        (s.path, str(s.after), str(s.before)) for s in (*back.config, *back.texts)
    }


@given(runs(), runs())
@settings(deadline=None, max_examples=12)
def test_causes_add_up_to_the_latency(one: Result, other: Result) -> None:
    found = diff_results(one, other)
    gained = other.value("latency_us") - one.value("latency_us")
    assert sum(change.delta for change in found.causes) == pytest.approx(gained, abs=1e-9)


def test_config_is_told_by_path() -> None:
    config = {"hardware": {"gpu": {"clock": "1.2 GHz", "sources": {"clock": "measured"}}}, "scheme": "hdp"}
    after = replace(example(), provenance={"config": config, "accelsim": "0.2.0"})
    found = {one.path: (one.before, one.after) for one in diff_results(example(), after).config}
    assert found == {
        "hardware.gpu.clock": ("1.41e9 Hz", "1.2 GHz"),
        "scheme": (None, "hdp"),
        "accelsim": ("0.1.0", "0.2.0"),
    }


def test_energy_and_kernels_that_came_and_went() -> None:
    found = diff_results(example("dense"), example("hdp"))
    assert as_map(found.energy) == {"attention_unit.bit_product": (None, 4.0), "link.link_byte": (None, 9.0)}
    assert as_map(found.kernels) == {"to_unit": (None, 1.5), "to_gpu": (None, 1.5), "attention": (12.0, 7.5)}
    assert found.kernels[0].name == "attention"
    assert found.kernels[-1].percent is None


def test_output_and_masks_are_compared() -> None:
    before = example("tile_wise")
    assert before.output is not None
    output = before.output.copy()
    output[1, 2] += 0.25
    found = diff_results(before, replace(before, output=output, masks={"ffn": np.ones((3, 4), dtype=bool)}))
    assert found.arrays == (ArrayDiff("masks.ffn", None, None, None), ArrayDiff("output", 1, 12, 0.25))
    output[0, 0] = np.nan
    worse = replace(before, output=output)
    assert diff_results(before, worse).arrays == (ArrayDiff("output", 2, 12, np.inf),)
    assert diff_results(worse, worse).is_empty


def test_worst_is_the_largest_rise() -> None:
    latency, energy = example().value("latency_us"), example().value("energy_uj")
    after = example(latency_us=1.03 * latency, energy_uj=1.01 * energy)
    assert diff_results(example(), after).worst_percent() == pytest.approx(3)
    assert diff_results(after, example()).worst_percent() == 0
    assert diff_results(example(energy_uj=0.0), example()).worst_percent() == np.inf


def test_lists_are_one_value_and_tables_are_walked() -> None:
    node = {"a": [1, 2], "b": [{"c": 3}], "d": {}, "description": "left out"}
    assert dict(flatten(node)) == {"a": [1, 2], "b.0.c": 3, "d": {}}


def test_comparisons_load_by_scheme(tmp_path: Path) -> None:
    saved = comparison()
    saved.save(tmp_path / "saved")
    found = load_results(tmp_path / "saved")
    assert list(found) == list(SCHEMES)
    assert all(found[scheme].equals(saved[scheme]) for scheme in SCHEMES)
    assert list(load_results(tmp_path)) == list(SCHEMES)
    example().save(tmp_path / "another")
    with pytest.raises(ResultError, match="below it are another, saved"):
        load_results(tmp_path)
    with pytest.raises(ResultError, match="which a sweep writes at its end"):
        load_sweep(tmp_path)


def sweep(points: list[dict[str, object]], axes: tuple[str, ...] = ("tile",), **identity: object) -> SavedSweep:
    rows = [{"error": None, "config_hash": str(index), **point} for index, point in enumerate(points)]
    return SavedSweep(dict(identity), axes, tuple(rows))


POINTS = st.lists(
    st.fixed_dictionaries(
        {
            "tile": st.sampled_from([32, 64, 128, "auto"]),
            "latency_us": st.floats(1, 100),
            "error": st.sampled_from([None, "does not fit"]),
        }
    ),
    max_size=6,
)


@given(POINTS, POINTS)
@settings(deadline=None, max_examples=30)
def test_sweeps_the_other_way_round(one: list[dict[str, object]], other: list[dict[str, object]]) -> None:
    there, back = diff_sweeps(sweep(one), sweep(other)), diff_sweeps(sweep(other), sweep(one))
    assert (there.added, there.removed, there.compared) == (back.removed, back.added, back.compared)
    assert there.compared + len(there.removed) == len(one)
    assert there.compared + len(there.added) == len(other)
    deltas = [sorted(c.delta for p in found.changed for c in p.totals) for found in (there, back)]
    assert deltas[0] == sorted(-delta for delta in deltas[1])
    assert diff_sweeps(sweep(one), sweep(one)).is_empty


def test_points_match_by_axes_whatever_their_order() -> None:
    before = sweep([{"tile": 64, "latency_us": 10.0}, {"tile": 128, "latency_us": 8.0}], workload="a")
    after = sweep([{"tile": 128.0, "latency_us": 8.8}, {"tile": 256, "latency_us": 9.0}], workload="b")
    found = diff_sweeps(before, after)
    assert (found.added, found.removed, found.compared) == (({"tile": 256},), ({"tile": 64},), 1)
    assert [(one.path, one.before, one.after) for one in found.config] == [("workload", "a", "b")]
    assert found.changed[0].point == {"tile": 128}
    assert found.worst_percent() == pytest.approx(10)


def test_a_point_that_newly_fails_is_the_worst() -> None:
    good, bad = {"tile": 64, "latency_us": 10.0}, {"tile": 64, "error": "does not fit"}
    found = diff_sweeps(sweep([good]), sweep([bad]))
    assert found.changed[0].newly_failed
    assert found.worst_percent() == np.inf
    mended = diff_sweeps(sweep([bad]), sweep([good]))
    assert not mended.changed[0].newly_failed
    assert mended.worst_percent() == 0


def test_an_axis_that_one_sweep_fixes_matches_its_own_value() -> None:
    before = sweep([{"tile": 64, "latency_us": 1.0}], scheme="dense")
    points = [{"tile": 64, "scheme": name, "latency_us": 1.0} for name in ("dense", "hdp")]
    found = diff_sweeps(before, sweep(points, ("tile", "scheme")))
    assert (found.compared, found.added, found.changed) == (1, ({"tile": 64, "scheme": "hdp"},), ())
