"""A GPU as YAML: what was fitted or carried over, over what it extends, with where each figure comes from."""

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from accelsim.config.hardware import Gpu
from accelsim.errors import ResultError
from accelsim.validate.calibrate import Calibration
from accelsim.validate.transfer import Transfer


def calibration_yaml(calibration: Calibration, name: str, extends: str) -> str:
    """Text of a GPU's YAML file.

    Parameters
    ----------
    calibration : Calibration
    name : str
        Of the new GPU.
    extends : str
        Name or path of the base as the file refers to it.
    """
    held = calibration.errors["fitted"]["held_out"]
    fit = calibration.errors["fitted"]["calibrated"]
    source = (
        f"fitted to {fit.n} rows of {calibration.measured} (sha256 {calibration.digest[:12]}), "
        f"seed {calibration.seed}; {held.n} rows held out: "
        f"{held.mape_percent:.1f} % mean, {held.median_ape_percent:.1f} % median error"
    )
    return _text(
        {"extends": extends, "name": name, "description": f"{_described(calibration.gpu)}, calibrated"},
        {parameter.path: parameter.text(value) for parameter, _, value in calibration.fitted},
        {parameter.path: source for parameter, _, _ in calibration.fitted},
        f"Calibrated from {calibration.base} by accelsim calibrate-hw: {calibration.evaluations} evaluations "
        f"({calibration.engine}),\n{100 * calibration.holdout:.0f} % of the shapes held out before the fit by a hash.",
    )


def transfer_yaml(transfer: Transfer, name: str, extends: str, source: str) -> str:
    """Text of a GPU's YAML file.

    Parameters
    ----------
    transfer : Transfer
    name : str
        Of the new GPU.
    extends, source : str
        Name or path of the target, as the file refers to it, and of the calibrated GPU.
    """
    return _text(
        {"extends": extends, "name": name, "description": f"{_described(transfer.gpu)}, with values of {source}"},
        {one.parameter.path: one.parameter.text(one.value) for one in transfer.carried},
        {one.parameter.path: one.source for one in transfer.carried},
        f"{extends} with what was calibrated on {source}, by accelsim hw carry-over.",
    )


def _described(gpu: Gpu) -> str:
    return gpu.description or gpu.name


def _text(head: dict[str, str], values: dict[str, str | float], sources: dict[str, str], comment: str) -> str:
    """A document of a head, values at dotted paths, and where they come from, below a comment."""
    document = CommentedMap(head)
    for path, value in values.items():
        _put(document, path, value)
    document["sources"] = CommentedMap(sources)
    document.yaml_set_start_comment(comment)
    yaml = YAML()
    yaml.width = 4096
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue()


def _put(document: CommentedMap, path: str, value: Any) -> None:
    node = document
    *folders, leaf = path.split(".")
    for key in folders:
        node = node.setdefault(key, CommentedMap())
    node[leaf] = value


def write_yaml(text: str, path: Path) -> None:
    """Write the file whole or not at all.

    Raises
    ------
    ResultError
        When it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        if not part.is_dir():
            part.unlink(missing_ok=True)
        raise ResultError(f"{path}: cannot be written ({error.strerror})") from None
