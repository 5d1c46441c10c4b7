"""Writes the tables and figures of docs/accuracy.md from runs: ``python docs/accuracy_tables.py [--only NAME]``.

``reading`` compares HDP's readings on calibration images alone, where the choice is made; ``blocks`` and ``heads`` are
studies of the test images over all trained seeds, with the figure; ``target`` is the chosen reading on the test images.
Each takes some minutes.
"""

import argparse
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from error_report.markdown import put, table  # noqa: E402

from accelsim.config.loader import available  # noqa: E402
from accelsim.explore.accuracy import Study, study, watch  # noqa: E402
from accelsim.explore.accuracy.methods import HDP_VARIANTS  # noqa: E402
from accelsim.explore.accuracy.study_table import Point  # noqa: E402
from accelsim.results.bootstrap import PairedInterval  # noqa: E402
from accelsim.show.accuracy import study_files, watch_files  # noqa: E402

PAGE = ROOT / "docs" / "accuracy.md"
IMAGES = ROOT / "docs" / "images"

SEEDS = tuple(name for name in ("digits_vit", "digits_vit_seed1", "digits_vit_seed2") if name in available("workloads"))
"""Those of the network with 64 tokens that are shipped."""
TARGET = 0.86
"""Share of blocks at which readings are compared: 85 % and a little."""
READINGS = tuple(name for name in HDP_VARIANTS if name != "hdp")
BLOCKS = (
    *("hdp_paper", "hdp_robust", "hdp_zeroed", "top_k", "oracle", "oracle_mass", "random"),
    *("cascade_tokens", "local_values"),
)
BLOCK_RATIOS = (0.5, 0.7, 0.86, 0.93)
HEADS = (
    *("heads_hdp", "heads_top_k", "heads_oracle", "heads_random", "heads_inverse"),
    *("heads_top_k_late", "heads_random_late", "heads_cascade"),
)
HEAD_RATIOS = (0.25, 0.375)
WATCHED = ("edge_hdp", "digits_vit", 0)
"""Machine, workload and input of the picture."""


@cache
def readings() -> Study:
    """HDP's readings at one share of blocks, on the images that thresholds are solved on."""
    return study(SEEDS, methods=READINGS, block_ratios=(TARGET,), head_ratios=(), split="calibration")


@cache
def chosen() -> str:
    """The reading that changes the margin least on calibration images."""
    points = readings().points
    return min(points, key=lambda point: point.margin_change or 0.0).method


@cache
def studied() -> Study:
    """Every method on the test images."""
    return study(SEEDS, methods=(*BLOCKS, *HEADS), block_ratios=BLOCK_RATIOS, head_ratios=HEAD_RATIOS)


def reading_table() -> str:
    """Margin changes and wrong answers of readings on calibration images."""
    rows = []
    for point in readings().points:
        name = f"**{point.method}**" if point.method == chosen() else point.method
        switches = ", ".join(HDP_VARIANTS[point.method].values())
        wrong = int(point.scores.size - point.scores.sum())
        rows.append([name, switches, _percent(point.pairs_pruned), f"{point.margin_change:.3f}", str(wrong)])
    found = readings()
    head = ["reading", "importance, keys centred, pruned score", "pruned (%)", "change of margin"]
    return table([*head, f"wrong of {found.dense.size}"], rows)


def target_table() -> str:
    """The chosen reading on the test images, beside the literal one."""
    found = study(
        SEEDS, methods=dict.fromkeys((chosen(), "hdp_paper", "random")), block_ratios=(TARGET,), head_ratios=()
    )
    rows = [_row(found, point) for point in found.points]
    for index, name in enumerate(found.workloads):
        point = found.at(chosen(), TARGET)
        dense, pruned = (int(scores[index].sum()) for scores in (found.dense, point.scores))
        rows.append([f"{name}: {dense} right, {pruned} with {chosen()}", *[""] * 5])
    return _heading(found) + table(_HEAD, rows, texts=1)


def block_table() -> str:
    """Methods that leave out blocks, tokens or values; writes the figure too."""
    for name, content in study_files(studied().to_frame(), float(studied().dense.mean())).items():
        if name.endswith(".png"):
            (IMAGES / f"accuracy_{name}").write_bytes(content)
    return _axis_table("blocks")


def head_table() -> str:
    """Methods that leave out heads, and what the cascade comes to; writes the pictures of one input too."""
    found = studied()
    notes = "".join(f"\n{note}\n" for note in found.notes()[1:])
    _draw_watched()
    return _axis_table("heads") + notes


def _draw_watched() -> None:
    seen = watch(*WATCHED)
    (first,) = seen.most_changed(1)
    arrays = {(first.layer, first.head): (first.scores, first.block_kept, first.importance)}
    files = watch_files(seen.heads_frame(), seen.rows_frame(), arrays)
    (IMAGES / "accuracy_watched_head.png").write_bytes(files[f"head_{first.layer}_{first.head}.png"])


_HEAD = ["method", "pruned (%)", "right (%)", "points lost", "beyond random", "beyond cascade"]


def _axis_table(axis: str) -> str:
    found = studied()
    rows = [_row(found, point) for point in found.points if point.axis == axis]
    return _heading(found) + table(_HEAD, rows, texts=1)


def _heading(found: Study) -> str:
    spread = f" +- {100 * found.dense.mean(axis=1).std(ddof=1):.1f}" if len(found.dense) > 1 else ""
    return f"Dense: {100 * found.dense.mean():.1f}{spread} % right ({', '.join(found.workloads)}).\n\n"


def _row(found: Study, point: Point) -> list[str]:
    share = point.pairs_pruned if point.axis == "blocks" else point.heads_pruned
    spread = "" if point.deviation is None else f" +- {100 * point.deviation:.1f}"
    control, cascade = ("random", "cascade_tokens") if point.axis == "blocks" else ("heads_random", "heads_cascade")
    return [
        point.method,
        _percent(share),
        f"{100 * point.score:.1f}{spread}",
        _interval(found.loss(point)),
        "" if point.method == control else _interval(found.gain(point, control)),
        "" if point.method == cascade else _interval(found.gain(point, cascade)),
    ]


def _interval(found: PairedInterval | None) -> str:
    if found is None:
        return ""
    return f"{100 * found.difference:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


TABLES = {"reading": reading_table, "target": target_table, "blocks": block_table, "heads": head_table}


def main() -> None:
    """Write the tables, or one of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=sorted(TABLES), help="one table")
    only = parser.parse_args().only
    for name in [only] if only else TABLES:
        put(PAGE, {name: TABLES[name]().rstrip("\n")})
        print(f"wrote {name}", flush=True)


if __name__ == "__main__":
    main()
