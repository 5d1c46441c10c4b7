"""Commands: one JSON document and nothing else, exit statuses, tables, folders."""

import dataclasses
import errno
import json
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from accelsim.cli import main
from accelsim.cli.run import folder_name
from accelsim.errors import UserError
from accelsim.results import Comparison, Result
from accelsim.results.schema import COMPARE_SCHEMA, RUN_SCHEMA
from tests.results.examples import example

HEAVY = ("numpy", "pandas", "pydantic", "numba", "matplotlib", "ruamel", "pyarrow", "simpy", "rich", "scipy")


class Steps:
    """Stands in for `accelsim.pipeline`: notes what it was asked and answers with made-up results."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.raises: BaseException | None = None

    def run(self, hardware: str, workload: str, **options: Any) -> Result:
        self.asked = {"hardware": hardware, "workload": workload, **options}
        if self.raises is not None:
            raise self.raises
        return example(options["scheme"])

    def compare(self, hardware: str, workload: str, **options: Any) -> Comparison:
        self.asked = {"hardware": hardware, "workload": workload, **options}
        return Comparison(tuple(example(scheme) for scheme in options["schemes"]), example("dense"))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    stand_in = Steps()
    module = types.ModuleType("accelsim.pipeline")
    module.run, module.compare = stand_in.run, stand_in.compare  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "accelsim.pipeline", module)
    return stand_in


def test_run_hands_over_every_option(steps: Steps, tmp_path: Path) -> None:
    (tmp_path / "ab.npz").write_bytes(b"")
    words = ["--scheme", "tile_wise", "--sparsity", "0.5", "--set", "mapping.tile_m=128", "--set", "workload.m=7"]
    words += [
        "--engine",
        "simpy",
        "--no-values",
        "--seed",
        "3",
        "--operands",
        str(tmp_path / "ab.npz"),
        "--masks",
        str(tmp_path),
        "--force",
        "--per-input",
        "--quiet",
    ]
    assert main(["run", "v100_pcie", "gemm_1024", *words]) == 0
    assert steps.asked == {
        "hardware": "v100_pcie",
        "workload": "gemm_1024",
        "scheme": "tile_wise",
        "sparsity": 0.5,
        "sets": ("mapping.tile_m=128", "workload.m=7"),
        "engine": "simpy",
        "values": False,
        "seed": 3,
        "operands": tmp_path / "ab.npz",
        "masks": tmp_path,
        "force": True,
        "per_input": True,
        "trace": None,
    }


def test_run_without_options(steps: Steps) -> None:
    assert main(["run", "a", "b", "--quiet"]) == 0
    assert steps.asked == {
        "hardware": "a", "workload": "b", "scheme": "dense", "sparsity": None, "sets": (), "engine": "events",
        "values": True, "seed": 0, "operands": None, "masks": None,
        "force": False, "per_input": False, "trace": None,
    }  # fmt: skip


@pytest.mark.usefixtures("steps")
def test_run_prints_one_document(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", "a", "b", "--json", "--out", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    jsonschema.validate(document, RUN_SCHEMA)
    assert document["latency_us"] == example().summary["latency_us"]
    assert captured.err.startswith("saved ")


@pytest.mark.usefixtures("steps")
def test_run_prints_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "a", "b", "--scheme", "hdp"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    for text in (
        "bert_base_layer on a100_hdp, hdp",
        "Where the time of gpu went",
        "Where the time of attention_unit went",
        "Where the energy went",
        "931.1 M",
        "normal, standard deviation 1",
        "hardware.gpu.l2.port",
        "energy.gpu.leakage",
    ):
        assert text in captured.out
    assert "\x1b" not in captured.out


@pytest.mark.usefixtures("steps")
def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", "a", "b", "--quiet", "--out", str(tmp_path)]) == 0
    assert main(["compare", "a", "b", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.usefixtures("steps")
def test_run_saves_under_a_name_that_the_config_gives(tmp_path: Path) -> None:
    for _ in range(2):
        assert main(["run", "a", "b", "--scheme", "hdp", "--quiet", "--out", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    assert folder.name == "a100_hdp-bert_base_layer-hdp-abababab"
    assert Result.load(folder).equals(example("hdp"))


@pytest.mark.usefixtures("steps")
def test_compare_prints_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "a", "b", "--schemes", "dense, tile_wise,hdp", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, COMPARE_SCHEMA)
    assert [entry["scheme"] for entry in document["schemes"]] == ["dense", "tile_wise", "hdp"]


@pytest.mark.usefixtures("steps")
def test_compare_prints_a_table_and_notes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "a", "b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heading = next(line for line in lines if line.startswith("scheme"))
    for title in ("latency", "speed-up", "attention speed-up", "energy", "MACs done", "skipped", "error", "accuracy"):
        assert title in heading
    row = next(line for line in lines if line.startswith("tile_wise+hdp"))
    assert "1.60x" in row
    assert any(line.startswith("Attention is 2.7 % of the dense MACs") for line in lines)
    products = next(i for i, line in enumerate(lines) if line.startswith("Products on the attention unit"))
    assert [line.split()[0] for line in lines[products + 3 : products + 5]] == ["hdp", "tile_wise+hdp"]


@pytest.mark.usefixtures("steps")
def test_compare_saves_with_a_figure(tmp_path: Path) -> None:
    assert main(["compare", "a", "b", "--schemes", "dense,hdp", "--quiet", "--out", str(tmp_path / "out")]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    expected = {"comparison.json", "comparison.csv", "comparison.png", "comparison.svg", "dense", "hdp", "files.json"}
    assert names == expected


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "a", "b", "--scheme", "tilewise"], "unknown scheme 'tilewise'; did you mean 'tile_wise'"),
        (["run", "a", "b", "--engine", "event"], "did you mean 'events'"),
        (["compare", "a", "b", "--schemes", "dense,hpd"], "did you mean 'hdp'"),
        (["compare", "a", "b", "--schemes", "hdp,hdp"], "names hdp more than once"),
        (["compare", "a", "b", "--schemes", " ,"], "names no scheme"),
        (["rum", "a", "b"], "unknown command 'rum'; did you mean 'run'"),
        (["hw", "shwo", "t4"], "did you mean 'show'"),
        (["run", "a"], "Missing argument"),
        (["run", "a", "b", "--seed", "-1"], "--seed"),
        (["run", "a", "b", "--seeed", "1"], "--seeed"),
        (["run", "a", "b", "--operands", "missing.npz"], "missing.npz"),
        (["hw", "show", "v100_pci"], "did you mean 'v100_pcie'"),
        (["workload", "show", "gemm_1025"], "did you mean 'gemm_1024'"),
        (["sweep", "tile_size"], "did you mean 'tile_sizes'"),
    ],
)
def test_the_users_mistakes(capsys: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert told in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("words", "offered", "left_out"),
    [
        (["run", "v100_pci", "gemm_1024"], {"v100_pcie", "a100_hdp"}, {"cublas_volta", "gpu_7nm", "hdp_edge"}),
        (["workload", "show", "gemm_1025"], {"gemm_1024", "digits_vit"}, {"tile_sizes", "tune_gemm", "vgg16_stages"}),
    ],
)
def test_only_names_that_would_do_are_offered(
    capsys: pytest.CaptureFixture[str], words: list[str], offered: set[str], left_out: set[str]
) -> None:
    assert main(words) == 2
    told = set(capsys.readouterr().err.partition("allowed: ")[2].replace(",", "").split())
    assert offered <= told
    assert not left_out & told


def test_an_error_of_the_run_is_the_users(steps: Steps, capsys: pytest.CaptureFixture[str]) -> None:
    steps.raises = UserError("tile too large")
    assert main(["run", "a", "b", "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: tile too large\n"


def test_our_mistakes_are_one_line(steps: Steps, capsys: pytest.CaptureFixture[str]) -> None:
    steps.raises = RuntimeError("heap\nempty")
    assert main(["run", "a", "b"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "internal error: RuntimeError: heap empty" in captured.err
    assert "report" in captured.err


@pytest.mark.parametrize("place", [0, 3])
def test_debug_shows_the_traceback(steps: Steps, capsys: pytest.CaptureFixture[str], place: int) -> None:
    steps.raises = RuntimeError("heap empty")
    words = ["run", "a", "b"]
    assert main([*words[:place], "--debug", *words[place:]]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt(steps: Steps, capsys: pytest.CaptureFixture[str]) -> None:
    steps.raises = KeyboardInterrupt()
    assert main(["run", "a", "b"]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def _in_process(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "typers_own"), [(["--help"], ()), (["run", "--help"], ("pydantic",)), (["hw", "--help"], ("pydantic",))]
)
def test_help_imports_nothing_heavy(words: list[str], typers_own: tuple[str, ...]) -> None:
    heavy = tuple(name for name in HEAVY if name not in typers_own)
    code = (
        "import sys\nfrom accelsim.cli import main\n"
        f"status = main({words!r})\n"
        f"print('heavy:', *(name for name in {heavy!r} if name in sys.modules))\nsys.exit(status)"
    )
    done = _in_process(code)
    assert done.returncode == 0, done.stderr
    assert "Usage: accelsim" in done.stdout
    assert done.stdout.splitlines()[-1] == "heavy:"


def test_module_runs() -> None:
    done = subprocess.run([sys.executable, "-m", "accelsim", "nope"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "unknown command" in done.stderr


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("accelsim ")


@pytest.mark.parametrize(("words", "key"), [(["hw", "list"], "hardware"), (["workload", "list"], "workloads")])
def test_lists(capsys: pytest.CaptureFixture[str], words: list[str], key: str) -> None:
    assert main([*words, "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)[key]
    assert main(words) == 0
    table = capsys.readouterr().out
    assert len(entries) >= 6
    for entry in entries:
        assert entry["name"] in table


def test_peak_of_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hw", "list", "--json"]) == 0
    machines = {entry["name"]: entry["parts"] for entry in json.loads(capsys.readouterr().out)["hardware"]}
    (part,) = machines["a100_sxm4_80gb"]
    assert part["peak_tflops"] == pytest.approx(312, rel=0.01)
    assert len(machines["a100_hdp"]) == 2


def test_hardware_is_shown_with_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hw", "show", "a100_sxm4_80gb", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    fields = {field["path"]: field for field in document["fields"]}
    assert fields["sm_count"]["value"] == 108
    assert fields["clock"]["unit"] in ("MHz", "GHz")
    assert fields["clock"]["source"]
    assert main(["hw", "show", "a100_sxm4_80gb"]) == 0
    table = capsys.readouterr().out
    assert all(path in table for path in fields)
    assert "figures are defaults." in table


def test_workload_is_shown_with_its_macs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workload", "show", "bert_base_layer", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["macs"] == 931_135_488 == sum(operation["macs"] for operation in document["operations"])
    assert main(["workload", "show", "gemm_1024", "--set", "workload.m=7"]) == 0
    assert "7 x 1024 x 1024" in capsys.readouterr().out


@pytest.mark.usefixtures("steps")
def test_tables_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    always: Callable[[], bool] = lambda: True  # noqa: E731
    monkeypatch.setattr(sys.stdout, "isatty", always)
    assert main(["compare", "a", "b"]) == 0
    out = capsys.readouterr().out
    assert "tile_wise+hdp" in out
    assert "─" in out


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize("words", [["run", "a", "b"], ["compare", "a", "b", "--schemes", "dense"]])
def test_folder_is_refused_before_any_work(
    words: list[str], steps: Steps, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    assert main([*words, "--json", "--out", str(tmp_path / "file" / "below")]) == 2
    captured = capsys.readouterr()
    assert steps.asked == {}
    assert captured.out == ""
    assert "is a file; results need a folder" in captured.err


def test_foreign_folder_is_refused_before_a_comparison(
    steps: Steps, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["compare", "a", "b", "--schemes", "dense", "--json", "--out", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert (steps.asked, captured.out) == ({}, "")
    assert "holds something else (mine.txt)" in captured.err


def test_nothing_is_printed_when_saving_fails(
    steps: Steps, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise UserError("no space")

    monkeypatch.setattr(Result, "save", full)
    assert main(["run", "a", "b", "--json", "--out", str(tmp_path)]) == 2
    assert steps.asked
    assert capsys.readouterr().out == ""


def test_too_little_memory_is_no_internal_error(steps: Steps, capsys: pytest.CaptureFixture[str]) -> None:
    steps.raises = MemoryError("Unable to allocate 9 TiB")
    assert main(["run", "a", "b", "--json"]) == 2
    assert "not enough memory (Unable to allocate 9 TiB); take smaller sizes" in capsys.readouterr().err


def test_a_full_disk_is_no_internal_error(steps: Steps, capsys: pytest.CaptureFixture[str]) -> None:
    steps.raises = OSError(errno.ENOSPC, "No space left on device", "out/result.json")
    assert main(["run", "a", "b"]) == 2
    assert capsys.readouterr().err == "error: out/result.json: cannot be written, No space left on device\n"


@pytest.mark.parametrize(("scheme", "told"), [("dense", True), ("hdp", True), ("tile_wise", False)])
def test_a_sparsity_that_prunes_nothing_is_pointed_out(
    steps: Steps, capsys: pytest.CaptureFixture[str], scheme: str, told: bool
) -> None:
    assert main(["run", "a", "b", "--scheme", scheme, "--sparsity", "0.5"]) == 0
    assert ("--sparsity 0.5 has no effect" in capsys.readouterr().err) == told
    assert main(["run", "a", "b", "--scheme", scheme, "--sparsity", "0.5", "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_names_do_not_lead_out_of_the_folder() -> None:
    result = example()
    renamed = dataclasses.replace(result, summary={**result.summary, "hardware": "../up", "workload": "a/../../b c"})
    assert folder_name(renamed) == "_up-a_.._.._b_c-dense-abababab"
