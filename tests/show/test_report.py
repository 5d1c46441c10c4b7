"""Pages of reports: what they hold is what the results hold, nothing comes from elsewhere, and names are only text."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.numerals import amount
from accelsim.results import Result
from accelsim.results.explain import explain
from accelsim.show.report import comparison_report, document_report, run_report, sweep_report
from accelsim.show.report.bars import timeline, waterfall
from accelsim.show.report.documents import _serve, _tune
from accelsim.show.report.heat import attention_maps, heat_map, product_maps
from accelsim.show.report.scales import Scale
from accelsim.show.report.scatter import Point, pareto, roofline, thinned
from accelsim.show.report.sections import time_section
from accelsim.show.report.tables import Column, table
from tests.results.examples import comparison, example

EVIL = '<script>alert("x")</script>&\'"'
_VOID = {"meta", "link", "br", "rect", "line", "path", "circle", "use"}
FINITE = st.floats(-1e9, 1e9).map(lambda value: round(value, 3))


class Reader(HTMLParser):
    """Elements of a page with their attributes, and whether every one is closed in turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


def compared_page(**changes: object) -> str:
    compared = comparison(**changes)
    return comparison_report({result.scheme: result for result in compared.results}, compared.document())


def points(count: int, seed: int = 0) -> pd.DataFrame:
    """Points of a made-up sweep, the second of which failed."""
    rng = np.random.default_rng(seed)
    latency = 20 + 100 * rng.random(count)
    frame = pd.DataFrame(
        {
            "tile_wise.sparsity": rng.random(count).round(3),
            "scheme": rng.choice(["dense", "tile_wise"], count),
            "error": None,
            "latency_us": latency,
            "energy_uj": 150 * latency * (1 + rng.random(count)),
            "max_rel_error": rng.random(count),
            "effectual_macs": rng.integers(1, 10**9, count),
        }
    )
    frame.loc[1, ["latency_us", "energy_uj", "max_rel_error"]] = np.nan
    frame.loc[1, "error"] = "sparsity: 1.5 is not allowed"
    return frame


def sweep_page(count: int) -> str:
    axes = ["tile_wise.sparsity", "scheme"]
    return sweep_report("some", axes, points(count), {"workload": "bert", "hardware": "v100"})


PAGES = {"run": lambda: run_report(example("hdp")), "comparison": compared_page, "sweep": lambda: sweep_page(300)}


@pytest.mark.parametrize("kind", PAGES)
def test_a_page_is_whole_and_asks_nothing_of_a_network(kind: str) -> None:
    page = PAGES[kind]()
    reader = Reader(page)
    assert reader.open == []
    references = [attrs[key] for _, attrs in reader.found for key in ("src", "href", "action", "data") if key in attrs]
    assert all(text is not None and (text.startswith("#") or text == "data:,") for text in references)
    assert not re.search(r"https?://|url\((?!#)|@import", page)
    targets = {attrs["id"] for _, attrs in reader.found if "id" in attrs}
    assert {str(text)[1:] for text in references if str(text).startswith("#")} <= targets
    assert len([tag for tag, _ in reader.found if tag == "h1"]) == 1


@pytest.mark.parametrize("kind", PAGES)
def test_the_policy_allows_the_own_style_and_script_alone(kind: str) -> None:
    reader = Reader(PAGES[kind]())
    policy = next(str(a["content"]) for t, a in reader.found if t == "meta" and "http-equiv" in a)
    for element in ("style", "script"):
        text = reader.texts[element][-1]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not any("style" in attrs or any(name.startswith("on") for name in attrs) for _, attrs in reader.found)


def test_equal_results_are_equal_pages() -> None:
    assert run_report(example("tile_wise")) == run_report(example("tile_wise"))
    assert sweep_page(40) == sweep_page(40)


def test_a_run_says_its_figures() -> None:
    result = example("tile_wise")
    page = run_report(result)
    assert f"<b>{amount(result.value('latency_us'))}</b> us" in page
    assert f"<b>{amount(result.value('energy_uj'))}</b> uJ" in page
    assert "bert_base_layer on a100_hdp, tile-wise" in page
    assert "default: a guess" in page
    assert run_report(result, title="My own").count("My own") == 2


