"""The table of networks that were trained on under HDP: what differences refer to, and the page against the log."""

import re
from pathlib import Path

import numpy as np
from hdp_recovery_tables import AFTER, BEFORE, PAGE, Row, text

LOG = Path(__file__).parents[2] / "workloads" / "models" / "digits_vit.md"


def test_differences_are_to_the_network_before_and_to_the_same_network_dense() -> None:
    def row(title: str, pruned: float, right: int) -> Row:
        return Row(title, pruned, np.stack([np.arange(10) < right] * 2).astype(np.float64))

    lines = text(
        [row("before, dense", 0, 8), row("after, dense", 0, 9), row("after, as shipped", 0.86, 7)]
    ).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [line[:4] for line in cells] == [
        ["before, dense", "0.0", "8, 8", "80.0 +- 0.0"],
        ["after, dense", "0.0", "9, 9", "90.0 +- 0.0"],
        ["after, as shipped", "86.0", "7, 7", "70.0 +- 0.0"],
    ]
    assert cells[0][4:] == ["", ""]
    assert cells[1][4].startswith("+10.0 (")
    assert cells[1][5] == ""
    assert [cell.split()[0] for cell in cells[2][4:]] == ["-10.0", "-20.0"]


def test_the_page_has_every_row_and_the_answers_that_are_logged() -> None:
    page = PAGE.read_text().partition("<!-- errors: recovered -->")[2].partition("<!-- end")[0]
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("| ")}
    assert {*BEFORE, *AFTER, "before, dense", "after, dense"} < {*rows}
    logged = re.findall(
        r"^\| `digits_vit_hdp\S*\.npz` .*\*\*(\d+) of 500\*\* \|.*\*\*(\d+) of 500\*\* \|", LOG.read_text(), re.M
    )
    for title, column in (("after, dense", 0), ("**after, as shipped**", 1)):
        assert ", ".join(counts[column] for counts in logged) in rows[title]
