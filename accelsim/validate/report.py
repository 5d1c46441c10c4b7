"""Validation: measured rows beside predictions, and how far they are apart."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from accelsim.config.hardware import Gpu
from accelsim.mapping.tiles import ELEMENT_BYTES, OUTPUT_BYTES
from accelsim.results.schema import SCHEMA_VERSION
from accelsim.results.store import json_text, write_folder
from accelsim.results.tables import csv_text, plain, records
from accelsim.validate.attention_rows import attention_columns, attention_summary
from accelsim.validate.decisions import decisions, pairs
from accelsim.validate.errors import summarise
from accelsim.validate.power import power_errors
from accelsim.validate.predict import Prediction
from accelsim.validate.regimes import REGIMES, REST, regimes
from accelsim.validate.roofline import fit_roofline
from accelsim.validate.rows import ATTENTION_OPS, MeasuredRow

_TOLD = ("library", "launch", "state of L2")
"""What the notes or columns of a row may leave to the defaults."""

_UNMODELLED = (
    *("hardware", "row", "line", "gpu", "dtype", "op", "batch", "m", "n", "k", "sparsity"),
    *("measured_us", "measured_w"),
)


@dataclass(frozen=True)
class Validation:
    """Measured rows beside predictions."""

    engine: str
    frame: pd.DataFrame
    """A row for each measurement in the order of the file, machine after machine; `reason` is empty where it is
    predicted. `frame_of` says what the columns hold."""
    unknown_notes: dict[str, int]
    """Parts of notes that nobody knows, and how often each stands there."""
    left_to_defaults: dict[str, int]
    """Predicted rows that do not tell a condition, so that the default of machine or workload was taken."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Rows of GPUs that no machine stands for, by the GPU."""
    remarks: tuple[str, ...] = ()
    """What a reader must know of how rows were matched with machines."""

    @cached_property
    def predicted(self) -> pd.DataFrame:
        """Rows that were predicted."""
        return self.frame[self.frame["reason"] == ""]

    @cached_property
    def timed(self) -> pd.DataFrame:
        """Those of them whose latency was measured."""
        return self.predicted[self.predicted["measured_us"].notna()]

    @cached_property
    def attention(self) -> pd.DataFrame:
        """Those of them that are attentions."""
        return self.timed[self.timed["op"].isin(ATTENTION_OPS)]

    @property
    def unmodelled(self) -> pd.DataFrame:
        """Rows that were not, with the reason."""
        return self.frame.loc[self.frame["reason"] != "", [*_UNMODELLED, "reason"]]

    def summary(self) -> dict[str, Any]:
        """Errors of latency over all rows, by machine, by regime and of decisions, with a fitted roofline beside them;
        errors of attention by stack, if there is any; errors of board power."""
        return dict(self._summary)

    @cached_property
    def _summary(self) -> dict[str, Any]:
        rows = self.timed
        reasons = self.unmodelled["reason"].value_counts().sort_index()
        return {
            "engine": self.engine,
            "hardware": list(dict.fromkeys(self.frame["hardware"])),
            **_errors(rows),
            "gpus": {str(name): _errors(alike) for name, alike in rows.groupby("hardware", sort=False)},
            "regimes": {name: _errors(rows[rows[name]]) for name in (*REGIMES, REST)},
            "decisions": decisions(pairs(rows[~rows["op"].isin(ATTENTION_OPS)])),
            **({"attention": attention_summary(self.attention)} if len(self.attention) else {}),
            "roofline": _roofline(rows),
            "power": power_errors(self.predicted),
            "unmodelled_count": int(reasons.sum()),
            "unmodelled_reasons": {str(reason): int(count) for reason, count in reasons.items()},
            "unknown_notes": self.unknown_notes,
            "left_to_defaults": self.left_to_defaults,
            "left_out": self.left_out,
            "remarks": list(self.remarks),
        }

    def to_document(self) -> dict[str, Any]:
        """The summary and every row, as plain values."""
        return {
            **self._plain_summary(),
            "rows": records(self.predicted.drop(columns=["reason", "rows_of_c"])),
            "unmodelled": records(self.unmodelled),
        }

    def _plain_summary(self) -> dict[str, Any]:
        document = {"schema_version": SCHEMA_VERSION, **self.summary()}
        return {key: plain(value) for key, value in document.items()}

    def to_json(self) -> str:
        """`to_document` as JSON."""
        return json_text(self.to_document())

    def save(self, folder: str | Path, figures: dict[str, bytes] | None = None) -> Path:
        """Write predictions.csv, summary.json and figures to a folder.

        Parameters
        ----------
        folder : str or path-like
            New, empty, or written by an earlier call.
        figures : dict, optional
            Further files by name.

        Raises
        ------
        ResultError
            When the folder holds something else or cannot be written.
        """
        path = Path(folder)
        files = {
            "predictions.csv": csv_text(self.frame.drop(columns="rows_of_c")).encode(),
            "summary.json": json_text(self._plain_summary()).encode(),
        }
        write_folder(path, files | (figures or {}))
        return path