def test_what_users_named_is_text() -> None:
    result = example("dense", workload=EVIL, hardware=EVIL, operands=EVIL)
    result.provenance["config"]["hardware"][EVIL] = EVIL  # type: ignore[index]
    frame = points(300).assign(**{EVIL: EVIL})
    pages = [
        run_report(result, title=EVIL),
        compared_page(workload=EVIL),
        sweep_report(EVIL, [EVIL, "scheme"], frame, {"workload": EVIL, EVIL: EVIL}, title=EVIL),
    ]
    for page in pages:
        reader = Reader(page)
        assert reader.open == []
        scripts = [attrs for tag, attrs in reader.found if tag == "script"]
        assert len([attrs for attrs in scripts if "type" not in attrs]) == 1
        assert EVIL not in page
        assert not any('alert("x")' in text for text in reader.texts["script"][-1:])


def test_a_large_sweep_is_bounded_and_its_table_has_every_point() -> None:
    page = sweep_page(10_000)
    assert len(page.encode()) < 5_000_000
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.S)[1])  # type: ignore[index]
    assert {len(column) for column in data["cells"] + data["ranks"]} == {10_000}
    assert page.count("<use data-mark") <= 2 * 2_000
    assert "of 9,999 points" in page


def test_a_sweep_without_a_good_point_tells_why() -> None:
    frame = pd.DataFrame({"workload.m": [1, 2], "error": ["no room", "no room"]})
    page = sweep_report("none", ["workload.m"], frame, {})
    assert "2 failed" in page
    assert "no room" in page
    assert 'class="plot' not in page


def test_stacks_add_up_to_the_latency() -> None:
    result = example("hdp")
    bars = time_section([result]).blocks[0]
    (bar,) = bars.bars  # type: ignore[attr-defined]
    scale = Scale(0.0, 1.02 * result.value("latency_us"))
    assert sum(piece.width for piece in bar.pieces) == pytest.approx(scale.place(result.value("latency_us")), abs=0.1)
    assert all(
        one.start + one.width == pytest.approx(two.start) for one, two in zip(bar.pieces, bar.pieces[1:], strict=False)
    )


def test_a_waterfall_ends_where_the_run_does() -> None:
    dense, sparse = example("dense"), example("tile_wise")
    for result, macs in ((dense, 1000), (sparse, 400)):
        object.__setattr__(result, "kernels", result.kernels.assign(operation=result.kernels["name"], macs=macs))
    found = explain([dense, sparse])[1].losses
    assert found is not None
    bars = waterfall(found).bars
    assert [bars[0].label, bars[1].label, bars[-1].label] == ["dense", "ideal", "actual"]
    assert bars[-1].total == f"{amount(sparse.value('latency_us'))} us"
    last = bars[-2].pieces[0]
    end = bars[-1].pieces[0].width
    assert min(abs(last.start - end), abs(last.start + last.width - end)) < 0.1


def test_a_timeline_has_a_bar_for_each_device() -> None:
    line = timeline(example("hdp"))
    assert line is not None
    assert [bar.label for bar in line.bars] == ["GPU", "link", "attention unit"]
    assert sum(len(bar.pieces) for bar in line.bars) == len(example("hdp").kernels)


def test_a_roofline_keeps_kernels_below_it() -> None:
    result = example("dense")
    took = result.kernels["end_us"] - result.kernels["begin_us"]
    frame = result.kernels.assign(
        macs=4e6 * took, unit="tensor_core", peak_compute_us=0.5 * took, peak_dram_us=0.25 * took,
        dram_read_bytes=1000.0, dram_write_bytes=24.0,
    )  # fmt: skip
    assert roofline([result]) is None
    chart = roofline([Result(**{**vars(result), "kernels": frame})])
    assert chart is not None
    assert "50.0 % of the roof, which compute sets" in chart.marks[0].tip
    top = chart.lines[0].points[-1][1]
    assert all(mark.y < top for mark in chart.marks)
    assert chart.lines[0].label == "tensor core 16.0 TFLOP/s"


@settings(deadline=None, max_examples=60)
@given(st.lists(st.booleans(), max_size=40), st.integers(1, 20))
def test_of_many_points_the_best_and_some_others_stay(best: list[bool], most: int) -> None:
    chosen = thinned(np.array(best, bool), most)
    assert chosen == sorted(set(chosen))
    assert {index for index, is_best in enumerate(best) if is_best} <= {*chosen}
    assert len(chosen) == min(len(best), max(most, sum(best)))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(st.none(), FINITE, st.integers(-5, 5)), min_size=1, max_size=20))
