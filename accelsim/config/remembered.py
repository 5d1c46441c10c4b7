"""What was made of a file, kept until one of the files that it came from changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from accelsim.config.yaml import Document

_T = TypeVar("_T")
_Stamp = tuple[int, int]
_KEPT: dict[tuple[object, Path], tuple[dict[Path, _Stamp], Any]] = {}
_MOST = 256
"""Entries; the oldest goes first."""


def remembered(what: object, path: Path, read: Callable[[Path], Document], make: Callable[[Document], _T]) -> _T:
    """What `make` makes of the document of a file, made anew only when the file, or one that it extends, has changed.

    Parameters
    ----------
    what : hashable
        What is made: with the path, the name under which it is kept.
    path : Path
        The file.
    read : callable
        From the path to the document.
    make : callable
        From the document to a value that nobody changes.
    """
    key = (what, path)
    if key in _KEPT:
        stamps, value = _KEPT[key]
        if all(_stamp(file) == at for file, at in stamps.items()):
            return value  # type: ignore[no-any-return]
    before = _stamp(path)
    document = read(path)
    value = make(document)
    files = {place.file for place in document.places.values() if place.file is not None}
    _KEPT.pop(key, None)
    while len(_KEPT) >= _MOST:
        del _KEPT[next(iter(_KEPT))]
    _KEPT[key] = ({file: _stamp(file) for file in files} | {path: before}, value)
    return value


def _stamp(path: Path) -> _Stamp:
    """Time of the last change in ns, and size; zeros once the file is gone."""
    try:
        state = path.stat()
        return state.st_mtime_ns, state.st_size
    except OSError:
        return 0, 0
