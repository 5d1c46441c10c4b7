"""Regimes: kinds of rows that are hard for different reasons, whose errors are reported apart."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from accelsim.validate.rows import ATTENTION_OPS

FEW_WAVES = 4.0
HUGE_US = 1000.0
ALIGNED = 8

REGIMES: dict[str, tuple[str, Callable[[pd.DataFrame], Any]]] = {
    "m_at_most_16": ("m <= 16", lambda rows: rows["rows_of_c"] <= 16),
    "k_at_most_256": ("k <= 256", lambda rows: rows["k"] <= 256),
    "within_l2": ("A, B and C fit L2", lambda rows: rows["footprint_within_l2"]),
    "few_waves": (f"fewer than {FEW_WAVES:g} waves", lambda rows: rows["waves"] < FEW_WAVES),
    "huge": (f"longer than {HUGE_US / 1000:g} ms", lambda rows: rows["measured_us"] > HUGE_US),
    "odd_sizes": (
        f"m, n or k no multiple of {ALIGNED}",
        lambda rows: (rows[["m", "n", "k"]] % ALIGNED > 0).any(axis=1),
    ),
}
"""Name of each regime, what it means, and which rows are in it (one row may be in several)."""

REST = "rest"
"""Rows in none of them."""


def regimes(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Which rows are in each regime.

    Parameters
    ----------
    rows : pandas.DataFrame
        Columns rows_of_c (m as the simulator counts it: of a column-major product, n), m, n, k, footprint_within_l2,
        waves and measured_us; op, if there are attentions, which are in none.

    Returns
    -------
    dict
        A boolean column for each of `REGIMES`, and for `REST`.
    """
    product = ~rows["op"].isin(ATTENTION_OPS) if "op" in rows else pd.Series(True, index=rows.index)
    found = {name: holds(rows).astype(bool) & product for name, (_, holds) in REGIMES.items()}
    none = ~pd.DataFrame(found, index=rows.index).any(axis=1) & product
    return {**found, REST: none}
