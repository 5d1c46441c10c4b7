"""Writes the table of docs/accuracy.md on recovery under HDP: ``python docs/hdp_recovery_tables.py``.

Thresholds that no workload ships are chosen here, on calibration images alone, by the rule that the shipped ones were
chosen by (training/layer_thresholds.py). Nothing is trained; it takes some minutes.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs"), str(ROOT / "training")]

from error_report.markdown import put, table  # noqa: E402
from layer_thresholds import Chooser  # noqa: E402

from accelsim.config.options import HDP_PRESETS, Hdp  # noqa: E402
from accelsim.explore.accuracy.blocks import HdpMethod  # noqa: E402
from accelsim.explore.accuracy.forward import StudyModel, load_model, run_model  # noqa: E402
from accelsim.explore.accuracy.quality import Quality  # noqa: E402
from accelsim.results.bootstrap import paired_bootstrap  # noqa: E402

PAGE = ROOT / "docs" / "accuracy.md"
SUFFIXES = ("", "_seed1", "_seed2")
SHARE = 0.86
"""Share of blocks that thresholds prune at least of calibration images."""
TOP_K = 0.875
"""Ratio at which top-k keeps 4 of the 32 blocks of a row: the least above 85 % of them."""

Rule = Callable[[Chooser, Hdp], Hdp]
"""From the shipped options of a recovered network to those of a row."""


@dataclass(frozen=True)
class Seed:
    """A network before and after, on both splits."""

    before: StudyModel
    after: StudyModel
    before_chooser: Chooser
    after_chooser: Chooser
    """Both compare margins with the dense network before."""


@dataclass(frozen=True)
class Row:
    """What all seeds do under one setting."""

    title: str
    pruned: float
    right: NDArray[np.float64]
    """[seeds, images]"""


def _seed(suffix: str) -> Seed:
    names = (f"digits_vit{suffix}", f"digits_vit_hdp{suffix}")
    before, after = (load_model(name, ["workload.split=calibration"]) for name in names)
    reference = Quality.of(before, run_model(before).output)
    return Seed(load_model(names[0]), load_model(names[1]), Chooser(before, reference), Chooser(after, reference))


def _switches(update: dict[str, object]) -> Rule:
    """The same network format with other switches, at a threshold that both layers share."""
    return lambda chooser, shipped: chooser.shared(shipped.model_copy(update=update), SHARE).options


def _by_layer(update: dict[str, object]) -> Rule:
    return lambda chooser, shipped: chooser.by_layer(shipped.model_copy(update=update), SHARE).options


def _top_k(chooser: Chooser, shipped: Hdp) -> Hdp:
    return shipped.model_copy(update={"selection": "top_k", "top_k_ratio": TOP_K})


SCALE_2: dict[str, object] = {"scale": 2.0, "integer_bits": 5, "fraction_bits": 11}
BEFORE: dict[str, Rule] = {
    "before, one threshold": _switches({}),
    "before, a threshold for each layer": _by_layer({}),
    "before, one threshold, scale 2": _switches(SCALE_2),
    "before, 4 of 32 blocks (top-k)": _top_k,
}
AFTER: dict[str, Rule] = {
    "**after, as shipped**": lambda chooser, shipped: shipped,
    "after, one threshold": _switches({}),
    "after, 4 of 32 blocks (top-k)": _top_k,
    "after, pruned blocks excluded": _switches({"pruned_score": "excluded"}),
    "after, absolute importance": _switches({"importance": "absolute"}),
    "after, scale 2": _switches(SCALE_2),
    "after, the literal reading": _switches(dict(HDP_PRESETS["paper"])),
}


def _right(model: StudyModel, options: Hdp | None) -> tuple[float, NDArray[np.float64]]:
    found = run_model(model, None if options is None else HdpMethod(options))
    return found.pairs_pruned, Quality.of(model, found.output).scores(found.output)


def _row(title: str, runs: list[tuple[float, NDArray[np.float64]]]) -> Row:
    print(title, *(f"{pruned:.4f} {int(right.sum())}" for pruned, right in runs), flush=True)
    return Row(title, float(np.mean([pruned for pruned, _ in runs])), np.stack([right for _, right in runs]))


def rows() -> list[Row]:
    """Every setting on the test images of all seeds: dense before, then pruned; dense after, then pruned."""
    seeds = [_seed(suffix) for suffix in SUFFIXES]
    found = [_row("before, dense", [_right(seed.before, None) for seed in seeds])]
    for title, rule in BEFORE.items():
        runs = [_right(seed.before, rule(seed.before_chooser, seed.after.hdp)) for seed in seeds]
        found.append(_row(title, runs))
    found.append(_row("after, dense", [_right(seed.after, None) for seed in seeds]))
    for title, rule in AFTER.items():
        found.append(_row(title, [_right(seed.after, rule(seed.after_chooser, seed.after.hdp)) for seed in seeds]))
    return found


def text(found: list[Row]) -> str:
    """The table, and right images of each seed."""
    dense = {row.title: row.right for row in found if row.title.endswith("dense")}
    head = ["network and setting", "pruned (%)", "right of 500, by seed", "right (%)", "less dense before"]
    body = []
    for row in found:
        percent = 100 * row.right.mean(axis=1)
        own = "after, dense" if "after" in row.title else "before, dense"
        body.append(
            [
                row.title,
                f"{100 * row.pruned:.1f}",
                ", ".join(str(int(right)) for right in row.right.sum(axis=1)),
                f"{percent.mean():.1f} +- {percent.std(ddof=1):.1f}",
                _difference(row.right, dense["before, dense"]),
                _difference(row.right, dense[own]),
            ]
        )
    return table([*head, "less its own dense"], body, texts=1)


def _difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> str:
    if first is second:
        return ""
    found = paired_bootstrap(first, second)
    return f"{100 * found.difference:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def main() -> None:
    """Write the table."""
    put(PAGE, {"recovered": text(rows()).rstrip("\n")})


if __name__ == "__main__":
    main()
