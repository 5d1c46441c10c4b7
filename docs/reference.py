"""Reference pages made from the code: config keys from the specs, options from the commands."""

import inspect
import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from accelsim.config import hardware, options, quantity, workload
from accelsim.config.accuracy import Accuracy
from accelsim.config.actions import ACTIONS, STATIC
from accelsim.config.attention_unit import accelerator_of, algorithms
from accelsim.config.base import Spec
from accelsim.config.pattern_options import PATTERN_OPTIONS
from accelsim.config.patterns import PATTERNS
from accelsim.config.quantity import CANONICAL, UNITS
from accelsim.config.schedules import Schedule
from accelsim.explore.sweep import SweepSpec
from accelsim.explore.tune import Limits, TuneSpec

_DIMENSIONS = {getattr(quantity, dimension.capitalize()): dimension for dimension in UNITS}
_PLAIN = {int: "whole number", float: "number", str: "text", bool: "true or false", Any: "any value"}
_EVERYWHERE = ("kind", "algorithm", "type", "name", "description", "sources")
_BOUNDS = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))

_SECTIONS: tuple[tuple[str, str, tuple[type[Spec], ...]], ...] = (
    (
        "Hardware",
        "Files below `hwconfigs/`, or your own. A GPU stands alone or as part of a system; `--set` reaches it as\n"
        "`hardware.gpu.KEY`, and as `hardware.KEY` where it stands alone.",
        (hardware.System,),
    ),
    (
        "Attention unit",
        "Files of `hwconfigs/attention/`; what is computed (`algorithm`) says which table holds. A system takes units\n"
        "of `hdp`; [comparisons](attention.md) take all.",
        tuple(accelerator_of(algorithm).spec for algorithm in algorithms()),
    ),
    ("Library", "Menus of kernels, `hwconfigs/libraries/`.", (hardware.Library,)),
    ("Energy", "Tables of energy per action, `hwconfigs/energy/`.", (hardware.EnergyTable,)),
    ("Accuracy", "Held-out errors of a GPU, `hwconfigs/accuracy/`; `accelsim accuracy-hw` writes them.", (Accuracy,)),
    (
        "Workload",
        "Files below `workloads/`, or your own; `--set workload.KEY=VALUE`.",
        (
            workload.GemmWorkload,
            workload.AttentionWorkload,
            workload.EncoderWorkload,
            workload.VisionWorkload,
            workload.TextWorkload,
            workload.NetworkWorkload,
            workload.GraphWorkload,
        ),
    ),
    (
        "Options of a run",
        "`--set mapping.KEY=VALUE` and so on.",
        (options.Mapping, *PATTERN_OPTIONS.values(), options.Hdp),
    ),
    (
        "Pattern",
        "Which weights go, for `accelsim prune`; its `kind` is the pattern's name. See [patterns](patterns.md).",
        tuple(PATTERNS.values()),
    ),
    ("Schedule", "Stages of gradual pruning, `workloads/schedules/`.", (Schedule,)),
    ("Sweep", "Files of kind `sweep`, for `accelsim sweep`.", (SweepSpec,)),
    ("Tune", "Files of kind `tune`, for `accelsim tune`.", (TuneSpec, Limits)),
)
_TITLES: dict[type[Spec], str] = {
    options.Mapping: "mapping",
    options.Hdp: "hdp",
    hardware.Dram: "DRAM",
    **{spec: key for key, spec in PATTERN_OPTIONS.items()},
}

_HEAD = """\
# Config keys

<!-- Made by docs/generate.py from the specs; edit their docstrings instead. -->

Every key of every YAML file, with its default and what it may be. A key that is not listed here is an error that names
the file, the line and what is allowed.

- A file's (or a pattern's) `kind` says which table holds: {kinds}.
- `extends: NAME-OR-PATH` at the top of a file takes everything from another file of the same kind and changes what is
  given again: mappings key by key, everything else as a whole. A path is relative to the file that holds it.
- Any file may have a `name` (its file name when left out) and a `description`. Hardware files have `sources`: for each
  key (or the prefix of some) where its figure comes from, or the word `default`. A figure that is changed without a
  source counts as a default, and results list it as one.
- A quantity is a number and a unit, as in `192 KiB`; a bare number is an error.

| quantity | units |
|---|---|
{units}

"""


def config_page() -> str:
    """docs/config.md."""
    kinds = ", ".join(f"`{kind}`" for kind in dict.fromkeys(_kinds()))
    units = "\n".join(f"| {dimension} | {', '.join(f'`{unit}`' for unit in UNITS[dimension])} |" for dimension in UNITS)
    parts = [_HEAD.format(kinds=kinds, units=units)]
    shown: set[type[Spec]] = set().union(*(specs for _, _, specs in _SECTIONS))
    for title, text, specs in _SECTIONS:
        tables = [_table(each) for spec in specs for each in (spec, *_parts(spec, shown))]
        parts.append(f"## {title}\n\n{text}\n\n" + "\n".join(tables))
        if hardware.EnergyTable in specs:
            parts.append(_actions())
    return "\n".join(parts).rstrip("\n") + "\n"


def _parts(spec: type[Spec], shown: set[type[Spec]]) -> Iterator[type[Spec]]:
    """Specs that are values of a spec's keys, each with its own, that have no table yet; notes them in `shown`."""
    for hint in get_type_hints(spec, include_extras=True).values():
        for part in _specs_in(hint):
            if part not in shown:
                shown.add(part)
                yield part
                yield from _parts(part, shown)


