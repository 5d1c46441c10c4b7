"""Trade-off of accuracy against time and energy: points, fronts, files, and what is refused."""

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import validate

from accelsim.cli.entry import USER, main
from accelsim.explore.budget import TradeOff, trade_off
from accelsim.explore.budget.tradeoff import grid, pareto
from accelsim.pipeline import run
from accelsim.results.budget_schema import TRADEOFF_SCHEMA
from accelsim.show.tradeoff import trade_off_figure

MODEL = "digits_vit_16"


@lru_cache
def found() -> TradeOff:
    return trade_off("edge_hdp", [MODEL], settings=3, count=12, each=True)


@settings(deadline=None, max_examples=60)
@given(points=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=10))
def test_front_is_what_no_point_beats(points: list[tuple[int, int]]) -> None:
    quality, cost = np.array(points, dtype=np.float64).T
    wanted = [not any((q >= good and c <= dear) and (q > good or c < dear) for q, c in points) for good, dear in points]
    assert pareto(quality, cost).tolist() == wanted
    assert any(wanted)


def test_grids() -> None:
    assert [one.sets() for one in grid("tile_wise", 2)] == [["tile_wise.sparsity=0.05"], ["tile_wise.sparsity=0.9"]]
    assert [one.sets() for one in grid("hdp", 9, row_thresholds=[0.5])] == [["hdp.rho_b=0.5"]]
    both = grid("tile_wise+hdp", 6)
    assert len(both) == 9
    assert len({tuple(one.sets()) for one in both}) == 9
    assert [one.sets() for one in grid("n_m", 2)] == [["n_m.n=3", "n_m.m=4"], ["n_m.n=2", "n_m.m=4"]]
    assert grid("dense_on_unit", 5)[0].options == ()


def test_points_are_what_runs_say() -> None:
    points = found().points
    assert points["scheme"].tolist() == ["dense", *["tile_wise"] * 3, *["hdp"] * 3, *["tile_wise+hdp"] * 4]
    for _, row in points.iloc[[0, 2, 5]].iterrows():
        result = run(
            "edge_hdp",
            MODEL,
            scheme=row["scheme"],
            sets=["workload.images=12", *row["setting"].split()],
            engine="estimate",
            per_input=True,
        )
        for key in ("latency_us", "energy_uj", "items_per_s", "latency_p50_us", "latency_p95_us"):
            assert row[key] == pytest.approx(result.value(key))
        assert row["quality"] == result.summary["accuracy"]
    dense = points.iloc[0]
    assert (dense["change"], dense["change_low"], dense["change_high"]) == (0, 0, 0)
    for cost, front in (("latency_us", "front_latency"), ("energy_uj", "front_energy")):
        assert points[front].tolist() == pareto(points["quality"], points[cost]).tolist()


def test_documents_fit_their_schema_and_files_are_written(tmp_path: Path) -> None:
    validate(found().document(), TRADEOFF_SCHEMA)
    found().save(tmp_path / "saved", {"x.png": b"1"})
    assert json.loads((tmp_path / "saved/tradeoff.json").read_text()) == found().document()
    assert len(pd.read_csv(tmp_path / "saved/points.csv")) == len(found().points)


def test_figure_has_both_costs_and_the_front() -> None:
    several = pd.concat([found().points, found().points.assign(workload="other")])
    figure = trade_off_figure(several, "accuracy")
    assert [axes.get_xlabel() for axes in figure.axes] == ["latency (us)", "energy (uJ)"]
    assert figure.axes[0].get_ylabel() == "accuracy (%)"
    names = figure.axes[0].get_legend_handles_labels()[1]
    assert "front" in names
    assert "HDP, other" in names
    front = figure.axes[0].lines[0].get_xdata()
    assert len(front) == several["front_latency"].sum()
    with pytest.raises(ValueError, match="nothing was run"):
        trade_off_figure(found().points.iloc[:0], "accuracy")


def test_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    given = ["tradeoff", "edge_hdp", MODEL, "--inputs", "8", "--schemes", "hdp", "--row-thresholds", "0,0.5"]
    assert main([*given, "--out", str(tmp_path / "out")]) == 0
    assert "hdp.rho_b=0.5" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"points.csv", "tradeoff.png", "tradeoff.svg"}
    assert main([*given, "--json"]) == 0
    assert [point["setting"] for point in json.loads(capsys.readouterr().out)["points"]] == [
        *("", "hdp.rho_b=0", "hdp.rho_b=0.5")
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([MODEL, "--sparsities", "half"], "--sparsities half: 'half' is no number"),
        ([MODEL, "--sparsities", "1.5"], "tile_wise.sparsity"),
        ([f"{MODEL},{MODEL}"], "name at least one, and each once"),
        ([","], "name at least one, and each once"),
        ([MODEL, "--split", "train"], "no split train"),
        (["gemm_1024"], "is of kind gemm and has no data"),
    ],
)
def test_mistakes_are_told(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tradeoff", "edge_hdp", *options, "--inputs", "4"]) == USER
    assert message in capsys.readouterr().err