def test_ranks_are_the_order_of_values(values: list[float | None]) -> None:
    found = table("", [Column("x", "x")], [{"x": value} for value in values])
    ranks = [row[0] for row in found.ranks]
    assert [rank < 0 for rank in ranks] == [value is None for value in values]
    known = [(value, rank) for value, rank in zip(values, ranks, strict=True) if value is not None]
    for one, rank in known:
        assert all((one < other) == (rank < above) for other, above in known)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=8))
def test_an_axis_holds_its_values_and_has_marks(values: list[float]) -> None:
    scale = Scale.over(values)
    assert all(-0.01 <= scale.place(value) <= 100.01 for value in values)
    assert [scale.place(value) for value in sorted(values)] == sorted(scale.place(value) for value in values)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 12
    assert all(-0.01 <= tick.at <= 100.01 for tick in ticks)
    assert len({tick.text for tick in ticks}) == len(ticks)


def test_points_in_one_place_are_told_together() -> None:
    found = pareto("t", [Point(1, 2, "a", f"tip {i}") for i in range(5)] + [Point(2, 1, "b", "other")], "x", "y")
    assert len(found.marks) == 6
    assert found.marks[0].tip == "tip 0\n\ntip 1\n\ntip 2\n\nand 2 more here"
    assert all(mark.front for mark in found.marks)


def test_the_lower_of_two_near_labels_goes_below() -> None:
    places = {"low": (1.0, 50.0), "high": (1.1, 52.0), "far": (3.0, 90.0), "floor": (1.0, 20.0)}
    found = pareto("t", [Point(x, y, name, name, name) for name, (x, y) in places.items()], "x", "y")
    assert {mark.label: mark.below for mark in found.marks} == {
        "low": True,
        "high": False,
        "far": False,
        "floor": False,
    }


def test_maps_name_each_cell() -> None:
    cells = np.array([[0.0, np.nan], [50.0, 100.0]])
    found = heat_map("t", cells, lambda row, column: f"{row},{column}", ("a", "b"), "%", 100.0)
    assert found.values == "0,0||1,0|1,1"
    assert dict(found.paths) == {"l0": "M0 0h1v1h-1z", "l5": "M0 1h1v1h-1z", "l9": "M1 1h1v1h-1z"}


def test_maps_of_a_result_with_and_without_tiles() -> None:
    masks = {"ffn.weight": np.eye(64, dtype=bool), "attention.blocks": np.zeros((3, 8, 8), bool)}
    result = Result(**{**vars(example("hdp")), "masks": masks})
    groups, number = product_maps(result, 4)
    assert (len(groups), number) == (1, 1)
    assert groups[0].maps[0].title == "Weights kept: 1.56 %"
    assert attention_maps(result)[0].note == "3 of 3 heads keep no block."
    tiles = pd.DataFrame(
        {"kernel": "ffn", "row": [0, 0], "column": [0, 1], "batch": 0, "m0": 0, "m1": 64, "n0": [0, 32], "n1": [32, 64],
         "thread_blocks": 2, "kept_share": [0.25, 1.0], "duration_us": [1.0, 4.0]}
    )  # fmt: skip
    groups, number = product_maps(Result(**{**vars(result), "tiles": tiles}), 4)
    assert [one.title for one in groups[0].maps] == ["Weights kept: 1.56 %", "Time of 4 thread blocks"]
    assert groups[0].maps[1].values.split("|")[0] == (
        "m 0 to 63, n 0 to 31\n2 thread blocks, each 1.000 us\n25 % of k multiplied"
    )


def tradeoff_document() -> dict[str, object]:
    same = {"workload": "w", "inputs": 40, "block_ratio": None, "head_ratio": None, "weight_sparsity": 0.0}
    rows = [
        {**same, "scheme": scheme, "setting": setting, "quality": quality, "change": quality - 1, "latency_us": latency,
         "energy_uj": 3 * latency}
        for scheme, setting, quality, latency in (("dense", "", 1.0, 9.0), ("hdp", "hdp.rho_b=0.5", 0.95, 6.0))
    ]  # fmt: skip
    return {"hardware": "h", "workloads": ["w"], "metric": "accuracy", "seed": 0, "notes": ["A note."], "points": rows}


def serve_document() -> dict[str, object]:
    rows = [
        {"scheme": "dense", "rate_per_s": rate, "load": rate / 100, "throughput_per_s": min(rate, 100.0),
         "p95_us": 2 * rate, "energy_per_request_uj": 1e3}
        for rate in (50.0, 80.0, 120.0)
    ]  # fmt: skip
    schemes = [{"scheme": "dense", "capacity_per_s": 100.0, "knee_per_s": 80.0}]
    return {"hardware": "h", "workload": "w", "seed": 0, "notes": [], "schemes": schemes, "points": rows}


