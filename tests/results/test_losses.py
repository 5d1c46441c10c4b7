"""Waterfalls: from saved multiply-accumulates to saved time, to the picosecond."""

import json

import jsonschema
import pytest
from hypothesis import given, settings

from accelsim.errors import ResultError
from accelsim.results import Result
from accelsim.results.explain import Explanation, explain, explanations_text
from accelsim.results.explain_schema import EXPLAIN_SCHEMA
from accelsim.results.losses import waterfall
from tests.results.examples import example
from tests.results.runs import kernel, run_of, runs


@given(runs(), runs("tile_wise"))
@settings(deadline=None, max_examples=15)
def test_losses_add_up_exactly(dense: Result, sparse: Result) -> None:
    found = waterfall(dense, sparse)
    assert found.ideal_ps + sum(found.losses.values()) == found.actual_ps
    rows = found.rows()
    if rows:
        assert rows[-1]["reached_us"] == found.actual_ps / 1e6


@given(runs())
@settings(deadline=None, max_examples=8)
def test_a_run_loses_nothing_against_itself(result: Result) -> None:
    found = waterfall(result, result)
    assert found.losses == {}
    assert found.ideal_ps == found.actual_ps == found.dense_ps
    assert (found.macs_saved, found.speedup) == (1.0, 1.0)


def test_each_loss_by_hand() -> None:
    """The product keeps a quarter; the normalisation has nothing to keep."""
    norm = {"part": "elementwise"}
    dense = run_of(
        [
            kernel("a", 0, (10, 80, 8, 2, 20), macs=400, executed=400, asked=100, fetched=100),
            kernel("n", 120, (20, 0, 0, 60, 40), **norm),  # type: ignore[arg-type]
        ]
    )
    sparse = run_of(
        [
            kernel("a", 0, (10, 40, 8, 4, 25), macs=100, executed=125, asked=50, fetched=100),
            kernel("n", 87, (20, 0, 0, 60, 40), **norm),  # type: ignore[arg-type]
        ],
        "tile_wise",
    )
    found = waterfall(dense, sparse)
    assert (found.dense_ps, found.ideal_ps, found.actual_ps, found.macs_saved) == (240, 60, 207, 4.0)
    assert found.losses == {
        "unpruned": 120 + 30 - 60,
        "padding": 8,
        "slower_unit": 32 - 20,
        "launch": round(10 - 2.5),
        "gather": 6,
        "memory": pytest.approx(6 - 2.5, abs=1),
        "tail": 25 - 5,
    }
    kept = {row["operation"]: row["kept"] for row in found.operations}
    assert kept == {"a": 0.25, "n": 1.0}
    assert found.operations[0]["loss_us"] == pytest.approx((87 - 30) / 1e6)


def test_an_operation_on_another_device_is_one_loss() -> None:
    dense = run_of([kernel("a", 0, (10, 90, 0, 0, 0), macs=100, executed=100, part="attention")])
    unit = kernel("a", 0, (0, 150, 0, 0, 0), macs=50, part="attention", device="attention_unit")
    found = waterfall(dense, run_of([unit], "hdp"))
    assert found.losses == {"other_device": 100}


def test_another_workload_is_no_baseline() -> None:
    with pytest.raises(ResultError, match="one workload, not of bert_base_layer and gemm_1024"):
        waterfall(example(), example("tile_wise", workload="gemm_1024"))


def test_older_results_name_no_operations() -> None:
    with pytest.raises(ResultError, match="names no operations"):
        waterfall(example(), example("tile_wise"))


def test_operations_that_dense_does_not_have_are_one_loss() -> None:
    """A second pass does work of its own, and takes nothing off what the first one saved."""
    first = kernel("a", 0, (10, 20, 0, 0, 0), macs=25, executed=25)
    again = kernel("second.a", 30, (10, 80, 0, 0, 0), macs=100, executed=100)
    dense = run_of([kernel("a", 0, (10, 80, 0, 0, 0), macs=100, executed=100)])
    found = waterfall(dense, run_of([first, again], "hdp"))
    assert found.macs_saved == 4
    assert found.losses["added"] == 90
    assert found.ideal_ps + sum(found.losses.values()) == 120


def test_a_run_without_products_has_no_ideal() -> None:
    nothing = run_of([kernel("n", 0, (1, 2, 3, 4, 5), part="elementwise")])
    with pytest.raises(ResultError, match="dense run multiplies nothing"):
        waterfall(nothing, nothing)


def test_a_run_without_time_has_nothing_to_lose() -> None:
    nothing = run_of([kernel("a", 0, (0, 0, 0, 0, 0), macs=1, executed=1)])
    with pytest.raises(ResultError, match="takes no time"):
        waterfall(nothing, nothing)
    assert Explanation(nothing).stack_rows() == []


def test_document_follows_the_schema() -> None:
    dense = run_of([kernel("a", 0, (1, 5, 0, 0, 1), macs=8, executed=8)])
    sparse = run_of([kernel("a", 0, (1, 3, 0, 0, 1), macs=2, executed=4)], "tile_wise")
    document = json.loads(explanations_text(explain([dense, sparse])))
    jsonschema.validate(document, EXPLAIN_SCHEMA, jsonschema.Draft202012Validator)
    assert [entry["losses"] is None for entry in document["results"]] == [True, False]
    assert document["results"][1]["losses"]["macs_saved"] == 4.0
    assert sum(row["time_ps"] for row in document["results"][1]["stack"]) == 5


def test_dense_runs_have_no_losses() -> None:
    found = explain([example("tile_wise"), example("dense")])
    assert found[1].losses is None
    assert found[0].baseline is not None
    assert Explanation(example()).losses is None
