"""The script that writes the tables of docs/validation.md and the README, on made-up measurements."""

import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from accelsim.config.loader import load_hardware
from accelsim.validate import predict, read_rows
from accelsim.validate.mechanisms import MECHANISMS, Switches, mechanisms
from accelsim.validate.parameters import fitted_parameters
from accelsim.validate.run import rows_of
from accelsim.validate.transfer import CARRIED
from tests.validate.tables import dense, write

DOCS = Path(__file__).parents[2] / "docs"
DATA = Path(os.environ.get("ACCELSIM_DATA", DOCS.parents[1] / "shared")) / "measured"
GPUS = {
    "a100_sxm4_80gb": ("A100-SXM4-80GB", "bf16"),
    "h100_sxm5": ("H100-SXM5-80GB", "bf16"),
    "v100_sxm2": ("V100-SXM2-16GB", "fp16"),
    "t4": ("T4", "fp16"),
}
SHAPES = [(m, n, k) for m in (16, 256) for n in (256, 1024) for k in (256, 1024)]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """docs/error_tables.py, imported as it is when it runs."""
    monkeypatch.syspath_prepend(str(DOCS))
    import error_tables

    module: ModuleType = sys.modules["error_tables"]
    assert module is error_tables
    return module


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of dense products on four GPUs, and of one on three."""
    folder = tmp_path_factory.mktemp("measured")
    rows = [dense(*shape, 5.0 + shape[0] / 64, gpu, dtype) for gpu, dtype in GPUS.values() for shape in SHAPES]
    write(folder, *rows, name="gemm_dense.csv")
    others = [dense(256, 256, 256, 5.0, gpu, "fp16") for gpu in ("V100-PCIE-32GB", "RTX3090", "A100")]
    write(folder, *others, name="gemm_sparse.csv")
    return folder


def _cells(text: str) -> list[list[str]]:
    """Rows of a Markdown table below its heading, all of one width."""
    lines = [[cell.strip() for cell in line.split(" | ")] for line in text.splitlines() if line.startswith("| ")]
    assert len({len(line) for line in lines}) == 1
    return [[cell.removeprefix("| ").removesuffix(" |") for cell in line] for line in lines[2:]]


def test_halves_of_a_machine_are_all_its_rows(script: ModuleType, measured: Path) -> None:
    rows = _cells(script.TABLES["machines"](measured))
    for machine in GPUS:
        for engine in ("estimate", "events"):
            counts = [int(row[4]) for row in rows if (row[0], row[1], row[3]) == (machine, "gemm_dense", engine)]
            assert sum(counts) == len(SHAPES)
    kinds = {(row[0], row[2]) for row in rows}
    assert {("a100_sxm4_80gb", "calibrated"), ("a100_sxm4_80gb", "held out")} <= kinds
    assert {("a100_sxm4_80gb", "not fitted"), ("v100_pcie", "calibrated")} <= kinds
    held = {row[0]: row for row in _cells(script.TABLES["held_out"](measured))}
    same = next(row for row in rows if (row[0], row[2], row[3]) == ("h100_sxm5", "held out", "estimate"))
    assert held["h100_sxm5"][2] == same[4]
    assert held["h100_sxm5"][4] == f"{same[5]} / {same[6]}"
    assert all("calibrated" not in row[1] for row in held.values())


def test_regimes_and_decisions_tell_both_engines(script: ModuleType, measured: Path) -> None:
    regimes = _cells(script.TABLES["regimes"](measured))
    assert [row[1] for row in regimes] == ["estimate", "events"] * (len(regimes) // 2)
    decided = {tuple(row[:3]): row[3] for row in _cells(script.TABLES["decisions"](measured))}
    assert decided["gpu against gpu", "gemm_dense", "events"] == str(6 * len(SHAPES))


def test_every_mechanism_and_parameter_has_its_row(script: ModuleType, measured: Path) -> None:
    for name in ("switches", "mechanisms"):
        rows = [row[0].strip("`") for row in _cells(script.TABLES[name](measured))]
        assert [row for row in rows if row != "(nothing)"] == list(MECHANISMS)
    full, *others = _cells(script.TABLES["mechanisms"](measured))
    for row in others:
        for whole, cell in zip(full[1:3], row[1:3], strict=True):
            mean, change = (float(text) for text in re.findall(r"^([\d.]+) .*\(([-+\d.]+) /", cell)[0])
            assert mean - float(whole.split(" / ")[0]) == pytest.approx(change, abs=0.11)
    kept = [row[0].strip("`") for row in _cells(script.TABLES["by_parameter"](measured))]
    assert kept[1:] == [parameter.path for parameter in CARRIED]


def test_transfer_goes_both_ways_and_own_values_are_those_of_the_machine(script: ModuleType, measured: Path) -> None:
    rows = _cells(script.TABLES["transfer"](measured))
    assert {(row[0], row[1]) for row in rows} == {
        (target, values) for target in list(GPUS)[:2] for values in list(GPUS)[:2]
    }
    assert {row[3] for row in rows} == {str(len(SHAPES))}


def test_a_refit_makes_up_for_a_mechanism_as_far_as_others_can(script: ModuleType, measured: Path) -> None:
    gpu, switches = load_hardware("t4").gpu, Switches(mechanisms(["load_latency"]))
    rows = rows_of(read_rows(measured / "gemm_dense.csv"), gpu, None, False, "made up")
    full = predict(rows, gpu)
    rows = [replace(row, latency_us=one.latency_us) for row, one in zip(rows, full, strict=True)]
    fitted = script.ablation.refit(gpu, rows, switches)
    before, after = (abs(script.ablation.log_ratios(each, rows, switches)).mean() for each in (gpu, fitted))
    assert after < 0.5 * before
    assert fitted.load_latency == 0
    for parameter in fitted_parameters(gpu, {"graph"}):
        if parameter.path not in switches.paths:
            low, high = parameter.bounds(gpu)
            assert low <= parameter.value(fitted) <= high
    assert script.ablation.refit(gpu, rows, Switches()) == gpu


def test_other_tools_stand_below_ours(script: ModuleType, measured: Path) -> None:
    rows = _cells(script.TABLES["published"](measured))
    assert [row[0] for row in rows[:4]] == ["accelsim"] * 4
    assert all(row[2] and row[4] for row in rows)


def test_speed_is_that_of_all_dense_rows(script: ModuleType, measured: Path) -> None:
    for _, count, seconds, _ in _cells(script.TABLES["speed"](measured)):
        assert int(count) == len(GPUS) * len(SHAPES)
        assert float(seconds) < 30


def test_only_what_was_asked_for_is_put_on_a_page(
    script: ModuleType, measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, place = tmp_path / "page.md", "<!-- errors: {} -->\n\nold {}\n\n<!-- end of errors -->\n"
    page.write_text("# Page\n\n" + place.format("switches", "one") + "\n" + place.format("speed", "two"))
    folder = tmp_path / "data"
    folder.mkdir()
    measured_there = folder / "measured"
    measured_there.symlink_to(measured)
    monkeypatch.setenv("ACCELSIM_DATA", str(folder))
    monkeypatch.setattr(script, "PAGES", (page,))
    script.main(["--only", "switches"])
    text = page.read_text()
    assert "old one" not in text
    assert "`split_k`" in text
    assert "old two" in text
    with pytest.raises(SystemExit, match="no page has a place for published"):
        script.main(["--only", "published"])


def test_pages_have_a_place_for_every_table(script: ModuleType) -> None:
    there = [name for page in script.PAGES for name in script.places(page)]
    assert sorted(there) == sorted(script.TABLES)


def test_the_page_tells_what_can_be_switched_off_now(script: ModuleType) -> None:
    committed = script.places(DOCS / "validation.md")["switches"]
    assert committed == script.TABLES["switches"](Path()).strip(), "run: python docs/error_tables.py --only switches"


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the measured tables (set ACCELSIM_DATA)")
def test_the_page_tells_errors_of_the_machines_as_they_are_now(script: ModuleType) -> None:
    committed = _cells(script.places(DOCS / "validation.md")["mechanisms"])[0]
    assert committed[:3] == script.ablation.whole_model(DATA)[:3], "run: python docs/error_tables.py"