def _specs_in(hint: Any) -> Iterator[type[Spec]]:
    if isinstance(hint, type) and issubclass(hint, Spec):
        yield hint
    for argument in get_args(hint):
        yield from _specs_in(argument)


def _kinds() -> Iterator[str]:
    for _, _, specs in _SECTIONS:
        for spec in (each for top in specs for each in (top, *_parts(top, set(specs)))):
            if "kind" in spec.model_fields and spec not in _TITLES:
                yield from get_args(spec.model_fields["kind"].annotation)


def _table(spec: type[Spec]) -> str:
    hints = get_type_hints(spec, include_extras=True)
    rows = []
    for key, field in spec.model_fields.items():
        if key not in _EVERYWHERE:
            hint = hints[key]
            cells = (f"`{key}`", _type(hint), _default(field), _allowed(hint, field), _prose(field.description))
            rows.append(f"| {' | '.join(cells)} |")
    head = "| key | type | default | allowed | |\n|---|---|---|---|---|"
    return "\n".join([f"### {heading(spec)}\n", _prose(inspect.getdoc(spec)) + "\n", head, *rows, ""])


def heading(spec: type[Spec]) -> str:
    """Title of a spec's table: its kind, or its name in words."""
    for key in ("algorithm", "kind", "type"):
        if key in spec.model_fields and spec not in _TITLES:
            word = get_args(spec.model_fields[key].annotation)[0]
            return f"{key}: {word}"
    return _TITLES.get(spec) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", spec.__name__).capitalize()


def _prose(text: str | None) -> str:
    return " ".join((text or "").replace("``", "`").split()).replace("|", "\\|")


def _type(hint: Any) -> str:
    if hint in _DIMENSIONS:
        dimension = _DIMENSIONS[hint]
        return f"{dimension}, as `{_EXAMPLES[dimension]}`"
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _type(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(each) for each in arguments if each is not type(None)))
    if origin is Literal:
        return "word"
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"for each key, {_type(arguments[1])}"
    title = heading(hint)
    return f"[{title}](#{re.sub(r'[^a-z0-9_ -]', '', title.lower()).replace(' ', '-')})"


_EXAMPLES = {
    "bytes": "192 KiB",
    "frequency": "1.41 GHz",
    "bandwidth": "2039 GB/s",
    "rate": "128 B/cycle",
    "cycles": "900 cycles",
    "time": "1.36 us",
    "energy": "0.46 pJ",
    "power": "55 W",
    "area": "2.1 mm2",
    "length": "7 nm",
}
assert _EXAMPLES.keys() == CANONICAL.keys()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None or value == "" or value == {} or value == []:
        return "none"
    if isinstance(value, Spec):
        return "its defaults"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"


def _allowed(hint: Any, field: FieldInfo) -> str:
    words = ", ".join(f"`{word}`" for word in _words(hint))
    bounds = [
        f"{sign} {getattr(item, name):g}"
        for item in field.metadata
        for name, sign in _BOUNDS
        if getattr(item, name, None) is not None
    ]
    return words or " and ".join(bounds)


def _words(hint: Any) -> Iterator[str]:
    if get_origin(hint) is Literal:
        yield from get_args(hint)
        return
    if get_origin(hint) in (dict, Union, types.UnionType):
        for argument in get_args(hint):
            yield from _words(argument)


def _actions() -> str:
    rows = [f"| `actions.{name}` | {text} |" for name, text in ACTIONS.items()]
    rows += [f"| `static_power.{name}` | {text} |" for name, text in STATIC.items()]
    return "\n".join(["### What energy is counted in", "", "| key | one of it |", "|---|---|", *rows, ""])


_OPTION_WORD = re.compile(r"(?<![`\w-])(--[a-z-]+)")


def options_table(words: list[str]) -> str:
    """Arguments and options of a command such as ``["hw", "show"]`` as a Markdown table."""
    import typer.main

    from accelsim.cli.entry import app

    command: Any = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    rows = ["| | default | |", "|---|---|---|"]
    for parameter in command.params:
        is_argument = parameter.param_type_name == "argument"
        names = parameter.metavar or parameter.name.upper() if is_argument else _option(parameter)
        is_plain = is_argument or parameter.default is None or parameter.default is False
        default = "" if is_plain else f"`{_shown(parameter)}`"
        text = _OPTION_WORD.sub(r"`\1`", _prose(parameter.help))
        names = names.replace("|", "\\|")  # or it would end the cell, even in code
        rows.append(f"| `{names}` | {default} | {text} |")
    return "\n".join(rows) + "\n"


def _option(parameter: Any) -> str:
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    if parameter.is_flag:
        return names
    return f"{names} {parameter.metavar or parameter.name.upper()}"


def _shown(parameter: Any) -> str:
    if parameter.is_flag:
        return parameter.opts[0] if parameter.default else parameter.secondary_opts[0]
    return str(parameter.default)


_OPTIONS = re.compile(r"(<!-- options: ([a-z -]+?) -->\n).*?(<!-- end of options -->)", re.S)


def with_options(page: str) -> str:
    """A page with the tables between its ``<!-- options: COMMAND -->`` markers as the commands are now."""
    return _OPTIONS.sub(lambda match: f"{match[1]}\n{options_table(match[2].split())}\n{match[3]}", page)
