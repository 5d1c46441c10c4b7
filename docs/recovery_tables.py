"""Writes the tables of docs/accuracy_weights.md from docs/data/recovery.csv: ``python docs/recovery_tables.py``.

The file holds what training/recover.py recorded; nothing is trained here.
"""

import base64
import csv
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from error_report.markdown import put, table  # noqa: E402

from accelsim.results.bootstrap import PairedInterval, paired_bootstrap  # noqa: E402

PAGE = ROOT / "docs" / "accuracy_weights.md"
DATA = ROOT / "docs" / "data" / "recovery.csv"

NAMES = {
    "element_wise": "EW",
    "vector_wise_16": "VW, vectors of 16",
    "n_m": "2:4 and 1:4",
    "block_wise_4": "BW 4x4",
    "block_wise_16": "BW 16x16",
    "tile_wise_8": "TW, G = 8",
    "tile_wise_32": "TW, G = 32",
    "tile_wise_64": "TW, G = 64",
    "tile_element_wise_32": "TEW, G = 32",
    "tile_vector_wise_32": "TVW, G = 32",
}
WAYS = (("none", "not trained"), ("one_shot", "at once, trained"), ("gradual", "in stages, trained"))
SCORES = ("magnitude", "taylor")
HEADLINES = ("tile_wise_32", "tile_vector_wise_32")


@dataclass(frozen=True)
class Row:
    """One network under one setting."""

    tokens: int
    seed: int
    setting: str
    asked: float
    score: str
    schedule: str
    steps: int
    sparsity: float
    right: NDArray[np.bool_]
    """Whether each test image is classified correctly."""

    @property
    def accuracy_percent(self) -> float:
        """Share of test images that are right, in percent."""
        return 100 * float(self.right.mean())


def read(path: Path = DATA) -> list[Row]:
    """Rows of a file that training/recover.py wrote.

    Raises
    ------
    ValueError
        When the bits of a row are not as many right images as it names.
    """
    rows = []
    with path.open(newline="") as file:
        for line, fields in enumerate(csv.DictReader(file), start=2):
            packed = np.frombuffer(base64.b64decode(fields["bits"]), np.uint8)
            right = np.unpackbits(packed, count=int(fields["images"])).astype(np.bool_)
            if right.sum() != int(fields["correct"]):
                raise ValueError(f"{path}:{line}: {right.sum()} bits are set, and {fields['correct']} images are right")
            rows.append(
                Row(
                    int(fields["tokens"]), int(fields["seed"]), fields["setting"], float(fields["asked"]),
                    fields["score"], fields["schedule"], int(fields["steps"]), float(fields["sparsity"]), right,
                )
            )  # fmt: skip
    return rows


def mean_and_deviation(values: Sequence[float]) -> str:
    """Mean and deviation over seeds, in percent; nothing for none."""
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def recovery(rows: Iterable[Row], tokens: int) -> str:
    """Accuracy in percent of each pattern and sparsity, by schedule and score; of the fewest steps that were tried."""
    mine = [row for row in rows if row.tokens == tokens]
    brief = min((row.steps for row in mine if row.steps), default=0)
    mine = [row for row in mine if row.steps in (0, brief)]
    head = ["pattern", "pruned", *(f"{way}, {score}" for _, way in WAYS for score in SCORES)]
    body = []
    for setting, name in NAMES.items():
        for asked in sorted({row.asked for row in mine if row.setting == setting}):
            here = [row for row in mine if (row.setting, row.asked) == (setting, asked)]
            cells = [
                mean_and_deviation([row.accuracy_percent for row in here if (row.schedule, row.score) == (way, score)])
                for way, _ in WAYS
                for score in SCORES
            ]
            body.append([name, f"{100 * statistics.mean(row.sparsity for row in here):.1f} %", *cells])
    dense = mean_and_deviation([row.accuracy_percent for row in mine if row.setting == "dense"])
    return f"Dense: {dense}. Trained: {brief} steps.\n\n{table(head, body)}"


def against_dense(rows: Sequence[Row], row: Row) -> tuple[PairedInterval, list[Row]]:
    """Interval of a setting's accuracy less the dense one, over the seeds of rows like `row`, and those rows."""
    dense = {other.seed: other.right for other in rows if (other.tokens, other.setting) == (row.tokens, "dense")}
    alike = sorted((other for other in rows if _key(other) == _key(row)), key=lambda other: other.seed)
    pruned = np.stack([other.right for other in alike])
    return paired_bootstrap(pruned, np.stack([dense[other.seed] for other in alike])), alike


def _key(row: Row) -> tuple[int, str, float, str, str, int]:
    return row.tokens, row.setting, row.asked, row.score, row.schedule, row.steps


def headlines(rows: Sequence[Row]) -> str:
    """Tile-wise and tile-vector-wise pruning of 75 % against the dense networks, with paired intervals."""
    head = ["tokens", "pattern", "score", "schedule", "steps", "dense", "pruned", "difference", "95 % interval"]
    wanted = {
        _key(row): row for row in rows if row.setting in HEADLINES and row.asked == 0.75 and row.schedule != "none"
    }
    body = []
    for _, row in sorted(wanted.items(), reverse=True):
        interval, alike = against_dense(rows, row)
        pruned = [other.accuracy_percent for other in alike]
        body.append(
            [
                row.tokens, NAMES[row.setting], row.score, row.schedule.replace("_", " "), row.steps,
                f"{statistics.mean(pruned) - 100 * interval.difference:.1f}", mean_and_deviation(pruned),
                f"{100 * interval.difference:+.1f}", f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}",
            ]
        )  # fmt: skip
    return table(head, body, texts=4)


def main() -> None:
    """Put the tables where the page marks their places."""
    rows = read()
    sizes = sorted({row.tokens for row in rows})
    put(PAGE, {"headlines": headlines(rows)} | {f"recovery_{tokens}": recovery(rows, tokens) for tokens in sizes})


if __name__ == "__main__":
    main()
