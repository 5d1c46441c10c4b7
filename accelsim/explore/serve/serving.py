"""What serving found: a row for each scheme and rate, service times, and the largest loads, as tables and documents."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from accelsim.explore.serve.search import LargestLoad
from accelsim.results.schema import SCHEMA_VERSION
from accelsim.results.store import json_text, write_folder
from accelsim.results.tables import csv_text, plain

OVERLOADED = 1.0
"""Load from which on the queue grows for ever."""


@dataclass(frozen=True)
class SchemeServed:
    """One scheme."""

    scheme: str
    capacity_per_s: float
    """Requests a second that full batches get through, on all machines."""
    idle_w: float
    """Power of a machine between batches."""
    services: tuple[dict[str, Any], ...]
    """A row for each size and bucket (`ServiceTimes.records`)."""
    points: tuple[dict[str, Any], ...]
    """A row for each rate, ascending: `rate_per_s`, `load` (of the capacity), and figures of the run."""
    largest: LargestLoad | None

    @property
    def knee_per_s(self) -> float | None:
        """Rate at which throughput over mean latency is largest (Kleinrock 1979), among those run below capacity."""
        below = [point for point in self.points if point["load"] < OVERLOADED]
        best = max(below, key=lambda point: point["throughput_per_s"] / point["mean_us"], default=None)
        return None if best is None else float(best["rate_per_s"])


@dataclass(frozen=True)
class Serving:
    """Schemes under load."""

    settings: dict[str, Any]
    """What was asked: hardware, workload, arrivals, rules of batching, seed and so on."""
    schemes: tuple[SchemeServed, ...]

    def to_frame(self) -> pd.DataFrame:
        """A row for each scheme and rate."""
        rows = [{"scheme": one.scheme, **point} for one in self.schemes for point in one.points]
        return pd.DataFrame(rows)

    def services_frame(self) -> pd.DataFrame:
        """A row for each scheme, size of batch and bucket: outcomes, mean and percentiles of time, and energy."""
        return pd.DataFrame([{"scheme": one.scheme, **row} for one in self.schemes for row in one.services])

    def document(self) -> dict[str, Any]:
        """As a JSON document (`accelsim.results.serve_schema.SERVE_SCHEMA`)."""
        schemes = [
            {
                "scheme": one.scheme,
                "capacity_per_s": one.capacity_per_s,
                "knee_per_s": one.knee_per_s,
                "idle_w": one.idle_w,
                "largest_load": None if one.largest is None else dict(vars(one.largest)),
                "services": list(one.services),
            }
            for one in self.schemes
        ]
        points = [{"scheme": one.scheme, **point} for one in self.schemes for point in one.points]
        found: dict[str, Any] = {"schema_version": SCHEMA_VERSION, **self.settings}
        found |= {"schemes": schemes, "points": points, "notes": self.notes()}
        return {key: plain(value) for key, value in found.items()}

    def to_json(self) -> str:
        """`document` as text."""
        return json_text(self.document())

    def notes(self) -> list[str]:
        """What a reader of the table should know, one sentence a line."""
        notes = []
        points = [(one.scheme, point) for one in self.schemes for point in one.points]
        grown = {scheme: one["rate_per_s"] for scheme, one in reversed(points) if one["load"] >= OVERLOADED}
        if grown:
            rates = [f"{scheme} from {rate:,.5g}/s on" for scheme, rate in reversed(grown.items())]
            notes.append(f"Overloaded, so that latencies grow with the number of requests: {', '.join(rates)}.")
        if any(one["mean_low_us"] is None for _, one in points):
            notes.append("Too few requests for intervals; take more.")
        return notes

    def save(self, folder: str | Path, figures: Mapping[str, bytes] | None = None) -> Path:
        """Write serve.json, serve.csv, services.csv and figures by file name, whole or not at all.

        Raises
        ------
        ResultError
            When the folder holds something else or cannot be written.
        """
        files = {
            "serve.json": self.to_json().encode(),
            "serve.csv": csv_text(self.to_frame()).encode(),
            "services.csv": csv_text(self.services_frame()).encode(),
        }
        write_folder(Path(folder), files | dict(figures or {}))
        return Path(folder)
