"""Where the built-in YAML lies, and how a name or a path becomes a file."""

import difflib
import os
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from accelsim.errors import ConfigError

FOLDERS = ("hwconfigs", "workloads")
_SUFFIXES = (".yaml", ".yml")
_BEGUN = 6
"""Names that are offered for their beginning, at most."""


@cache
def folder(kind: str) -> Path:
    """Folder of built-in files: inside the package when installed, beside it in a checkout.

    Parameters
    ----------
    kind : str
        One of `FOLDERS`.
    """
    package = Path(str(files("accelsim")))
    inside = package / kind
    return inside if inside.is_dir() else package.parent / kind


def _part(kind: str) -> Path:
    """Folder for ``workloads``, ``workloads/models`` or, since the names of subfolders are unique, ``models``."""
    head = kind.split("/", 1)[0]
    candidates = [kind] if head in FOLDERS else [f"{root}/{kind}" for root in FOLDERS]
    for candidate in candidates:
        root, _, below = candidate.partition("/")
        path = folder(root) / below
        if path.is_dir():
            return path
    known = [*FOLDERS, *sorted(path.name for root in FOLDERS for path in folder(root).iterdir() if path.is_dir())]
    raise ConfigError(f"no folder of built-in files is called {kind!r}; {near(kind, known)}")


def built_in(kind: str) -> dict[str, Path]:
    """File of every built-in name below a folder, in the order of names.

    Parameters
    ----------
    kind : str
        ``hwconfigs``, ``workloads``, or a folder in them (``hwconfigs/gpus`` or just ``gpus``).

    Raises
    ------
    ConfigError
        For an unknown folder, or when two files bear one name.
    """
    part = _part(kind)
    known = _LISTED.get(part)
    if known is not None and all(_modified(folder) == at for folder, at in known[0].items()):
        return dict(known[1])
    folders = {part: _modified(part)}
    found: dict[str, Path] = {}
    for path in sorted(part.rglob("*"), key=lambda path: path.stem):
        if path.suffix in _SUFFIXES and found.setdefault(path.stem, path) != path:
            raise ConfigError(f"two files are called {path.stem!r}: {found[path.stem]} and {path}")
        if path.is_dir():
            folders[path] = _modified(path)
    _LISTED[part] = (folders, found)
    return dict(found)


_LISTED: dict[Path, tuple[dict[Path, int], dict[str, Path]]] = {}
"""For a folder its folders, each with the time of its last change, and its names: every name that is looked up needs
them, and sweeps look up thousands."""


def _modified(folder: Path) -> int:
    """When an entry of a folder was last added or taken away, in ns; 0 once it is gone."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def available(kind: str) -> list[str]:
    """Names that exist below a folder of built-in files (see `built_in`), sorted."""
    return list(built_in(kind))


def near(word: str, known: Iterable[str]) -> str:
    """``did you mean ...? allowed: ...`` for an unknown word; names that begin with it come before alike ones."""
    known = list(known)
    begun = [name for name in known if word and name.startswith(word)]
    matches = begun[:_BEGUN] or difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    question = f"did you mean {' or '.join(map(repr, matches))}? " if matches else ""
    return f"{question}allowed: {', '.join(known) or 'nothing'}"


def looks_like_path(text: str) -> bool:
    """Whether a text can only be meant as a path: it has a separator or ends in .yaml or .yml."""
    return "/" in text or os.sep in text or text.endswith(_SUFFIXES)


def find(
    kind: str, name_or_path: str | os.PathLike[str], base: Path | None = None, offered: Sequence[str] = ()
) -> Path:
    """The file that a name or a path means.

    Parameters
    ----------
    kind : str
        Folder of built-in files to look in, as for `built_in`.
    name_or_path : str or path-like
        A built-in name (``t4``, or with its folder ``gpus/t4``) or a path.
    base : Path, optional
        Folder to which a path is relative; the working directory when left out.
    offered : sequence of str
        Folders whose names the message offers, where not all below `kind` would do.

    Raises
    ------
    ConfigError
        When there is no such file; the message lists near matches and all names.
    """
    text = os.fspath(name_or_path)
    if not text:
        raise ConfigError(f"the name is empty; {near(text, built_in(kind))}")
    path = (base or Path.cwd()) / Path(text).expanduser()
    known = built_in(kind)
    if not looks_like_path(text) and text in known:
        return known[text]
    if path.is_file():
        return path.resolve()
    for candidate in known.values():
        if candidate.with_suffix("").as_posix().endswith(f"/{kind}/{text}"):
            return candidate
    if path.is_dir():
        raise ConfigError(f"{text!r} is a folder; give a YAML file or a name; {near(text, known)}")
    what = "no file" if looks_like_path(text) else "unknown name"
    meant = [name for part in offered for name in available(part)] or known
    raise ConfigError(f"{what} {text!r}; {near(Path(text).stem, meant)}")
