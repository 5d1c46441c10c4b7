"""Figures that set simulated and measured points side by side say what the tables say."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgba

from accelsim.show.beside import grouped_bars, line_chart
from accelsim.show.style import axis_label
from accelsim.show.validation import error_chart

FRAME = pd.DataFrame({
    "granularity": [8, 8, 32, 32], "sparsity": [0.9, 0.5, 0.5, 0.9], "latency_us": [2.0, 4.0, 3.0, 1.0],
})  # fmt: skip


def test_axis_labels_have_their_unit() -> None:
    assert axis_label("latency_us") == "latency (us)"
    assert axis_label("speedup") == "speedup"
    assert axis_label("dram_read_bytes") == "DRAM read (B)"


class TestLines:
    def test_a_line_for_each_value_sorted_along_x(self) -> None:
        axes = line_chart(FRAME, "sparsity", "latency_us", "granularity", name="G = {}")
        found = {str(line.get_label()): np.asarray(line.get_xydata()).tolist() for line in axes.lines}
        assert found == {"G = 8": [[0.5, 4.0], [0.9, 2.0]], "G = 32": [[0.5, 3.0], [0.9, 1.0]]}
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("sparsity", "latency (us)")

    def test_measured_points_take_the_colour_of_their_line(self) -> None:
        points = FRAME[FRAME["granularity"] == 32].assign(latency_us=[3.3, 1.1])
        axes = line_chart(FRAME, "sparsity", "latency_us", "granularity", points=points)
        line, hollow = axes.lines[1], axes.lines[2]
        assert line.get_label() == "32"
        assert hollow.get_color() == line.get_color()
        assert hollow.get_linestyle() == "None"
        assert np.asarray(hollow.get_xydata()).tolist() == [[0.5, 3.3], [0.9, 1.1]]
        assert axes.get_legend_handles_labels()[1] == ["8", "32", "measured"]

    def test_ends_are_bars(self) -> None:
        frame = FRAME.assign(low=FRAME["latency_us"] - 0.5, high=FRAME["latency_us"] + 0.25)
        axes = line_chart(frame, "sparsity", "latency_us", "granularity", ends=("low", "high"))
        segments = axes.containers[0][2][0].get_segments()  # type: ignore[index]
        assert [segment[:, 1].tolist() for segment in segments] == [[3.5, 4.25], [1.5, 2.25]]

    def test_one_line_has_no_legend(self) -> None:
        assert line_chart(FRAME, "sparsity", "latency_us").get_legend() is None

    def test_nothing_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no point"):
            line_chart(FRAME.iloc[:0], "sparsity", "latency_us")


class TestBars:
    def test_bars_stand_where_their_values_are(self) -> None:
        series = {"ours": pd.Series([1.0, 2.0], ["a", "b"]), "theirs": pd.Series([3.0], ["b"])}
        axes = grouped_bars(series, ylabel="x", number=".1f")
        assert [text.get_text() for text in axes.get_xticklabels()] == ["a", "b"]
        assert [[bar.get_height() for bar in group] for group in axes.containers] == [[1.0, 2.0], [0.0, 3.0]]  # type: ignore[attr-defined]
        assert [text.get_text() for text in axes.texts] == ["1.0", "2.0", "3.0"]

    def test_columns_are_stacked_and_share_a_colour(self) -> None:
        one = pd.DataFrame({"gemm": [2.0], "scatter": [1.0]}, ["G"])
        axes = grouped_bars({"published": one, "ours": 2 * one}, ylabel="us", colours={"gemm": "#0072B2"})
        bars = {str(group.get_label()): group[0] for group in axes.containers}  # type: ignore[index]
        assert bars["scatter, published"].get_y() == 2.0
        assert bars["scatter, ours"].get_y() == 4.0
        assert bars["gemm, published"].get_facecolor() == bars["gemm, ours"].get_facecolor() == to_rgba("#0072B2")
        assert bars["gemm, published"].get_hatch() != bars["gemm, ours"].get_hatch()

    @given(st.integers(1, 5), st.integers(1, 5))
    @settings(max_examples=15, deadline=None)
    def test_groups_never_overlap(self, labels: int, series: int) -> None:
        values = pd.Series(np.ones(labels), list(range(labels)))
        axes = grouped_bars({str(name): values for name in range(series)}, ylabel="x")
        spans = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for group in axes.containers for bar in group)  # type: ignore[attr-defined]
        assert all(before[1] <= after[0] + 1e-12 for before, after in pairwise(spans))

    def test_nothing_is_refused(self) -> None:
        for series in ({}, {"ours": pd.Series(dtype=float)}):
            with pytest.raises(ValueError, match="no bar"):
                grouped_bars(series, ylabel="x")


class TestErrors:
    FRAME = pd.DataFrame(
        {"measured_us": [1.0, 10.0, 100.0], "error_percent": [5.0, -20.0, 0.0], "half": ["b", "a", "b"]}
    )

    def test_every_row_is_a_point_of_its_half(self) -> None:
        axes = error_chart(self.FRAME, "half")
        points = {str(one.get_label()): np.asarray(one.get_offsets()).tolist() for one in axes.collections}
        assert points["b (2)"] == [[1.0, 5.0], [100.0, 0.0]]
        assert points["a (1)"] == [[10.0, -20.0]]
        assert axes.get_xscale() == "log"

    def test_without_halves_there_is_no_legend(self) -> None:
        assert error_chart(self.FRAME).get_legend() is None

    def test_nothing_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no row"):
            error_chart(self.FRAME.iloc[:0])
