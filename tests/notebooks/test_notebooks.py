"""Notebooks run, their pairs agree, and what is committed is what they print now."""

import base64
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "notebooks"

jupytext = pytest.importorskip("jupytext", reason="notebooks need the test extra")


def _execute() -> ModuleType:
    specification = importlib.util.spec_from_file_location("execute", HERE / "execute.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


EXECUTE = _execute()
NAMES = [path.stem for path in EXECUTE.notebooks()]
SHORT = "tile_wise_v100"
"""The notebook that every test run executes; the others take longer."""
DATA = sorted(path.name for path in (HERE / "data").glob("*.yaml"))
HEADER = "# ---\n# jupyter:\n#   kernelspec:\n#     name: python3\n#     display_name: Python 3\n# ---\n\n"


def _notebook(name: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads((HERE / f"{name}.ipynb").read_text(encoding="utf-8"))
    return found


def _text(source: object) -> str:
    return source if isinstance(source, str) else "".join(source)  # type: ignore[call-overload]


def _numbers(value: object) -> Iterator[float]:
    """Every number of a document."""
    if isinstance(value, dict):
        yield from _numbers(list(value) + list(value.values()))
    elif isinstance(value, list):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, int | float):
        yield float(value)


@pytest.mark.parametrize("name", NAMES)
def test_both_forms_hold_the_same_cells(name: str) -> None:
    script = [(cell.cell_type, cell.source) for cell in jupytext.read(HERE / f"{name}.py").cells]
    paired = [(cell["cell_type"], _text(cell["source"])) for cell in _notebook(name)["cells"]]
    assert script == paired, "run: make notebooks"


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_committed_small_and_say_nothing_of_the_machine(name: str) -> None:
    content = (HERE / f"{name}.ipynb").read_text(encoding="utf-8")
    assert len(content) < 600_000
    cells = [cell for cell in _notebook(name)["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert "error" not in {output["output_type"] for output in outputs}
    assert "stderr" not in {output.get("name") for output in outputs}
    for private in (str(ROOT), str(Path.home()), "Traceback"):
        assert private not in content


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_small(name: str) -> None:
    outputs = [output for cell in _notebook(name)["cells"] for output in cell.get("outputs", [])]
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert pictures
    assert max(len(base64.b64decode(_text(picture))) for picture in pictures) < 200_000


@pytest.mark.parametrize("name", NAMES)
def test_prose_holds_no_result(name: str) -> None:
    """A number with decimals stands in a cell, or is a published one of a cited file, or part of a name."""
    published = {value for file in DATA for value in _numbers(YAML(typ="safe").load(HERE / "data" / file))}
    prose = "\n".join(_text(cell["source"]) for cell in _notebook(name)["cells"] if cell["cell_type"] == "markdown")
    prose = re.sub(r"(arXiv\s+|abs/|\[)\d{4}\.\d{5}", "", prose)
    assert {float(number) for number in re.findall(r"\d+\.\d+", prose)} <= published


@pytest.mark.parametrize("name", NAMES)
def test_each_opens_with_what_is_reproduced(name: str) -> None:
    first = _notebook(name)["cells"][0]
    text = _text(first["source"])
    assert first["cell_type"] == "markdown"
    assert text.startswith("# ")
    assert "**How far it agrees" in text


def test_published_points_add_up_to_the_claim() -> None:
    data = YAML(typ="safe").load(HERE / "data/tile_wise_v100.yaml")
    layer = {key: sum(gemm["per_layer"] * gemm[key] for gemm in data["gemms"]) for key in ("dense_us", "tile_wise_us")}
    assert layer["dense_us"] / layer["tile_wise_us"] == pytest.approx(data["claimed_speedup"], abs=0.01)


def test_every_published_number_of_the_v100_is_cited() -> None:
    text = (HERE / "data/tile_wise_v100.yaml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if re.search(r"(_us|_us_first|claimed_speedup|sparsity): ", line)]
    assert len(lines) == 11
    assert all("#" in line for line in lines)


def test_published_points_of_granularity_are_whole() -> None:
    data = YAML(typ="safe").load(HERE / "data/tile_wise_granularity.yaml")
    points = data["latencies"] + data["further"]
    assert {len(point) for point in points} == {len(data["columns"])}
    assert len({tuple(point[:2]) for point in points}) == len(points)
    assert {len(norms) for norms in data["norms"].values()} == {len(data["norm_granularities"])}


@pytest.mark.parametrize("name", DATA)
def test_every_file_of_published_numbers_names_its_source(name: str) -> None:
    data = YAML(typ="safe").load(HERE / "data" / name)
    sources = [data["source"]] if "source" in data else [one["source"] for one in data["headlines"]]
    assert all(re.search(r"arXiv \d{4}\.\d{5}|github\.com/", source) for source in sources)


def test_plain_leaves_only_what_the_code_decides() -> None:
    notebook = jupytext.reads("# %%\n1 + 1\n", fmt="py:percent")
    notebook.cells[0].metadata = {"execution": {"iopub.execute_input": "2026"}}
    notebook.cells[0].id = "random"
    notebook.metadata["language_info"] = {"name": "python", "version": "3.11.9"}
    plain = EXECUTE.plain(notebook)
    assert plain.cells[0].metadata == {}
    assert plain.cells[0].id == "cell-0"
    assert plain.metadata["language_info"] == {"name": "python"}


def _run(folder: Path, cell: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a notebook of one cell, called ``one``, in a folder that holds nothing else."""
    (folder / "one.py").write_text(f"{HEADER}# %%\n{cell}\n", encoding="utf-8")
    (folder / "execute.py").write_text((HERE / "execute.py").read_text(encoding="utf-8"), encoding="utf-8")
    command = [sys.executable, "execute.py", "one", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | environment)


def test_a_failing_cell_is_an_exit_status(tmp_path: Path) -> None:
    done = _run(tmp_path, "1 / 0")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert not (tmp_path / "one.ipynb").exists()


def test_quick_mode_reaches_the_notebook_and_writes_nothing(tmp_path: Path) -> None:
    done = _run(tmp_path, 'import os\nassert os.environ["ACCELSIM_NOTEBOOK_QUICK"] == "1"', "--quick")
    assert (done.returncode, list(tmp_path.glob("*.ipynb"))) == (0, []), done.stderr


def test_a_full_run_is_not_quick_whatever_the_environment_says(tmp_path: Path) -> None:
    cell = 'import os\nassert "ACCELSIM_NOTEBOOK_QUICK" not in os.environ'
    done = _run(tmp_path, cell, ACCELSIM_NOTEBOOK_QUICK="1")
    assert (done.returncode, (tmp_path / "one.ipynb").is_file()) == (0, True), done.stderr


def test_without_measured_tables_a_notebook_of_them_is_left_as_it_is(tmp_path: Path) -> None:
    done = _run(tmp_path, 'table = "measured(...)"', ACCELSIM_DATA=str(tmp_path))
    assert done.returncode == 0
    assert "no measured tables" in done.stdout
    assert not (tmp_path / "one.ipynb").exists()


def test_an_unknown_notebook_is_refused() -> None:
    done = subprocess.run([sys.executable, str(HERE / "execute.py"), "nothing"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "tile_wise_v100" in done.stderr


@pytest.mark.parametrize(
    "name", [name if name == SHORT else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_quick_mode_runs(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "execute.py"), "--quick", name], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if EXECUTE.wants_tables(HERE / f"{name}.py")])
def test_notebooks_of_measured_tables_run_without_them(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "execute.py"), "--quick", name],
        capture_output=True, text=True, timeout=600, env=os.environ | {"ACCELSIM_DATA": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_committed_outputs_are_those_of_now(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script = HERE / f"{name}.py"
    if EXECUTE.wants_tables(script) and not EXECUTE.has_tables():
        pytest.skip("needs the measured tables (set ACCELSIM_DATA)")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    monkeypatch.delenv("ACCELSIM_NOTEBOOK_QUICK", raising=False)
    now = EXECUTE.executed(script)

    def texts(cells: list[Any]) -> list[str]:
        data = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
        return [_text(each.get("text/markdown", each.get("text/html", each.get("text/plain", "")))) for each in data]

    assert texts(now.cells) == texts(_notebook(name)["cells"]), "run: make notebooks"