def study_document() -> dict[str, object]:
    rows = [
        {"axis": axis, "method": method, "asked": share, "pairs_pruned": share, "heads_pruned": share,
         "score": 1 - share, "loss": share, "loss_low": 0.0, "loss_high": 1.0, "gain_over_random": None}
        for axis, method in (("blocks", "hdp"), ("heads", "heads_hdp"))
        for share in (0.25, 0.5)
    ]  # fmt: skip
    left = [{"method": "cascade_tokens", "asked": 0.75, "reason": "too much"}]
    points_and = {"measure": "accuracy", "dense_score": 0.98, "items": 60, "points": rows, "unreachable": left}
    return {"workloads": ["w"], "seed": 0, **points_and}


def tune_document(*objectives: str) -> dict[str, object]:
    judged = [(None, 9.0, True), (64, 8.0, True), (32, 5.0, False), (16, 6.0, True)]
    rows = [
        {"evaluation": number, "by": "first guess" if tile else "without settings", "holds": holds, "error": None,
         "latency_us": latency, "energy_uj": 10 - latency, "mapping.tile_m": tile}
        for number, (tile, latency, holds) in enumerate(judged)
    ]  # fmt: skip
    best = {"settings": {"mapping.tile_m": 16}, "latency_us": 6.0, "energy_uj": 4.0, "gain": {"latency_us": 1.5}}
    counted = {"evaluations": 4, "space_points": 1200, "limits": {"memory_mib": 1.0}, "axes": ["mapping.tile_m"]}
    named = {"workload": "w", "hardware": "h", "seed": 0, "notes": [], "command": "accelsim run h w --set tile=16"}
    return {**named, **counted, "objectives": list(objectives), "history": rows, "best": [best]}


def attention_document() -> dict[str, object]:
    rows = [
        {"unit": unit, "sequence": sequence, "kept_pairs": 0.3, "normalised_gops": 10.0 * sequence,
         "latency_us": 1e-3 * sequence, "rms_rel_error": error, "gop_per_j": 200.0}
        for unit, error in (("hdp_server", 0.25), ("a3", None))
        for sequence in (64, 128)
    ]  # fmt: skip
    return {"seed": 0, "operands": "drawn", "notes": ["Named."], "units": rows}


@pytest.mark.parametrize(
    ("kind", "document", "says", "charts"),
    [
        (
            "tune",
            tune_document("latency_us"),
            ["of 1,200 settings", "1.5 times less", "over a limit", "accelsim run h w --set tile=16", "energy (uJ)"],
            1,
        ),
        ("tune", tune_document("latency_us", "energy_uj"), ["What each costs the other", "tile m 16"], 2),
        ("attention", attention_document(), ["HDP server, A3", "30 % of the pairs kept", "64, 128", "Named."], 3),
        ("tradeoff", tradeoff_document(), ["A note.", "hdp.rho_b=0.5", "accuracy 95.00 %", ">-5.000<"], 2),
        ("serve", serve_document(), ["knee at 80.00 1/s", "load 0.8", "95th percentile of latency 160.0 us"], 3),
        (
            "study",
            study_document(),
            ["98.00</b> %", "cascade tokens at 75 %: too much.", "50 points lost, 0 to 100"],
            2,
        ),
    ],
)
def test_pages_of_documents(kind: str, document: dict[str, object], says: list[str], charts: int) -> None:
    page = document_report(kind, document)
    assert Reader(page).open == []
    assert [text for text in says if text not in page] == []
    assert page.count('class="plot') == charts
    assert document_report(kind, {**document, "workload": EVIL, "workloads": [EVIL]}).count(EVIL) == 0


def test_a_search_s_line_goes_down_to_what_holds_the_limits() -> None:
    (chart,), _, _ = _tune(tune_document("latency_us"))
    heights = [mark.y for mark in sorted(chart.marks, key=lambda mark: mark.x)]
    line = chart.lines[0].points
    assert [mark.front for mark in sorted(chart.marks, key=lambda mark: mark.x)] == [True, True, False, True]
    assert [y for _, y in line] == [heights[0], heights[0], heights[1], heights[1], heights[3], heights[3]]
    assert heights[2] < heights[3]


def test_an_overloaded_rate_has_no_latency_in_the_curve() -> None:
    latency, throughput, _ = _serve(serve_document())[0]
    assert (len(latency.marks), len(throughput.marks)) == (2, 3)
