"""Figures of searches: every setting that ran is there, the best so far never rises."""

import pandas as pd
import pytest

from accelsim.explore.tune import tune
from accelsim.show.tune import tune_figure, tune_files
from tests.explore.tune.cases import made_up, small


def test_history_falls_to_the_best() -> None:
    found = tune(small(evaluations=12, limits={"energy_uj": 300.0}), evaluate=made_up)
    (axes,) = tune_figure(found.to_frame(), ["latency_us"]).axes
    lines = {line.get_label(): line for line in axes.lines}
    best = list(lines["best so far"].get_ydata())
    assert best == sorted(best, reverse=True)
    assert best[-1] == found.best[0].record["latency_us"]
    drawn = sum(len(lines[name].get_xdata()) for name in ("first guess", "closed form", "sampler") if name in lines)
    frame = found.to_frame()
    assert drawn == ((frame["by"] != "without settings") & frame["holds"]).sum()
    assert len(lines["over a limit"].get_xdata()) == (~frame["holds"] & frame["latency_us"].notna()).sum()


def test_front_is_drawn_for_several_objectives() -> None:
    objectives = ["latency_us", "energy_uj"]
    found = tune(small(evaluations=18, objectives=objectives), evaluate=made_up)
    front, history = tune_figure(found.to_frame(), objectives).axes
    lines = {line.get_label(): line for line in front.lines}
    shown = list(zip(lines["none beats"].get_xdata(), lines["none beats"].get_ydata(), strict=True))
    assert shown == [trial.values for trial in found.best]
    assert history.get_xlabel() == "settings judged"
    files = tune_files(found.to_frame(), objectives)
    assert set(files) == {"tune.png", "tune.svg"}
    assert files == tune_files(found.to_frame(), objectives)


def test_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="no setting of the search ran"):
        tune_figure(pd.DataFrame({"evaluation": [0], "by": ["sampler"], "latency_us": [None]}), ["latency_us"])
