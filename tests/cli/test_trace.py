"""`--trace` and what goes with it: files, messages and mistakes."""

from pathlib import Path

import pytest

from accelsim.cli import main
from tests.show.read_back import ReadBack

GEMM = ["run", "v100_pcie", "gemm_1024", "--no-values"]


def test_a_run_writes_its_timeline_and_tells_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.pftrace"
    assert main([*GEMM, "--trace", str(file), "--trace-sms", "2", "--trace-limit", "20", "--json"]) == 0
    found = capsys.readouterr()
    assert found.out.startswith("{")
    assert f"wrote {file}: " in found.err
    assert "more left out" in found.err
    assert "note: dense: gemm_1024 on v100_pcie: no details from" in found.err
    assert b"gemm_1024 on v100_pcie" in file.read_bytes()
    assert main([*GEMM, "--trace", str(file), "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_a_comparison_has_a_group_for_each_scheme(tmp_path: Path) -> None:
    file = tmp_path / "both.perfetto-trace"
    words = ["compare", "v100_pcie", "gemm_1024", "--schemes", "dense,tile_wise", "--no-values", "--quiet"]
    assert main([*words, "--trace", str(file), "--trace-sms", "all"]) == 0
    assert b"dense: gemm_1024" in file.read_bytes()
    assert b"tile_wise: gemm_1024" in file.read_bytes()


def test_serving_and_attention_write_theirs(tmp_path: Path) -> None:
    requests, heads = tmp_path / "requests.pftrace", tmp_path / "heads.pftrace"
    words = ["serve", "a100_hdp", "bert_tiny", "--no-values", "--requests", "50", "--rate", "9000", "--quiet"]
    assert main([*words, "--trace-out", str(requests)]) == 0
    served = ReadBack(requests.read_bytes()).slices
    assert (
        len([one for path, some in served.items() if path[1] == "requests" for one in some if one[2] == "service"])
        == 50
    )
    assert ("dense at 9,000/s", "machine") in served
    units = ["attention", "compare", "--units", "a3", "--seq", "32", "--heads", "2", "--quiet"]
    assert main([*units, "--trace", str(heads)]) == 0
    layers = ReadBack(heads.read_bytes()).slices["a3, sequence 32", "layers"]
    assert [one[2] for one in layers] == ["layer 0"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--trace", "run.json"], "name it run.pftrace"),
        (["--trace", "nowhere/run.pftrace"], "nowhere: no such folder"),
        (["--trace", "folder.pftrace"], "is a folder; name a file"),
        (["--trace-sms", "4"], "--trace-sms is about a timeline; name its file, as in --trace run.pftrace"),
        (["--trace-limit", "4"], "--trace-limit is about a timeline"),
        (["--trace", "run.pftrace", "--trace-sms", "some"], "--trace-sms some: needs a whole number, or all"),
        (["--trace", "run.pftrace", "--trace-sms", "-1"], "allowed: 0 and more, or all"),
        (["--trace", "run.pftrace", "--trace-limit", "0"], "allowed: 1 and more"),
    ],
)
def test_mistakes_are_told_before_the_work(
    words: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.pftrace").mkdir()
    assert main([*GEMM, *words]) == 2
    assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["folder.pftrace"]
