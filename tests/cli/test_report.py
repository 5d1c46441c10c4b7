"""`accelsim report`: pages of folders, and mistakes."""

import json
from pathlib import Path

import pytest

from accelsim.cli import main

RUN = ["v100_pcie", "gemm_1024", "--no-values", "--engine", "estimate"]
SWEEP = """
kind: sweep
name: small
hardware: v100_pcie
workload: gemm_1024
scheme: tile_wise
values: false
engine: estimate
grid:
  workload.m: [256, 512]
  tile_wise.sparsity: [0.5, 0.75]
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, a comparison, a sweep, a search and attention units, side by side."""
    root = tmp_path_factory.mktemp("saved")
    assert main(["run", *RUN, "--scheme", "tile_wise", "--out", str(root / "run"), "--quiet"]) == 0
    assert main(["compare", *RUN, "--schemes", "dense,tile_wise", "--out", str(root / "both"), "--quiet"]) == 0
    (root / "small.yaml").write_text(SWEEP)
    assert main(["sweep", str(root / "small.yaml"), "--out", str(root / "sweep"), "--quiet"]) == 0
    words = ["v100_pcie", "gemm_1024", "--engine", "estimate", "--evaluations", "3"]
    assert main(["tune", *words, "--out", str(root / "tune"), "--quiet"]) == 0
    words = ["--units", "a3", "--seq", "32", "--heads", "1"]
    assert main(["attention", "compare", *words, "--out", str(root / "units"), "--quiet"]) == 0
    return root


@pytest.mark.parametrize(
    ("name", "subject", "says"),
    [
        ("run", "Simulated run", "gemm_1024 on v100_pcie, tile-wise"),
        ("both", "Simulated comparison of 2 schemes", "Why saved work is not saved time"),
        ("sweep", "Simulated sweep over workload.m, tile_wise.sparsity", "<b>4</b>"),
        ("tune", "Simulated search for settings", "accelsim run v100_pcie gemm_1024"),
        ("units", "Simulated comparison of attention accelerators", "A3"),
    ],
)
def test_pages_of_folders(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, subject: str, says: str
) -> None:
    out = tmp_path / "page.html"
    assert main(["report", str(folders / name), "-o", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"saved {out} (")
    page = out.read_text()
    assert subject in page
    assert says in page
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_comparison_says_the_speed_up_of_its_document(folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert main(["report", str(folders / "both"), "-o", str(out), "--title", "Ours", "-q"]) == 0
    document = json.loads((folders / "both" / "comparison.json").read_text())
    speedup = next(row["speedup"] for row in document["schemes"] if row["scheme"] == "tile_wise")
    page = out.read_text()
    assert f">{speedup:.3g}x<" in page
    assert "<title>Ours</title>" in page
    assert "Time of" in page


def test_an_earlier_report_is_replaced_and_nothing_else(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    for name in ("run", "sweep"):
        assert main(["report", str(folders / name), "-o", str(out), "-q"]) == 0
    assert "Simulated sweep" in out.read_text()
    out.write_text("my notes")
    assert main(["report", str(folders / "run"), "-o", str(out)]) == 2
    assert "exists and is no report of accelsim; name another file" in capsys.readouterr().err
    assert out.read_text() == "my notes"


def test_the_page_lies_here_unless_told_otherwise(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(folders / "run"), "-q"]) == 0
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["nowhere"], "nowhere: no such folder of results"),
        (["EMPTY"], "holds no result of a run or comparison"),
        (["RUN", "-o", "EMPTY"], "is a folder; name a file"),
        (["RUN", "-o", "EMPTY/none/page.html"], "none: no such folder"),
        (["OLD"], "format 0; this accelsim reads 1"),
        (["DAMAGED"], "the folder is damaged, so run again"),
        (["BROKEN"], "cannot be read as a sweep"),
        (["OTHER"], "OTHER was saved by accelsim breakeven, which has no page"),
        (["FILE"], "FILE is a file; name the folder"),
        (["TORN"], "tune.json: lacks 'objectives'; run accelsim tune again"),
        (["BEGUN"], "BEGUN holds a search that has not ended"),
    ],
)
def test_mistakes_are_told(
    folders: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    problem: str,
) -> None:
    import shutil

    from accelsim.results.store import json_text, read_folder, write_folder

    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "BROKEN").mkdir()
    (tmp_path / "BEGUN" / "evaluations").mkdir(parents=True)
    (tmp_path / "FILE").touch()
    (tmp_path / "TORN").mkdir()
    (tmp_path / "TORN" / "tune.json").write_text('{"schema_version": 1}')
    write_folder(tmp_path / "OTHER", {"breakeven.json": b"{}"})
    (tmp_path / "BROKEN" / "points.sqlite").write_bytes(b"no database, but long enough to look like a file of one")
    (run,) = (folders / "run").iterdir()
    files = read_folder(run)
    write_folder(tmp_path / "RUN", files)
    old = json.loads(files["result.json"]) | {"schema_version": 0}
    write_folder(tmp_path / "OLD", files | {"result.json": json_text(old).encode()})
    shutil.copytree(run, tmp_path / "DAMAGED")
    (tmp_path / "DAMAGED" / "result.json").write_text("{}")
    assert main(["report", *words]) == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()
