"""What a search for break-even found: a cell for each machine, product and pattern, as tables and as a document."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from accelsim.explore.bench import Speedup
from accelsim.explore.products import Product
from accelsim.results.schema import SCHEMA_VERSION
from accelsim.results.store import json_text, write_folder
from accelsim.results.tables import csv_text, plain

BEATS, NEVER, UNAVAILABLE = "beats", "never", "unavailable"


@dataclass(frozen=True)
class Point:
    """One sparsity that was run."""

    engine: str
    asked: float
    """Sparsity that was asked for."""
    sparsity: float
    """Sparsity that the masks have."""
    latency_us: float
    speedup: Speedup
    imagined: str | None


@dataclass(frozen=True)
class Cell:
    """Break-even of one pattern on one machine and product. Sparsities are those asked for."""

    hardware: str
    product: str
    """m x n x k, or ``all``."""
    pattern: str
    reason: str | None = None
    """Why the pattern cannot run there."""
    lowest: float | None = None
    """Where the pattern begins."""
    highest: float | None = None
    """Up to where was looked."""
    beats_from: float | None = None
    """Lowest sparsity from which on it is predicted faster than dense weights; None for never."""
    search_from: float | None = None
    """The same by the engine of the search alone, before it was confirmed."""
    has_interval: bool = False
    """Whether the errors of both sides are known."""
    maybe_from: float | None = None
    """From here on it may be faster within the errors: from here to `surely_from` it is undecided."""
    surely_from: float | None = None
    """From here on it is faster beyond the errors; None if nowhere."""
    basis: str = ""
    """What the errors rest on."""
    points: tuple[Point, ...] = ()

    @property
    def status(self) -> str:
        """``beats``, ``never`` up to the highest sparsity, or ``unavailable``."""
        if self.reason is not None:
            return UNAVAILABLE
        return NEVER if self.beats_from is None else BEATS

    @property
    def undecided(self) -> tuple[float, float] | None:
        """Sparsities between which dense and pruned cannot be told apart; the upper end is faster already, or is the
        highest looked at. None where nothing is undecided or no errors are known."""
        if self.maybe_from is None or self.maybe_from == self.surely_from or self.highest is None:
            return None
        return self.maybe_from, self.highest if self.surely_from is None else self.surely_from

    def record(self) -> dict[str, object]:
        """The cell without its points, by column."""
        undecided = self.undecided
        return {
            "hardware": self.hardware,
            "product": self.product,
            "pattern": self.pattern,
            "status": self.status,
            "beats_from": self.beats_from,
            "undecided_from": None if undecided is None else undecided[0],
            "undecided_to": None if undecided is None else undecided[1],
            "faster_from": self.surely_from,
            "has_interval": self.has_interval,
            "lowest": self.lowest,
            "highest": self.highest,
            "search_from": self.search_from,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class BreakEven:
    """Cells by machine, then product, then pattern."""

    workload: str
    batch: int
    dtype: str
    products: tuple[Product, ...]
    cells: tuple[Cell, ...]
    engine: str
    confirmed_by: str | None
    resolution: float
    seed: int

    def to_frame(self) -> pd.DataFrame:
        """A row for each cell."""
        return pd.DataFrame([cell.record() for cell in self.cells])

    def points_frame(self) -> pd.DataFrame:
        """A row for each run: cell, engine, sparsity asked and found, latency, speed-up and its interval."""
        return pd.DataFrame(self._points(), columns=list(_POINT_COLUMNS))

    def _points(self) -> Iterator[tuple[object, ...]]:
        for cell in self.cells:
            for point in cell.points:
                speedup = point.speedup
                yield (
                    *(cell.hardware, cell.product, cell.pattern, point.engine, point.asked, point.sparsity),
                    *(point.latency_us, speedup.value, speedup.low, speedup.high),
                )

    def notes(self) -> list[str]:
        """What a reader of the table should know, one sentence a line."""
        notes = [
            "Each product is launched alone, without what a network does between products; masks are drawn from the "
            f"seed. Answers are {100 * self.resolution:g} % apart where the pattern allows it."
        ]
        if self.confirmed_by is not None:
            notes.append(f"Found by the {self.engine}, confirmed by {self.confirmed_by}.")
        bases = dict.fromkeys(cell.basis for cell in self.cells if cell.reason is None)
        notes += [f"Interval: {basis}." for basis in bases]
        imagined = dict.fromkeys(point.imagined for cell in self.cells for point in cell.points if point.imagined)
        return notes + [f"Imagined: {text}." for text in imagined]

    def document(self) -> dict[str, object]:
        """As a JSON document (`accelsim.results.schema.BREAK_EVEN_SCHEMA`)."""
        shapes = [{"name": one.name, "m": one.m, "n": one.n, "k": one.k, "count": one.count} for one in self.products]
        points = self.points_frame().to_dict("records")
        return {
            "schema_version": SCHEMA_VERSION,
            "workload": self.workload,
            "batch": self.batch,
            "dtype": self.dtype,
            "engine": self.engine,
            "confirmed_by": self.confirmed_by,
            "resolution": self.resolution,
            "seed": self.seed,
            "products": shapes,
            "cells": [cell.record() for cell in self.cells],
            "points": [{str(key): plain(value) for key, value in point.items()} for point in points],
            "notes": self.notes(),
        }

    def to_json(self) -> str:
        """`document` as text."""
        return json_text(self.document())

    def save(self, folder: str | Path, figures: Mapping[str, bytes] | None = None) -> Path:
        """Write breakeven.json, breakeven.csv, points.csv and figures by file name, whole or not at all.

        Raises
        ------
        ResultError
            When the folder holds something else or cannot be written.
        """
        files = {
            "breakeven.json": self.to_json().encode(),
            "breakeven.csv": csv_text(self.to_frame()).encode(),
            "points.csv": csv_text(self.points_frame()).encode(),
        }
        write_folder(Path(folder), files | dict(figures or {}))
        return Path(folder)


_POINT_COLUMNS = (
    *("hardware", "product", "pattern", "engine", "asked", "sparsity"),
    *("latency_us", "speedup", "speedup_low", "speedup_high"),
)
