"""A calibrated GPU as YAML: what was fitted over what it extends, with where each figure comes from."""

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from accelsim.validate.calibrate import Calibration


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
    document = CommentedMap({"extends": extends, "name": name})
    document["description"] = f"{calibration.gpu.description or calibration.gpu.name}, calibrated"
    for parameter, _, value in calibration.fitted:
        _put(document, parameter.path, parameter.text(value))
    document["sources"] = CommentedMap({parameter.path: source for parameter, _, _ in calibration.fitted})
    document.yaml_set_start_comment(
        f"Calibrated from {calibration.base} by accelsim calibrate-hw: {calibration.evaluations} evaluations of the "
        f"closed form,\n{100 * calibration.holdout:.0f} % of the shapes held out before the fit by a hash."
    )
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
    """Write the file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)
