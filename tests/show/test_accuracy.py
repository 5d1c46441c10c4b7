"""Figures of studies and of a watched input: what is drawn for which numbers."""

import numpy as np
import pandas as pd
import pytest

from accelsim.show.accuracy import head_figure, heads_figure, study_figure, study_files, watch_files


def _points() -> pd.DataFrame:
    rows = [
        (axis, method, share, share, 0.9 - share / 10, share / 10, 0.0, share / 5)
        for axis, method in (("blocks", "hdp"), ("blocks", "unheard_of"), ("heads", "heads_random"))
        for share in (0.7, 0.3)
    ]
    columns = ["axis", "method", "pairs_pruned", "heads_pruned", "score", "loss", "loss_low", "loss_high"]
    return pd.DataFrame(rows, columns=columns)


def test_a_panel_for_each_axis_and_a_line_for_each_method() -> None:
    figure = study_figure(_points(), 0.95)
    blocks, heads = figure.axes
    assert blocks.get_xlabel() == "query-key pairs pruned (%)"
    assert heads.get_xlabel() == "heads pruned (%)"
    assert blocks.get_legend_handles_labels()[1] == ["dense", "HDP", "unheard of"]
    assert heads.get_legend_handles_labels()[1] == ["dense", "heads random"]
    shares, scores = heads.containers[0].lines[0].get_data()  # type: ignore[attr-defined]
    assert shares.tolist() == [30, 70]  # in the order of shares, whatever that of rows
    assert scores.tolist() == pytest.approx([87, 83])
    only = _points()[lambda points: points["axis"] == "heads"]
    assert len(study_figure(only, 0.95, "agreement").axes) == 1
    assert study_figure(only, 0.95, "agreement").axes[0].get_ylabel() == "agreement (%)"


def test_no_bar_goes_beyond_a_hundred_percent() -> None:
    points = _points().assign(score=0.98, loss=0.0, loss_low=-0.2, loss_high=0.1)
    for measure, dense in (("accuracy", 0.98), ("spearman", 0.98)):
        (bars,) = study_figure(points, dense, measure).axes[1].containers[0].lines[2]  # type: ignore[attr-defined]
        ends = np.concatenate([segment[:, 1] for segment in bars.get_segments()])
        assert ends.max() == pytest.approx(100)
        assert ends.min() == pytest.approx(88)


def test_without_points_there_is_nothing_to_draw() -> None:
    assert study_files(pd.DataFrame(), 0.9) == {}
    with pytest.raises(ValueError, match="nothing to draw"):
        study_figure(pd.DataFrame(), 0.9)


def test_a_head_is_drawn_with_its_mask_and_thresholds() -> None:
    kept = np.array([[True, False], [False, True]])
    rows = pd.DataFrame({"layer": [1, 1], "head": [0, 0], "block_row": [0, 1], "threshold": [2.0, 3.0]})
    importance = np.array([[5, 1], [0, 4]])
    figure = head_figure(np.arange(9.0).reshape(3, 3), kept, rows, importance, "Layer 1, head 0")
    scores, other = figure.axes[:2]
    veil = np.asarray(scores.images[1].get_array())
    np.testing.assert_array_equal(veil[:, :, 3] > 0, [[0, 0, 1], [0, 0, 1], [1, 1, 0]])
    pruned, stays, threshold = other.lines
    assert sorted(pruned.get_ydata()) == [0, 1]
    assert sorted(stays.get_ydata()) == [4, 5]
    assert list(threshold.get_ydata()) == [2, 3]
    heads = pd.DataFrame(
        {"layer": [1], "head": [0], "importance": [2.5], "threshold": [1.0], "kept": [True], "output_change": [0.5]}
    )
    assert [bar.get_height() for bar in heads_figure(heads).axes[1].patches] == [50]
    files = watch_files(heads, rows, {(1, 0): (np.eye(3), kept, importance)})
    assert set(files) == {"heads.png", "head_1_0.png"}
    assert all(content.startswith(b"\x89PNG") for content in files.values())
