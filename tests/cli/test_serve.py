"""`accelsim serve`: document, table, folder, mistakes and interrupts."""

import json
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

from accelsim.cli import main
from accelsim.cli.serve import ALL_ARRIVALS, ALL_QUEUES
from accelsim.explore.serve.queue import QUEUE_ENGINES
from accelsim.results.serve_schema import SERVE_SCHEMA

FEW = ["serve", "a100_hdp", "bert_tiny", "--no-values", "--requests", "3000"]


def test_names_of_options_are_those_of_the_library() -> None:
    assert ALL_QUEUES == QUEUE_ENGINES
    assert ALL_ARRIVALS == ("poisson", "even")


def test_json_is_one_document_of_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*FEW, "--scheme", "dense,tile_wise", "--rate", "8000,1e3", "--batch", "2", "--buckets", "64,128"]
    assert main([*words, "--timeout", "100us", "--target-p95", "1ms", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SERVE_SCHEMA)
    assert [(point["scheme"], point["rate_per_s"]) for point in document["points"]] == [
        (scheme, rate) for scheme in ("dense", "tile_wise") for rate in (1000.0, 8000.0)
    ]
    assert document["timeout_us"] == 100.0
    assert document["buckets"] == [64, 128]
    for scheme in document["schemes"]:
        largest = scheme["largest_load"]
        assert largest["target_us"] == 1000.0
        assert 0 < largest["rate_per_s"] < scheme["capacity_per_s"]
        assert largest["figures"]["p95_us"] <= 1000.0
        assert [(row["size"], row["bucket"]) for row in scheme["services"]] == [(1, 64), (1, 128), (2, 64), (2, 128)]


def test_several_machines_serve_more(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for servers in (1, 3):
        assert main([*FEW, "--rate", "8000", "--servers", str(servers), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        jsonschema.validate(document, SERVE_SCHEMA)
        assert document["servers"] == servers
        found.append((document["schemes"][0]["capacity_per_s"], document["points"][0]))
    assert found[1][0] == pytest.approx(3 * found[0][0])
    assert found[1][1]["load"] == pytest.approx(found[0][1]["load"] / 3)
    assert found[1][1]["mean_wait_us"] < found[0][1]["mean_wait_us"]
    assert main([*FEW, "--rate", "8000", "--servers", "2"]) == 0
    assert "bert_tiny on 2 x a100_hdp" in capsys.readouterr().out
    assert main([*FEW, "--servers", "0"]) == 2
    assert "servers 0: allowed: 1 to 1024" in capsys.readouterr().err


def test_folder_holds_tables_and_figure_and_equal_runs_are_equal(tmp_path: Path) -> None:
    words = [*FEW, "--rate", "2000,20000", "--quiet", "--out"]
    folders = [tmp_path / "one", tmp_path / "two"]
    assert [main([*words, str(folder)]) for folder in folders] == [0, 0]
    names = {"serve.json", "serve.csv", "services.csv", "serve.png", "serve.svg", "files.json"}
    assert {path.name for path in folders[0].iterdir()} == names
    assert all((folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in names)
    assert len(pd.read_csv(folders[0] / "serve.csv")) == 2


def test_table_tells_loads_targets_and_overload(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FEW, "--target-p95", "1us"]) == 0
    text = capsys.readouterr().out
    assert "no load meets it" in text
    assert "Overloaded" in text
    assert "Capacity with full batches" in text


def test_a_trace_sets_rate_and_lengths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("time_s,length\n" + "".join(f"{0.001 * index},{30 + index % 60}\n" for index in range(500)))
    words = ["serve", "a100_hdp", "bert_tiny", "--no-values", "--trace", str(trace), "--buckets", "64,128", "--json"]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["arrivals"] == "trace"
    assert document["requests"] == 500
    assert [point["rate_per_s"] for point in document["points"]] == [pytest.approx(1000.0)]
    assert main([*words, "--lengths", "1-64"]) == 2
    assert "those of a trace are its column length" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rate", "0"], "rate 0: needs to be above 0 requests/s"),
        (["--rate", "-5"], "rate -5: needs to be above 0"),
        (["--rate", "fast"], "--rate fast: needs numbers"),
        (["--rate", "1e-9"], "longer than is simulated"),
        (["--timeout", "5"], "--timeout: cannot read '5' as a number with a unit"),
        (["--timeout", "2h"], "unknown unit 'h'"),
        (["--timeout", "9000s"], "at most 3600 s"),
        (["--target-p95", "0ms"], "target p95 0 us"),
        (["--buckets", "a,b"], "--buckets a,b: needs whole numbers"),
        (["--buckets", "128,64"], "buckets 128, 64: need to rise"),
        (["--buckets", "64", "--lengths", "32-65"], "the largest bucket holds 64"),
        (["--lengths", "100-200"], "the largest bucket holds 128"),
        (["--lengths", "x"], "lengths 'x'"),
        (["--batch", "0"], "batch 0: allowed"),
        (["--batch", "4", "--sizes", "1,2"], "need to end with the largest batch, 4"),
        (["--arrivals", "bursty"], "unknown arrivals 'bursty'"),
        (["--queue", "compile"], "compiled"),
        (["--warmup", "1"], "warmup 1"),
        (["--requests", "1"], "requests 1: allowed"),
        (["--scheme", "hdp"], "without values HDP prunes what you name"),
        (["--scheme", "dense,dense"], "more than once"),
        (["--scheme", "denze"], "denze"),
    ],
)
def test_mistakes_are_told(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FEW, *words]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_lengths_of_what_has_none_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "t4", "gemm_1024", "--no-values", "--requests", "3000", "--lengths", "5"]) == 2
    printed = capsys.readouterr()
    assert "lengths mean nothing to gemm_1024" in printed.err
    assert printed.out == ""


def test_an_interrupt_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from accelsim.explore.serve import load

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(load, "run_queue", interrupt)
    assert main([*FEW, "--out", str(tmp_path / "found")]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
