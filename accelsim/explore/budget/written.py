"""A calibrated setting as a workload's YAML, which `accelsim run` takes."""

import io
import os
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from accelsim.config.names import looks_like_path
from accelsim.explore.budget.calibrate import Calibrated
from accelsim.explore.budget.evaluate import DENSE, WithData


def calibrated_yaml(found: Calibrated, workload: str | Path, out: Path) -> str:
    """Text of a workload that extends the calibrated one by its options, with where they come from.

    Parameters
    ----------
    found : Calibrated
    workload
        Name or path that was calibrated.
    out : Path
        Where the text will be written; paths in it are relative to that folder.
    """
    config = found.calibration.config(found.chosen.setting)
    spec = config.workload
    assert isinstance(spec, WithData)
    document = CommentedMap({"extends": _relative(workload, out), "name": out.stem})
    document["description"] = f"{spec.description or spec.name}, calibrated to a budget"
    if found.calibration.data is not None:
        document["data"] = os.path.relpath(Path(found.calibration.data).resolve(), out.parent.resolve())
    changed = CommentedMap()
    for section, options in type(spec.defaults).model_fields.items():
        before, after = (
            holder.model_dump(mode="json") for holder in (getattr(spec.defaults, section), getattr(config, section))
        )
        different = {key: _value(value) for key, value in after.items() if value != before[key]}
        different = _file(different, out)
        if different and options is not None:
            changed[section] = CommentedMap(different)
    if changed:
        document["defaults"] = changed
    source = _source(found)
    document["sources"] = CommentedMap({f"defaults.{section}": source for section in changed})
    if not changed:
        del document["sources"]
    document.yaml_set_start_comment(_comment(found, out))
    yaml = YAML()
    yaml.width = 4096
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue()


def _relative(workload: str | Path, out: Path) -> str:
    """A built-in name as it is, a path as seen from the folder of the new file."""
    text = os.fspath(workload)
    if not looks_like_path(text) and not Path(text).exists():
        return text
    path = os.path.relpath(Path(text).expanduser().resolve(), out.parent.resolve())
    return path if looks_like_path(path) else f".{os.sep}{path}"


def _value(value: Any) -> Any:
    if isinstance(value, list):
        sequence = CommentedSeq(value)
        sequence.fa.set_flow_style()
        return sequence
    return value


def _file(options: dict[str, Any], out: Path) -> dict[str, Any]:
    """A file that options name, as seen from the folder of the new one."""
    if isinstance(options.get("key_means"), str):
        options["key_means"] = os.path.relpath(Path(options["key_means"]).resolve(), out.parent.resolve())
    return options


def _source(found: Calibrated) -> str:
    split = found.calibration
    return (
        f"accelsim calibrate: budget {100 * found.budget:g} % by {found.judge} on {split.inputs} inputs of split "
        f"{split.split}, least {found.objective}, seed {found.seed}"
    )


def _comment(found: Calibrated, out: Path) -> str:
    """What was found, and how it did on the test split."""
    scheme = found.chosen.setting.scheme
    lines = [
        f"Written by accelsim calibrate for scheme {scheme}: {len(found.tried)} settings tried on {found.hardware}.",
        f"Run it with: accelsim run HARDWARE {out.name} --scheme {scheme}",
    ]
    for split, place in ((found.calibration, "chosen on"), (found.test, "checked on")):
        if split is not None:
            dense, chosen = (split.evaluate(one, costs=True) for one in (DENSE, found.chosen.setting))
            lines.append(
                f"{place} {split.inputs} inputs of split {split.split}: {found.metric} {chosen.verdict.quality:.4f}, "
                f"dense {dense.verdict.quality:.4f}; {100 * chosen.kept:.1f} % of all multiply-accumulates kept"
            )
    if found.interval is not None:
        lines.append(
            f"change on the test split {found.interval.difference:+.4f}, 95 % interval "
            f"{found.interval.low:+.4f} to {found.interval.high:+.4f} over its inputs"
        )
    return "\n".join(lines)
