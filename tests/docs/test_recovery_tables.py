"""The tables of docs/accuracy_weights.md are those of its data, and these reach what the project set out to reach."""

import base64
from pathlib import Path

import numpy as np
import pytest
from error_report.markdown import places  # after conftest has made docs/ importable
from recovery_tables import DATA, PAGE, Row, against_dense, headlines, read, recovery


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return read()


def test_the_page_holds_the_tables_of_the_data(rows: list[Row]) -> None:
    shown = places(PAGE)
    assert shown["headlines"] == headlines(rows).strip()
    assert shown["recovery_16"] == recovery(rows, 16).strip()


@pytest.mark.parametrize("tokens", [16, 64])
@pytest.mark.parametrize(("setting", "points"), [("tile_wise_32", 2.0), ("tile_vector_wise_32", 1.0)])
def test_three_quarters_pruned_and_trained_lose_little(
    rows: list[Row], tokens: int, setting: str, points: float
) -> None:
    mine = [row for row in rows if (row.tokens, row.setting, row.asked) == (tokens, setting, 0.75)]
    interval, _ = against_dense(rows, max(mine, key=lambda row: row.steps))
    assert 100 * interval.difference >= -points
    assert interval.low <= interval.difference <= interval.high


def test_the_data_are_small() -> None:
    assert DATA.stat().st_size < 100_000


def test_bits_that_do_not_add_up_are_refused(tmp_path: Path) -> None:
    bits = base64.b64encode(np.packbits(np.ones(8, dtype=bool)).tobytes()).decode()
    path = tmp_path / "rows.csv"
    path.write_text(
        "tokens,seed,setting,asked,score,schedule,steps,sparsity,correct,images,bits\n"
        f"16,0,dense,0.0,magnitude,none,0,0.0,7,8,{bits}\n"
    )
    with pytest.raises(ValueError, match=r"rows\.csv:2: 8 bits are set, and 7 images are right"):
        read(path)
