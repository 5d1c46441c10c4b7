"""Notebooks run, their pairs agree, and what is committed is what they print now."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "notebooks"
NAMES = sorted(path.stem for path in HERE.glob("*.py") if path.stem != "execute")

jupytext = pytest.importorskip("jupytext", reason="notebooks need the test extra")


@pytest.fixture(scope="module")
def execute() -> ModuleType:
    specification = importlib.util.spec_from_file_location("execute", HERE / "execute.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _notebook(name: str) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads((HERE / f"{name}.ipynb").read_text(encoding="utf-8"))
    return found


def _text(source: object) -> str:
    return source if isinstance(source, str) else "".join(source)  # type: ignore[call-overload]


@pytest.mark.parametrize("name", NAMES)
def test_both_forms_hold_the_same_cells(name: str) -> None:
    script = [(cell.cell_type, cell.source) for cell in jupytext.read(HERE / f"{name}.py").cells]
    paired = [(cell["cell_type"], _text(cell["source"])) for cell in _notebook(name)["cells"]]
    assert script == paired, "run: make notebooks"


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_committed_small_and_say_nothing_of_the_machine(name: str) -> None:
    content = (HERE / f"{name}.ipynb").read_text(encoding="utf-8")
    assert len(content) < 300_000
    cells = [cell for cell in _notebook(name)["cells"] if cell["cell_type"] == "code"]
    assert any(cell["outputs"] for cell in cells)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output["output_type"] for cell in cells for output in cell["outputs"]}  # type: ignore[attr-defined]
    assert "error" not in kinds
    for private in (str(ROOT), str(Path.home()), "Traceback"):
        assert private not in content


@pytest.mark.parametrize("name", NAMES)
def test_prose_holds_no_result(name: str) -> None:
    """Numbers with decimals stand in cells, or belong to versions and settings that the text names."""
    allowed = {"1.3", "2.26", "2008.13006"}
    prose = [_text(cell["source"]) for cell in _notebook(name)["cells"] if cell["cell_type"] == "markdown"]
    assert set(re.findall(r"\d+\.\d+", "\n".join(prose))) <= allowed


def test_published_points_add_up_to_the_claim() -> None:
    data = YAML(typ="safe").load(HERE / "data/tile_wise_v100.yaml")
    layer = {key: sum(gemm["per_layer"] * gemm[key] for gemm in data["gemms"]) for key in ("dense_us", "tile_wise_us")}
    assert layer["dense_us"] / layer["tile_wise_us"] == pytest.approx(data["claimed_speedup"], abs=0.01)


def test_every_published_number_is_cited() -> None:
    text = (HERE / "data/tile_wise_v100.yaml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if re.search(r"(_us|_us_first|claimed_speedup|sparsity): ", line)]
    assert len(lines) == 11
    assert all("#" in line for line in lines)


def test_plain_leaves_only_what_the_code_decides(execute: ModuleType) -> None:
    notebook = jupytext.reads("# %%\n1 + 1\n", fmt="py:percent")
    notebook.cells[0].metadata = {"execution": {"iopub.execute_input": "2026"}}
    notebook.cells[0].id = "random"
    notebook.metadata["language_info"] = {"name": "python", "version": "3.11.9"}
    plain = execute.plain(notebook)
    assert plain.cells[0].metadata == {}
    assert plain.cells[0].id == "cell-0"
    assert plain.metadata["language_info"] == {"name": "python"}


def test_a_failing_cell_is_an_exit_status(execute: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("# %%\n1 / 0\n", encoding="utf-8")
    script = (HERE / "execute.py").read_text(encoding="utf-8")
    (tmp_path / "execute.py").write_text(script, encoding="utf-8")
    done = subprocess.run([sys.executable, "execute.py", "bad"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert not (tmp_path / "bad.ipynb").exists()


def test_an_unknown_notebook_is_refused() -> None:
    done = subprocess.run([sys.executable, str(HERE / "execute.py"), "nothing"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "tile_wise_v100" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_committed_outputs_are_those_of_now(name: str, execute: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
    monkeypatch.delenv("ACCELSIM_QUICK", raising=False)
    now = execute.executed(HERE / f"{name}.py")

    def texts(cells: object) -> list[str]:
        outputs = [output for cell in cells for output in cell.get("outputs", [])]  # type: ignore[attr-defined]
        data = [output.get("data", {}) for output in outputs]
        return [_text(each.get("text/markdown", each.get("text/html", each.get("text/plain", "")))) for each in data]

    assert texts(now.cells) == texts(_notebook(name)["cells"]), "run: make notebooks"
