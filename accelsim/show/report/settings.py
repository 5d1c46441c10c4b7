"""Where a result comes from: its config with the sources of its figures, what rests on defaults, and versions."""

import json
from collections.abc import Iterator, Mapping, Sequence

from accelsim.results.diff import flatten, settings
from accelsim.results.parts import defaults
from accelsim.results.result import Result
from accelsim.show.report.blocks import Code, Folded, Note, Section
from accelsim.show.report.tables import Column, table

_TEXT = {"description", "sources", "citations"}


def config_section(results: Sequence[Result]) -> Section:
    """Config of the first result, what the others change of it, and what rests on no source."""
    first = results[0]
    config = first.provenance.get("config") or {}
    blocks: list[object] = [_defaults(results)]
    changed = _changed(results)
    if changed:
        columns = [Column("setting", "path", number=False)]
        columns += [Column(result.scheme, result.scheme, number=False) for result in results]
        blocks.append(table("Where the schemes' settings differ", columns, changed))
    columns = [Column(title, title, number=False) for title in ("setting", "value", "source")]
    rows: list[dict[str, object]] = [
        {"setting": path, "value": value, "source": source} for path, value, source in _settings(config)
    ]
    title = f"All settings{f' of {first.scheme}' if len(results) > 1 else ''} with their sources"
    blocks.append(Folded(f"{title} ({len(rows)})", [table("", columns, rows)]))
    text = json.dumps(first.provenance, indent=2, ensure_ascii=False)
    blocks.append(Folded("The same as JSON", [Code(text)]))
    lead = "The same config gives the same result, to the byte. What is left at nothing is not listed."
    return Section("config", "Config and provenance", blocks, lead)


def facts(results: Sequence[Result]) -> list[tuple[str, str]]:
    """What the head of a page says of results: engine, seed, operands, version, config."""
    first = results[0]
    found = [
        ("engine", str(first.summary["engine"])),
        ("seed", str(first.summary["seed"])),
        ("operands", str(first.summary["operands"])),
        ("accelsim", str(first.provenance.get("accelsim", "unknown"))),
    ]
    if len(results) == 1:
        found.append(("config", str(first.provenance.get("config_hash", "unknown"))[:12]))
    return found


def _defaults(results: Sequence[Result]) -> object:
    found = sorted({path for result in results for path in defaults(result)})
    if not found:
        return Note(["Every figure of the machine has a source."])
    return Folded(f"Defaults, not measurements or published figures ({len(found)})", [Note(found)])


def _changed(results: Sequence[Result]) -> list[dict[str, object]]:
    """Settings in which a result differs from the first, with the values of all."""
    flat = [dict(flatten(result.provenance.get("config") or {})) for result in results]
    paths = dict.fromkeys(one.path for other in flat[1:] for one in settings(flat[0], other))
    names = [result.scheme for result in results]
    return [
        {"path": path, **{name: _text(one.get(path)) for name, one in zip(names, flat, strict=True)}} for path in paths
    ]


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _settings(config: object) -> Iterator[tuple[str, str, str]]:
    """Path, value and source of every setting that has a value."""
    if isinstance(config, dict):
        yield from _below(config, "", {})


def _below(node: Mapping[str, object], path: str, sources: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    own = node.get("sources")
    if isinstance(own, dict):
        sources = {**sources, **{f"{path}{key}": str(text) for key, text in own.items()}}
    for key, value in node.items():
        here = f"{path}{key}"
        if key in _TEXT or value is None:
            continue
        if isinstance(value, dict) and value:
            yield from _below(value, f"{here}.", sources)
        else:
            yield here, str(_text(value)), _source(here, sources)


def _source(path: str, sources: Mapping[str, str]) -> str:
    """The source of a path, or of what it is part of."""
    while path:
        if path in sources:
            return sources[path]
        path = path.rpartition(".")[0]
    return ""
