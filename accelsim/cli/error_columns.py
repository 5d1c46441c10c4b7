"""Columns of errors, alike in every command that prints them."""

from collections.abc import Mapping
from typing import Any

from accelsim.cli.output import Column, amount

_ERRORS = (
    ("MAPE (%)", "mape_percent"),
    ("median (%)", "median_ape_percent"),
    ("p90 (%)", "p90_ape_percent"),
    ("bias (%)", "bias_percent"),
)


def error_columns(*first: str) -> list[Column]:
    """Columns of text by their titles, then the number of rows and its errors."""
    titles = ("n", *(title for title, _ in _ERRORS))
    return [*(Column(title) for title in first), *(Column(title, True) for title in titles)]


def error_cells(found: Mapping[str, Any]) -> list[str]:
    """The number of rows and its errors, as `accelsim.validate.errors.ErrorSummary.as_dict` names them."""
    return [str(found["n"]), *(amount(found[key], 3) for _, key in _ERRORS)]