def frame_of(
    rows: Sequence[MeasuredRow],
    predictions: Sequence[Prediction],
    gpu: Gpu,
    hardware: str,
    halves: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Rows beside predictions as a table.

    Columns: hardware (the simulated machine), what the measured table says (row, line, gpu, dtype, op, batch, m, n, k,
    sparsity, library, pattern, tile, launch, measured_us, measured_w), format (dtype, or ``16-bit`` where the machine
    multiplies fp16 and bf16 alike), predicted_us, error_percent, ape_percent, predicted_w, kernel and waves (thread
    blocks over those that the device holds at once), menu, footprint_within_l2, rows_of_c, a boolean for each regime,
    and reason. If `halves` tells of each row in which half of the table it is, `attention_columns` follow.
    """
    columns: dict[str, Any] = {
        "hardware": [hardware] * len(rows),
        **{name: [getattr(row, name) for row in rows] for name in ("row", "line", "gpu", "dtype", "op", "batch")},
        **{name: [getattr(row, name) for row in rows] for name in ("m", "n", "k", "sparsity")},
        "format": [_format(row.dtype, gpu) for row in rows],
        "library": [row.conditions.library or "" for row in rows],
        "pattern": [row.conditions.pattern or "" for row in rows],
        "tile": [_tile(row) for row in rows],
        "launch": [row.conditions.launch or "" for row in rows],
        "measured_us": np.array([row.latency_us for row in rows], dtype=float),
        "predicted_us": np.array([prediction.latency_us for prediction in predictions], dtype=float),
    }
    frame = pd.DataFrame(columns)
    frame["error_percent"] = 100 * (frame["predicted_us"] / frame["measured_us"] - 1)
    frame["ape_percent"] = frame["error_percent"].abs()
    frame["measured_w"] = np.array([row.power_w for row in rows], dtype=float)
    frame["predicted_w"] = np.array([prediction.power_w for prediction in predictions], dtype=float)
    frame["kernel"] = [prediction.kernel for prediction in predictions]
    frame["waves"] = [prediction.waves for prediction in predictions]
    frame["menu"] = [prediction.library for prediction in predictions]
    frame["footprint_within_l2"] = [prediction.within_l2 for prediction in predictions]
    frame["rows_of_c"] = [row.n if row.conditions.order == "column" else row.m for row in rows]
    frame = frame.assign(**regimes(frame))
    frame["reason"] = [prediction.reason for prediction in predictions]
    return frame if halves is None else frame.assign(**attention_columns(rows, halves))


def _format(dtype: str, gpu: Gpu) -> str:
    rates = gpu.tensor_core
    alike = rates.get("fp16", rates.get("bf16")) == rates.get("bf16", rates.get("fp16"))
    return "16-bit" if dtype in ("fp16", "bf16") and alike else dtype


def _tile(row: MeasuredRow) -> str:
    told = row.conditions
    if told.tile is None:
        return ""
    return "x".join(map(str, told.tile)) + "".join(f" {name}{value}" for name, value in (
        ("stages=", told.stages), ("split_k=", told.split_k),
    ) if value is not None)  # fmt: skip


def _errors(rows: pd.DataFrame) -> dict[str, Any]:
    return summarise(rows["measured_us"], rows["predicted_us"]).as_dict()


def _roofline(rows: pd.DataFrame) -> dict[str, Any]:
    """Errors of a roofline fitted to the dense rows of each machine, and its parameters."""
    parameters: dict[str, Any] = {}
    measured, fitted = [np.empty(0)], [np.empty(0)]
    for hardware, alike in rows[rows["op"] == "gemm"].groupby("hardware", sort=False):
        latency = alike["measured_us"].to_numpy(float)
        flops, size = _work(alike)
        line = fit_roofline(flops, size, latency)
        if line is not None:
            times = line.latency_us(flops, size)
            measured.append(latency)
            fitted.append(times)
            parameters[str(hardware)] = {**line.__dict__, **summarise(latency, times).as_dict()}
    return {**summarise(np.concatenate(measured), np.concatenate(fitted)).as_dict(), "gpus": parameters}


def _work(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Floating-point operations and bytes of A, B and C."""
    m, n, k, batch = (rows[name].to_numpy(float) for name in ("m", "n", "k", "batch"))
    element = rows["dtype"].map(ELEMENT_BYTES).to_numpy(float)
    written = rows["dtype"].map(OUTPUT_BYTES).to_numpy(float)
    return 2 * batch * m * n * k, batch * (element * (m + n) * k + written * m * n)


def counted_conditions(rows: Sequence[MeasuredRow]) -> tuple[dict[str, int], dict[str, int]]:
    """How often each unknown part of notes stands there, and how many rows leave each condition to the defaults."""
    unknown = Counter(part for row in rows for part in row.conditions.unknown)
    # Launch times of attention's stacks were fitted to how those stacks are measured.
    told = [row.conditions for row in rows if not row.is_attention]
    missing = (
        sum(one.library is None for one in told),
        sum(one.launch is None for one in told),
        sum(one.copies is None and one.warm is None for one in told),
    )
    return dict(sorted(unknown.items())), dict(zip(_TOLD, missing, strict=True))
