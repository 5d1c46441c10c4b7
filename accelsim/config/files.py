"""Files that documents name: made absolute, and checked to exist."""

import os
from pathlib import Path
from typing import Any

from accelsim.config.yaml import Document, Place
from accelsim.errors import ConfigError


def existing(text: str, place: Place, what: str = "") -> str:
    """Absolute path of a file that must exist; relative to the file or, in an option, to the working directory.

    Raises
    ------
    ConfigError
        When there is no such file.
    """
    base = place.file.parent if place.file else Path.cwd()
    path = (base / Path(text).expanduser()).resolve()
    if not path.is_file():
        raise ConfigError(f"{place}{what}: no file {text!r} (looked for {path})")
    return str(path)


def arrays_of(result: str | os.PathLike[str]) -> str:
    """The file of arrays of a saved result, which is given by its folder, or the file itself."""
    path = Path(result)
    return str(path / "arrays.npz" if path.is_dir() else path)


def find_key_means(document: Document, path: tuple[str, ...]) -> None:
    """Make the file of mean keys that HDP's options at `path` of a document name absolute.

    Raises
    ------
    ConfigError
        When there is no such file.
    """
    options: Any = document.data
    for key in path:
        options = options.get(key) if isinstance(options, dict) else None
    if isinstance(options, dict) and isinstance(options.get("key_means"), str):
        options["key_means"] = existing(options["key_means"], document.place((*path, "key_means")), ": hdp.key_means")
