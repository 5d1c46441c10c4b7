"""Files that commands write beside results: what is checked before the work."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.config.hardware import Gpu

_YAML = (".yaml", ".yml")


def check_place(out: Path, option: str = "") -> None:
    """Refuse a path that no file can be written to, before the work.

    Parameters
    ----------
    out : Path
    option : str
        That the path was given with, for messages; left out, the path alone is named.

    Raises
    ------
    UserError
        Naming what is in the way.
    """
    before = f"{option} " if option else ""
    if not out.parent.is_dir():
        raise UserError(f"{before}{out.parent}: no such folder")
    if out.is_dir():
        raise UserError(f"{before}{out}: is a folder; name a file")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise UserError(f"{before}{out}: cannot write in {out.parent}")


def check_yaml(out: Path, what: str, *, extends: str | None = None) -> None:
    """Refuse a path that a YAML file cannot be written to, before the work.

    Parameters
    ----------
    out : Path
    what : str
        What the file is to hold, as in ``a GPU``.
    extends : str, optional
        Name or path of what the file is to refer to, which it cannot replace.

    Raises
    ------
    UserError
        Naming what is in the way.
    """
    if out.suffix not in _YAML:
        raise UserError(f"{out}: {what} is a YAML file; name it {out.with_suffix('.yaml')}")
    check_place(out)
    if extends is not None and extends.endswith(_YAML) and out.resolve() == Path(extends).resolve():
        raise UserError(f"{out}: the new file would extend itself, since it refers to {extends}; name another")


def reference(name: str) -> str:
    """How a file elsewhere refers to a GPU: its name, or its path from the root."""
    return str(Path(name).resolve()) if Path(name).suffix in _YAML else name


def gpu_alone(name: str) -> "Gpu":
    """A GPU by name or path, of which another file can be made.

    Raises
    ------
    UserError
        For a system, whose file holds more than a GPU; its GPU is named.
    """
    from accelsim.config.hardware import System
    from accelsim.config.loader import load_hardware, load_spec

    found = load_hardware(name).gpu
    if isinstance(load_spec(name), System):
        raise UserError(f"{name} is a system; give its GPU, {found.name}")
    return found
