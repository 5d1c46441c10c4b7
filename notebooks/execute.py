"""Runs the notebooks: ``python notebooks/execute.py [--quick] [--figures DIR] [NAME ...]``.

Each ``NAME.py`` (jupytext, percent format) is run from top to bottom in a fresh kernel, in this folder, and written
with its outputs as ``NAME.ipynb``. What is written depends on the code alone: no times, no ids. The exit status is 1
when a cell fails. ``--quick`` sets ACCELSIM_NOTEBOOK_QUICK, by which notebooks do less, and writes nothing. A notebook
that asks for measured tables (``measured`` of common.py) is not written where they are missing: what is committed
shows more. ``--figures DIR`` also writes every figure there, as SVG and as PNG for print.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MEASURED = ROOT.parent / "shared"

FAILURES = (CellControlSignal, DeadKernelError)
"""A cell raised or took too long, or took the kernel with it."""


def notebooks() -> list[Path]:
    """The notebooks' scripts, by name: those that begin with jupytext's header."""
    return sorted(
        path for path in HERE.glob("*.py") if path.read_text(encoding="utf-8").startswith("# ---\n# jupyter:")
    )


def wants_tables(script: Path) -> bool:
    """Whether a notebook shows more where measured tables are at hand."""
    return "measured(" in script.read_text(encoding="utf-8")


def has_tables() -> bool:
    """Whether measured tables are at hand."""
    return (Path(os.environ.get("ACCELSIM_DATA", MEASURED)) / "measured").is_dir()


def executed(script: Path) -> nbformat.NotebookNode:
    """The notebook of a script with its outputs.

    Raises
    ------
    CellExecutionError
        When a cell fails; other `FAILURES` when it does not end, or ends the kernel.
    """
    notebook = jupytext.read(script)
    client = NotebookClient(
        notebook, timeout=900, kernel_name="python3", record_timing=False, resources={"metadata": {"path": str(HERE)}}
    )
    client.execute()
    return plain(notebook)


def plain(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without what differs from run to run or machine to machine."""
    notebook.metadata = {
        "jupytext": {"formats": "ipynb,py:percent"},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index}"
        cell.metadata = {}
        for output in cell.get("outputs", []):
            output.metadata = {} if "metadata" in output else output.get("metadata")
            if output.get("metadata", 0) is None:
                del output["metadata"]
    return notebook


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Save a notebook if it has changed."""
    text = nbformat.writes(nbformat.from_dict(notebook), indent=1) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.name}")


def run(script: Path, quick: bool) -> bool:
    """Run one notebook, say how it went, and write it unless in quick mode; whether it ran."""
    begin = time.monotonic()
    try:
        notebook = executed(script)
    except FAILURES as error:
        print(f"{script.stem}: a cell failed\n{error}", file=sys.stderr, flush=True)
        return False
    cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    print(f"{script.stem}: {cells} cells ran in {time.monotonic() - begin:.0f} s", flush=True)
    if quick:
        return True
    if wants_tables(script) and not has_tables():
        print(f"{script.stem}.ipynb left as it is: no measured tables here (ACCELSIM_DATA), so it would show less")
        return True
    write(notebook, HERE / f"{script.stem}.ipynb")
    return True


def main() -> int:
    """Run the notebooks that were asked for, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="without ending; all when left out")
    parser.add_argument("--quick", action="store_true", help="do less and write nothing")
    parser.add_argument("--figures", metavar="DIR", help="write figures there too, as SVG and PNG")
    arguments = parser.parse_args()
    known = {path.stem: path for path in notebooks()}
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error(f"no notebook {unknown[0]!r}; there are {', '.join(known)}")
    os.environ.pop("ACCELSIM_NOTEBOOK_QUICK", None)
    if arguments.quick:
        os.environ["ACCELSIM_NOTEBOOK_QUICK"] = "1"
    if "ACCELSIM_DATA" in os.environ:  # kernels run in another folder
        os.environ["ACCELSIM_DATA"] = str(Path(os.environ["ACCELSIM_DATA"]).resolve())
    if arguments.figures:
        os.environ["ACCELSIM_NOTEBOOK_FIGURES"] = str(Path(arguments.figures).resolve())
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    ran = [run(known[name], arguments.quick) for name in arguments.names or known]
    return 0 if all(ran) else 1


if __name__ == "__main__":
    sys.exit(main())
