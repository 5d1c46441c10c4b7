"""Figures: what they show is what the results hold, and the same bytes each time."""

import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.container import BarContainer

from accelsim.results import Result
from accelsim.show import sweep_files
from accelsim.show.figures import (
    CAUSES,
    account_stack,
    comparison_figure,
    energy_bars,
    latency_bars,
    quality_bars,
    speedup_bars,
)
from accelsim.show.style import PALETTE, axis_label, colour_of, figure_bytes, label_of
from accelsim.show.sweeps import sweep_figure
from tests.results.examples import SCHEMES, comparison, example


def totals(axes: Axes) -> np.ndarray:
    """Height of every stack."""
    bars = [container for container in axes.containers if isinstance(container, BarContainer)]
    return np.sum([[bar.get_height() for bar in container] for container in bars], axis=0)


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_latency_adds_up_and_bears_speedups() -> None:
    compared = comparison()
    axes = latency_bars(compared)
    np.testing.assert_allclose(totals(axes), [result.value("latency_us") for result in compared.results])
    assert texts(axes) == [f"{compared.ratios(result)['speedup']:.2f}x" for result in compared.results]
    assert axes.get_ylabel() == "latency (us)"
    assert texts(latency_bars([example("dense")])) == [""]


def test_account_adds_up_to_100_percent() -> None:
    axes = account_stack(comparison())
    np.testing.assert_allclose(totals(axes), [100.0] * len(SCHEMES))
    assert axes.get_ylim() == (0, 100)
    labels = axes.get_legend_handles_labels()[1]
    assert set(labels) <= {label_of(cause) for cause in CAUSES}
    assert "imbalance" in labels


def test_account_of_the_attention_unit_shows_who_has_it() -> None:
    axes = account_stack(comparison(), device="attention_unit")
    np.testing.assert_allclose(totals(axes), [100.0, 100.0])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["HDP", "tile-wise +\nHDP"]
    with pytest.raises(ValueError, match="no result accounts for a device 'tpu'"):
        account_stack(example(), device="tpu")


def test_energy_adds_up_in_the_unit_of_its_axis() -> None:
    compared = comparison()
    axes = energy_bars(compared)
    assert axes.get_ylabel() == "energy (mJ)"
    np.testing.assert_allclose(totals(axes), [result.value("energy_uj") / 1e3 for result in compared.results])


@pytest.mark.parametrize(("factor", "unit"), [(0.01, "uJ"), (1.0, "mJ"), (1e3, "J")])
def test_energy_unit_follows_the_size(factor: float, unit: str) -> None:
    whole = example()
    table = whole.energy.assign(energy_uj=whole.energy["energy_uj"] * factor)
    result = Result(whole.summary, whole.kernels, whole.units, whole.account, table)
    assert energy_bars([result]).get_ylabel() == f"energy ({unit})"


def test_quality_is_accuracy_where_there_are_labels() -> None:
    labelled = quality_bars(comparison(accuracy=0.962))
    assert labelled.get_ylabel() == "accuracy (%)"
    assert texts(labelled) == ["96.2"] * 4
    plain = quality_bars(comparison())
    assert plain.get_ylabel() == "largest error of the output (%)"
    assert texts(plain)[1] == "21"
    assert texts(quality_bars([example(max_rel_error=None)])) == ["no values"]


def test_speedup_bars() -> None:
    compared = comparison()
    axes = speedup_bars(compared, of="attention_speedup")
    np.testing.assert_allclose(totals(axes), [1.0, 1.0, 1.6, 1.6])
    assert axes.get_ylabel() == "attention speed-up over dense (x)"


def test_long_names_side_by_side_are_slanted_and_short_ones_are_not() -> None:
    crowded = [label.get_rotation() for label in latency_bars(map(renamed, SCHEMES)).get_xticklabels()]
    assert crowded == [30.0] * len(SCHEMES)
    assert {label.get_rotation() for label in latency_bars(comparison()).get_xticklabels()} == {0.0}


def renamed(scheme: str) -> Result:
    """A result whose scheme has a name as long as the longest pattern's."""
    one = example(scheme)
    return Result({**one.summary, "scheme": "tile_element_wise"}, one.kernels, one.units, one.account, one.energy)


def test_comparison_figure_has_three_panels_and_a_title() -> None:
    figure = comparison_figure(comparison())
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a  Latency", "b  Energy", "c  Error of the output"]
    assert figure.get_suptitle() == "bert_base_layer on a100_hdp"


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_equal_figures_are_equal_bytes(kind: str) -> None:
    first, second = (figure_bytes(comparison_figure(comparison()), kind) for _ in range(2))
    assert first == second
    assert first.startswith(b"\x89PNG" if kind == "png" else b"<?xml")


def test_colours_are_fixed_or_free() -> None:
    colours = colour_of(["a", "compute", "b"], {"compute": PALETTE[0]})
    assert colours == {"compute": PALETTE[0], "a": PALETTE[1], "b": PALETTE[2]}


def points(**sizes: int) -> pd.DataFrame:
    rows = [dict(zip(sizes, values, strict=True)) for values in itertools.product(*(range(n) for n in sizes.values()))]
    frame = pd.DataFrame(rows)
    return frame.assign(latency_us=10.0 + frame.sum(axis=1))


