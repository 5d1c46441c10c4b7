"""Pictures of timelines hold what the timeline tells, and say what is missing where it tells nothing."""

from functools import cache

import pytest

import accelsim
from accelsim.results.timeline import Timeline
from accelsim.show.style import figure_bytes
from accelsim.show.timeline import kernel_window, sm_axes, stage_axes, timeline_figure, use_axes


@cache
def traced() -> Timeline:
    """A small encoder under HDP, four heads to a core."""
    sets = ("hardware.attention_unit.cores=1", "workload.sequence=96")
    timeline = accelsim.run("a100_hdp", "bert_tiny", scheme="hdp", sets=sets, trace=accelsim.Sampling(2)).timeline
    assert timeline is not None
    return timeline


def labels(axes) -> list[str]:  # type: ignore[no-untyped-def]
    return [text.get_text() for text in axes.get_yticklabels()]


def test_sms_show_their_slots_above_their_tensor_cores() -> None:
    axes = sm_axes(traced())
    assert labels(axes) == ["SM 0, slot 0", "SM 0, tensor core", "SM 54, tensor core"]
    legend = {text.get_text() for text in axes.get_legend().get_texts()}
    assert legend >= {"prologue", "main loop", "epilogue", "compute", "launch", "tail"}


def test_a_window_is_a_kernels() -> None:
    window = kernel_window(traced(), "layers.0.ffn_in")
    axes = sm_axes(traced(), window=window)
    assert axes.get_xlim() == window
    assert [text.get_text() for text in axes.texts] == ["0"]
    bars = [path for collection in axes.collections for path in collection.get_paths()]
    edges = [x for path in bars for x in path.vertices[:, 0]]
    assert min(edges) == pytest.approx(window[0])
    assert max(edges) == pytest.approx(window[1])
    with pytest.raises(ValueError, match="no kernel 'other' in the timeline; there are layers"):
        kernel_window(traced(), "other")


def test_use_is_drawn_as_steps() -> None:
    axes = use_axes(traced())
    counters = {counter.path[-1]: counter for counter in traced().counters}
    assert len(axes.lines) == len(counters) == 3
    assert list(axes.lines[0].get_ydata()) == [value for _, value in counters["tensor cores busy"].samples]


def test_heads_pass_their_stages() -> None:
    axes = stage_axes(traced())
    assert labels(axes)[:2] == ["load", "integer scores"]
    assert labels(axes)[-1] == "write"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["head 0", "head 1"]
    alone = stage_axes(traced(), heads=[1])
    assert alone.get_xlim()[0] > axes.get_xlim()[0]
    with pytest.raises(ValueError, match="heads 9 have no stage on core 0"):
        stage_axes(traced(), heads=[9])
    with pytest.raises(ValueError, match="nothing of core 5"):
        stage_axes(traced(), core=5)


def test_a_figure_holds_what_there_is() -> None:
    assert len(timeline_figure(traced()).axes) == 3
    gpu = accelsim.run("v100_pcie", "gemm_1024", values=False, trace=accelsim.Sampling(1)).timeline
    assert gpu is not None
    assert len(timeline_figure(gpu).axes) == 2
    assert figure_bytes(timeline_figure(gpu), "png") == figure_bytes(timeline_figure(gpu), "png")


def test_a_timeline_without_thread_blocks_says_so() -> None:
    closed = accelsim.run("v100_pcie", "gemm_1024", values=False, engine="estimate", trace=accelsim.Sampling()).timeline
    assert closed is not None
    for draw, told in (
        (sm_axes, "shows no SM"),
        (use_axes, "no use of servers"),
        (timeline_figure, "neither SMs nor stages"),
    ):
        with pytest.raises(ValueError, match=told):
            draw(closed)
