"""The table that the program that measures GPUs writes, and how the parser of measured tables reads it."""

import csv
from pathlib import Path

import pytest

from benchmarks.measure.cases import OPS, Options, build_cases
from benchmarks.measure.errors import UsageError
from benchmarks.measure.shapes import Attention, quick_shapes
from benchmarks.measure.table import COLUMNS, KEY, Table, notes_of


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class TestTable:
    CELLS = {"gpu": "A100", "op": "gemm", "dtype": "bf16", "m": "8", "n": "16", "k": "32", "latency_us": "1.5"}

    def test_rows_are_there_at_once_and_after_opening_again(self, tmp_path: Path) -> None:
        table = Table(tmp_path / "new" / "table.csv")
        assert self.CELLS not in table
        table.append(self.CELLS)
        assert rows_of(table.path) == [{name: self.CELLS.get(name, "") for name in COLUMNS}]
        again = Table(table.path)
        assert self.CELLS in again
        assert self.CELLS | {"latency_us": "9"} in again
        for name in KEY:
            assert self.CELLS | {name: "other"} not in again, name

    def test_a_torn_last_line_is_cut_off(self, tmp_path: Path) -> None:
        file = tmp_path / "table.csv"
        table = Table(file)
        table.append(self.CELLS | {"gpu": "a board, revised"})
        whole = file.read_text()
        file.write_text(whole + "x,A100,bf16,ge")
        again = Table(file)
        assert file.read_text() == whole
        assert len(again) == 1
        file.write_text(whole[:10])
        assert len(Table(file)) == 0
        assert file.read_text() == ",".join(COLUMNS) + "\n"

    @pytest.mark.parametrize("text", ["a,b,c\n1,2,3\n", "no table"])
    def test_another_file_is_not_written_to(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "notes.csv"
        file.write_text(text)
        with pytest.raises(UsageError, match=r"notes\.csv"):
            Table(file)
        assert file.read_text() == text

    def test_a_folder_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="give another -o"):
            Table(tmp_path)

    def test_unknown_columns_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="speed"):
            Table(tmp_path / "table.csv").append(self.CELLS | {"speed": "1"})

    def test_notes_repeat_the_conditions(self) -> None:
        cells = {"library": "cublas", "op_a": "N", "op_b": "T", "order": "row", "launch": "graph", "copies": "6"}
        assert notes_of(cells | {"repeats": "20", "warm": ""}) == (
            "library=cublas;opA=N;opB=T;row-major;launch=graph;copies=6;median of 20"
        )

    def test_accelsim_reads_columns_and_notes_alike(self, tmp_path: Path) -> None:
        reader = pytest.importorskip("accelsim.validate.rows", reason="without the reader of measured tables")
        from accelsim.validate.notes import parse_notes

        table = Table(tmp_path / "table.csv")
        cases = build_cases(quick_shapes(), Options(OPS, ["bf16"], granularities=[32]))
        for case in cases:
            cells = {"gpu": "a board", **case.cells(), "latency_us": "2.5", "repeats": "20"}
            table.append(cells | {"notes": notes_of(cells)})
        rows = reader.read_rows(table.path)
        assert len(rows) == len(cases)
        for row, case, record in zip(rows, cases, rows_of(table.path), strict=True):
            assert (row.op, row.is_attention) == (case.op, isinstance(case.shape, Attention))
            assert (row.conditions.launch, row.conditions.copies) == (case.launch, case.copies)
            assert (row.conditions.strategy or "", row.conditions.order or "") == (case.strategy, case.order)
            assert row.conditions.unknown == ()
            assert parse_notes(record["notes"]) == row.conditions