def test_sweep_puts_the_longest_axis_along_x() -> None:
    figure = sweep_figure(points(a=2, b=5, c=3), ["a", "b", "c"])
    assert figure.get_supxlabel() == "b"
    assert figure.get_supylabel() == "latency (us)"
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["a 0", "a 1"]
    assert [len(axes.lines) for axes in figure.axes] == [3, 3]
    np.testing.assert_array_equal(figure.axes[1].lines[2].get_ydata(), [13, 14, 15, 16, 17])


def test_sweep_with_too_many_panels_shows_the_best() -> None:
    figure = sweep_figure(points(a=12, b=11, c=10), ["a", "b", "c"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["best over c"]
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), np.arange(10.0, 22.0))


def test_sweep_leaves_failed_points_out() -> None:
    frame = points(a=4)
    frame.loc[2, "latency_us"] = np.nan
    axes = sweep_figure(frame, ["a"]).axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [10, 11, 13])
    assert sweep_files(frame.assign(latency_us=np.nan), ["a"]) == {}
    assert sweep_files(frame.drop(columns="latency_us"), ["a"]) == {}
    with pytest.raises(ValueError, match="no point"):
        sweep_figure(frame.assign(latency_us=np.nan), ["a"])


def test_sweep_shows_the_best_accuracy_where_it_varies() -> None:
    frame = points(a=12, b=11, c=10)
    frame["accuracy"] = np.where(frame["c"] == 3, 0.9, 0.01) + frame["b"] / 1000
    files = sweep_files(frame, ["a", "b", "c"])
    assert set(files) == {"sweep.png", "sweep.svg", "accuracy.png", "accuracy.svg"}
    axes = sweep_figure(frame, ["a", "b", "c"], "accuracy").axes[0]
    np.testing.assert_allclose(axes.lines[4].get_ydata(), 0.904)
    assert axes.get_yscale() == "linear"
    assert axes.get_ylim()[0] == 0
    assert set(sweep_files(frame.assign(accuracy=0.5), ["a"])) == {"sweep.png", "sweep.svg"}


def test_sweep_of_names() -> None:
    frame = pd.DataFrame({"scheme": ["hdp", "dense"], "latency_us": [1.0, 2.0]})
    axes = sweep_figure(frame, ["scheme"]).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["HDP", "dense"]
    drawn = dict(zip(axes.lines[0].get_xdata(), axes.lines[0].get_ydata(), strict=True))
    assert drawn == {0: 1.0, 1: 2.0}
    assert axes.lines[0].get_linestyle() == "None"  # nothing lies between two names


def test_sweep_has_numbers_along_x_and_names_as_lines() -> None:
    schemes, sparsities = ("dense", "tile_wise", "element_wise"), (0.5, 0.9)
    rows = [(scheme, sparsity, 10.0**index) for index, scheme in enumerate(schemes) for sparsity in sparsities]
    figure = sweep_figure(pd.DataFrame(rows, columns=["scheme", "sparsity", "latency_us"]), ["scheme", "sparsity"])
    axes = figure.axes[0]
    assert figure.get_supxlabel() == "sparsity"
    assert [line.get_label() for line in axes.lines] == ["dense", "tile-wise", "element-wise"]
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[0] < 1 < 100 < axes.get_ylim()[1]


def test_sweep_says_that_sparsities_are_those_asked_for_where_others_were_reached() -> None:
    asked = pd.DataFrame({"sparsity": [0.5, 0.9], "latency_us": [2.0, 1.0], "weight_sparsity": [0.5, 0.9375]})
    assert sweep_figure(asked, ["sparsity"]).get_supxlabel() == "sparsity (asked)"
    assert sweep_figure(asked.assign(weight_sparsity=[0.501, 0.899]), ["sparsity"]).get_supxlabel() == "sparsity"
    assert sweep_figure(asked.assign(weight_sparsity=0.0), ["sparsity"]).get_supxlabel() == "sparsity"


def test_sweep_of_one_point() -> None:
    files = sweep_files(pd.DataFrame({"a": [1], "latency_us": [2.0]}), ["a"])
    assert sorted(files) == ["sweep.png", "sweep.svg"]


def test_matplotlib_is_imported_late() -> None:
    code = "import sys, accelsim.show.figures, accelsim.show.sweeps; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_latency_bars_have_whiskers_where_an_interval_is_known() -> None:
    plain = example("dense")
    latency = plain.value("latency_us")
    ends = {"latency_low_us": 0.8 * latency, "latency_high_us": 1.5 * latency}
    known = Result({**plain.summary, **ends}, plain.kernels, plain.units, plain.account, plain.energy)
    axes = latency_bars([known, example("hdp")])
    drawn = [line for collection in axes.collections for line in collection.get_segments()]
    assert [sorted(point[1] for point in line) for line in drawn] == [
        [pytest.approx(0.8 * latency), pytest.approx(1.5 * latency)]
    ]
    assert axes.get_ylim()[1] > 1.5 * latency
    assert not latency_bars([example("dense")]).collections


@pytest.mark.parametrize(
    ("column", "text"),
    [("latency_us", "latency (us)"), ("energy_uj", "energy (uJ)"), ("edp", "EDP (uJ us)"), ("accuracy", "accuracy")],
)
def test_axes_name_a_quantity_once_and_its_unit(column: str, text: str) -> None:
    assert axis_label(column) == text
