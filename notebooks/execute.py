"""Runs the notebooks: ``python notebooks/execute.py [--quick] [NAME ...]``.

Each ``NAME.py`` (jupytext, percent format) is run from top to bottom in a fresh kernel, in this folder, and written
with its outputs as ``NAME.ipynb``. What is written depends on the code alone: no times, no ids. The exit status is 1
when a cell fails. ``--quick`` sets ACCELSIM_QUICK, which notebooks may read to do less, and writes nothing.
"""

import argparse
import os
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def notebooks() -> list[Path]:
    """The notebooks' scripts, by name."""
    return sorted(path for path in HERE.glob("*.py") if path != Path(__file__).resolve())


def executed(script: Path) -> nbformat.NotebookNode:
    """The notebook of a script with its outputs.

    Raises
    ------
    CellExecutionError
        When a cell fails.
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


def main() -> int:
    """Run the notebooks that were asked for, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="without ending; all when left out")
    parser.add_argument("--quick", action="store_true", help="do less and write nothing")
    arguments = parser.parse_args()
    known = {path.stem: path for path in notebooks()}
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error(f"no notebook {unknown[0]!r}; there are {', '.join(known)}")
    if arguments.quick:
        os.environ["ACCELSIM_QUICK"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    failed = []
    for name in arguments.names or known:
        try:
            notebook = executed(known[name])
        except CellExecutionError as error:
            failed.append(name)
            print(f"{name}: a cell failed\n{error}", file=sys.stderr)
            continue
        print(f"{name}: {sum(cell.cell_type == 'code' for cell in notebook.cells)} cells ran")
        if not arguments.quick:
            write(notebook, HERE / f"{name}.ipynb")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
