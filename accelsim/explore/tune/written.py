"""The best setting as a workload's YAML, and as the command that runs it."""

import io
import json
import os
import shlex
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from accelsim.config.names import built_in, looks_like_path
from accelsim.explore.sweep import Record
from accelsim.explore.sweep.spec import NAMES
from accelsim.explore.tune.spec import Tune


def best_yaml(tune: Tune, settings: Record, folder: Path, source: str, command: str) -> str:
    """Text of a workload that has the best options as its defaults.

    What is no key of a workload (the machine's, the scheme) stands in the command of its head.

    Parameters
    ----------
    tune : Tune
    settings : mapping
        Of the best trial.
    folder : Path
        Where the text will be written; paths in it are relative to that.
    source : str
        Where the options come from.
    command : str
        That runs it, from `best_command`.
    """
    name = str(settings.get("workload", tune.spec.workload))
    extended = _relative("workloads", tune.sweep.located(name), folder)
    document = CommentedMap({"extends": extended, "name": f"{tune.name}_tuned"})
    defaults: dict[str, Any] = {}
    for path, value in settings.items():
        root, _, rest = path.partition(".")
        if path in NAMES or root == "hardware":
            continue
        if root == "workload":
            _put(document, rest.split("."), value)
        else:
            _put(defaults, path.split("."), value)
    if defaults:
        document["defaults"] = _commented(defaults)
    document.yaml_set_start_comment(f"Written by {source}.\nRun it with: {command}")
    yaml = YAML()
    yaml.width = 4096
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue()


def best_command(tune: Tune, settings: Record, workload: str | None = None) -> str:
    """`accelsim run` with a setting, as it is called from the working directory.

    Parameters
    ----------
    tune : Tune
    settings : mapping
    workload : str, optional
        A file that holds the setting's options; left out, they are given one by one.
    """
    spec = tune.spec
    names = {name: settings.get(name, getattr(spec, name)) for name in NAMES}
    if tune.judged_by_accuracy:
        names["values"] = True
    hardware, load = (
        _relative(kind, tune.sweep.located(str(names[name])), Path.cwd())
        for name, kind in (("hardware", "hwconfigs"), ("workload", "workloads"))
    )
    words = ["accelsim", "run", hardware, workload or load]
    for name, default in (("scheme", "dense"), ("engine", "events"), ("seed", 0), ("sparsity", None)):
        if names[name] != default:
            words += [f"--{name}", str(names[name])]
    words += [] if names["values"] else ["--no-values"]
    words += ["--force"] if names["force"] else []
    for path, value in settings.items():
        if path not in NAMES and (workload is None or path.startswith("hardware.")):
            words += ["--set", f"{path}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(words)


def _put(node: Any, keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        node = node.setdefault(key, CommentedMap())
    node[keys[-1]] = value


def _commented(defaults: dict[str, Any]) -> CommentedMap:
    return CommentedMap({section: CommentedMap(options) for section, options in defaults.items()})


def _relative(kind: str, name: str, folder: Path) -> str:
    """A built-in name as it is, which comes before a file or folder that is called alike; a path as seen from a
    folder."""
    path = Path(name).expanduser()
    if not path.is_file() or (not looks_like_path(name) and name in built_in(kind)):
        return name
    seen = os.path.relpath(path.resolve(), folder.resolve())
    return seen if looks_like_path(seen) else f".{os.sep}{seen}"
