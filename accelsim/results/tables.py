"""The tables of a result: their columns, the unit of each, and the one form in which they are held and stored.

A quantity's column ends in its unit (`latency_us`), so a table explains itself wherever it is shown. `REQUIRED` names
the columns that every table has; others may stand beside them. Tables are held in one canonical form (plain index, no
mixed columns), so that what was saved loads back equal and equal tables are equal bytes.
"""

import io
from collections.abc import Mapping

import numpy as np
import pandas as pd

REQUIRED: dict[str, dict[str, str]] = {
    "kernels": {
        "name": "Operation or kernel launch.",
        "device": "gpu, attention_unit or link.",
        "part": "gemm, attention, elementwise or transfer: what figures group latency by.",
        "begin_us": "Since the start of the run.",
        "end_us": "Likewise.",
    },
    "units": {
        "unit": "sms, l2, dram, link, or a part of the attention unit.",
        "device": "As in kernels.",
        "busy_us": "Time in which it worked, averaged over its copies.",
        "utilisation_percent": "busy_us over the run's latency.",
    },
    "account": {
        "device": "As in kernels.",
        "cause": "What the time went to.",
        "time_total_ps": "Whole picoseconds of it, summed over the device's copies (SMs, cores); add up exactly.",
        "time_us": "The same, averaged over the copies.",
        "share_percent": "Of the device's total; the causes of a device add up to 100.",
    },
    "energy": {
        "component": "tensor_core, l2, dram, ...",
        "action": "What costs energy there.",
        "count": "How often it happened.",
        "energy_uj": "count x energy of one.",
        "source": "Where the energy of one comes from, or the word default.",
    },
}
"""Columns that every table has, with what they hold."""

OPTIONAL: dict[str, dict[str, str]] = {
    "per_input": {
        "item": "Index of the input.",
        "latency_us": "Of this input by itself, at a batch of one.",
        "energy_uj": "Likewise.",
    },
    "tiles": {
        "kernel": "Name of the product, as in kernels.",
        "row": "Of a cell of the grid over its output tiles.",
        "column": "Likewise.",
        "kept_share": "Multiply-accumulates that count, of those that dense weights would need.",
        "duration_us": "Of a thread block of the cell, on average.",
    },
}
"""Tables that a result may lack, with the columns that they have."""

_UNITS = {
    "us": "us",
    "uj": "uJ",
    "percent": "%",
    "bytes": "B",
    "mm2": "mm2",
    "cycles": "cycles",
    "w": "W",
    "ps": "ps",
    "hz": "Hz",
    "per_s": "1/s",
}


def unit_of(column: str) -> str:
    """Unit that the name of a column or summary key ends in; empty for a plain number.

    >>> unit_of("latency_us"), unit_of("items_per_s"), unit_of("macs")
    ('us', '1/s', '')
    """
    name = column.removesuffix("_total")
    endings = [ending for ending in _UNITS if name == ending or name.endswith(f"_{ending}")]
    return _UNITS[max(endings, key=len)] if endings else ""


def canonical(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` in the form in which tables are held: a plain index, text columns as text, no mixed columns.

    Parameters
    ----------
    name : str
        A key of `REQUIRED` or `OPTIONAL`.
    frame : pandas.DataFrame
        Copied, never changed. An empty frame without columns gets the required ones.

    Raises
    ------
    ValueError
        When a required column is missing or a column mixes types.
    """
    required = (REQUIRED | OPTIONAL)[name]
    if frame.empty and not len(frame.columns):
        frame = pd.DataFrame({column: pd.Series(dtype="str") for column in required})
    missing = [column for column in required if column not in frame.columns]
    if missing:
        raise ValueError(f"table {name} lacks {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}")
    columns = {str(column): _column(name, str(column), frame[column]) for column in frame.columns}
    return pd.DataFrame(columns).reset_index(drop=True)


def _column(table: str, name: str, values: pd.Series) -> pd.Series:
    values = values.reset_index(drop=True)
    if values.dtype != object:
        return values
    inferred = values.infer_objects()
    if inferred.dtype != object:
        return inferred
    present = values.dropna()
    if all(isinstance(value, str) for value in present):
        return values.astype("str")
    if all(isinstance(value, (int, float, np.number)) and not isinstance(value, bool) for value in present):
        return values.astype("float64")
    kinds = sorted({type(value).__name__ for value in present})
    raise ValueError(f"column {name} of table {table} mixes {', '.join(kinds)}")


def plain(value: object) -> object:
    """`value` as JSON holds it: NumPy scalars as Python's, NaN and infinity as None, also within mappings and lists.

    Raises
    ------
    TypeError
        For a value that JSON cannot hold.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or isinstance(value, (bool, int, str)):
        return None if value is pd.NA else value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    raise TypeError(f"{value!r} ({type(value).__name__}) cannot stand in a JSON document")


def records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Rows of a table as JSON objects, null for what is missing."""
    columns = [str(column) for column in frame.columns]
    return [dict(zip(columns, map(plain, row), strict=True)) for row in frame.itertuples(index=False, name=None)]


def csv_text(frame: pd.DataFrame) -> str:
    """`frame` as CSV: the shortest digits that read back the same number, line feeds whatever the platform."""
    return frame.to_csv(index=False, lineterminator="\n")


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    """`frame` as Parquet. Equal frames give equal bytes with one version of pyarrow."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, engine="pyarrow", compression="zstd", index=False)
    return buffer.getvalue()
