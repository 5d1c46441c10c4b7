"""Folders of results: written whole or not at all, never over something else, with equal bytes for equal content."""

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from accelsim.errors import ResultError

MANIFEST = "files.json"
"""Name of the list of a folder's files and their hashes; its presence marks the folder as ours."""


def json_text(document: Mapping[str, object]) -> str:
    """`document` as JSON text, indented, in the order given; NaN and infinity are errors."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """`arrays` as .npz. Unlike `numpy.savez`, which stamps the time of day, equal arrays give equal bytes.

    Raises
    ------
    TypeError
        For an array of Python objects, which only pickle could hold.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            array = np.asarray(arrays[name])
            if array.dtype.hasobject:
                raise TypeError(f"array {name} holds Python objects")
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, content.getvalue())
    return buffer.getvalue()


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` (path relative to the folder -> content) as `folder`, atomically.

    They are written beside it under a temporary name, which is then renamed. A folder that an earlier call wrote is
    replaced; an empty one is filled.

    Raises
    ------
    ResultError
        When `folder` is a file, or holds anything that this function did not write.
    """
    folder = folder.absolute()
    refuse_foreign(folder)
    manifest = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise ResultError(f"cannot write results to {folder}: {error.strerror}") from error
    try:
        fresh = temporary / "new"
        for name, content in [*files.items(), (MANIFEST, json_text({"files": manifest}).encode())]:
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if folder.exists():
            os.replace(folder, temporary / "old")
        os.replace(fresh, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_folder(folder: Path) -> dict[str, bytes]:
    """Every file of a folder that `write_folder` wrote, by relative path.

    Raises
    ------
    ResultError
        When the folder is missing or is not one of ours, or a file is missing or differs from what was written.
    """
    contents = {}
    for name, expected in _manifest(folder).items():
        path = folder / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ResultError(f"{path}: {error.strerror}; the folder of results is damaged, so run again") from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise ResultError(f"{path}: content differs from what was written; the folder is damaged, so run again")
        contents[name] = content
    return contents


def refuse_foreign(folder: Path) -> None:
    """Raise `ResultError` unless `folder` does not exist, is empty, or holds only what `write_folder` wrote."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ResultError(f"{folder} is a file; results need a folder")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    foreign = sorted(found - set(_manifest(folder)) - {MANIFEST}) if (folder / MANIFEST).is_file() else sorted(found)
    if foreign:
        raise ResultError(f"{folder} holds something else ({foreign[0]}); name another folder or empty this one")


def _manifest(folder: Path) -> dict[str, str]:
    path = folder / MANIFEST
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
    except FileNotFoundError as error:
        raise ResultError(f"{folder} is no folder of results: it has no {MANIFEST}") from error
    except OSError as error:
        raise ResultError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{path}: not a list of files that accelsim wrote") from error
    inside = isinstance(files, dict) and all(
        isinstance(expected, str) and ".." not in Path(name).parts and not Path(name).is_absolute()
        for name, expected in files.items()
    )
    if not inside:
        raise ResultError(f"{path}: not a list of files that accelsim wrote")
    return dict(files)
