"""From a document to a spec; pydantic's complaints become lines of ``file:line: key.path: what, allowed``."""

import re
import types
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from accelsim.config.names import near
from accelsim.config.yaml import Document, KeyPath, describe
from accelsim.errors import ConfigError

SpecT = TypeVar("SpecT", bound=BaseModel)

_NEEDED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "finite_number": "a finite number",
    "too_short": "at least one entry",
}

_COMPARED = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def build(spec: type[SpecT], document: Document, root: str) -> SpecT:
    """Validate a document.

    Parameters
    ----------
    spec : type
        The spec's class.
    document : Document
        Plain data with places.
    root : str
        What the document is called in messages and in ``--set``: hardware, workload, hdp, ...

    Raises
    ------
    ConfigError
        One message with a line for each problem.
    """
    try:
        return spec.model_validate(document.data)
    except ValidationError as error:
        lines = [problem_line(spec, document, root, detail) for detail in error.errors()]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from None


def kind_of(document: Document, allowed: tuple[str, ...], root: str) -> str:
    """The ``kind`` that a document says it is of.

    Raises
    ------
    ConfigError
        When it says none, or one that is not allowed here.
    """
    kind: Any = document.data.get("kind")
    if kind in allowed:
        return str(kind)
    place = document.place(("kind",))
    problem = f"missing key 'kind'; {near('', allowed)}"
    if kind is not None:
        problem = f"{describe(kind)} is not allowed; {near(str(kind), allowed)}"
    raise ConfigError(f"{place}: {dotted((root, 'kind'))}: {problem}")


def problem_line(spec: type[BaseModel], document: Document, root: str, detail: ErrorDetails) -> str:
    """One of pydantic's errors as a line with place, path, what is wrong and what is allowed."""
    path, owner = _locate(spec, detail["loc"])
    what = _what(path, owner, detail)
    where = str(document.place(path))
    if detail["type"] == "value_error":
        # A rule over several fields: options that touched them may be the cause.
        below = [place for at, place in document.places.items() if at[: len(path)] == path]
        options = {str(place) for place in below if place.option} - {where}
        where += f" (with {', '.join(sorted(options))})" if options else ""
    return f"{where}: {dotted((root, *path))}: {what}"


def dotted(path: KeyPath) -> str:
    """A path as messages and options write it."""
    return ".".join(map(str, path))


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Specs that an annotation allows: none, one, or the members of a tagged union."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _models(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [model for member in get_args(annotation) for model in _models(member)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def _tagged(models: list[type[BaseModel]], tag: str) -> type[BaseModel]:
    """Member of a tagged union whose ``kind`` or ``type`` is `tag`."""
    for model in models:
        for name in ("kind", "type"):
            if name in model.model_fields and tag in get_args(model.model_fields[name].annotation):
                return model
    raise LookupError(tag)


def _locate(spec: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[KeyPath, type[BaseModel] | None]:
    """Path in the data for pydantic's location (which also holds tags of unions), and the spec around its end."""
    path: list[int | str] = []
    annotation: Any = spec
    owner: type[BaseModel] | None = None
    for segment in loc:
        models = _models(annotation)
        if segment == "[key]":
            continue
        if len(models) > 1:
            annotation = _tagged(models, str(segment))
            continue
        path.append(segment)
        owner = models[0] if models else None
        if owner is not None:
            field = owner.model_fields.get(str(segment))
            annotation = field.annotation if field else None
        else:
            members = get_args(annotation)
            annotation = members[-1] if members else None
    return tuple(path), owner


def _what(path: KeyPath, owner: type[BaseModel] | None, detail: ErrorDetails) -> str:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden" and owner is not None:
        return f"unknown key {path[-1]!r}; {near(str(path[-1]), owner.model_fields)}"
    if kind == "missing":
        meaning = owner.model_fields[str(path[-1])].description if owner is not None else None
        return f"missing key {path[-1]!r}" + (f": {' '.join(meaning.split())}" if meaning else "")
    if kind == "value_error":
        return str(context["error"])
    if kind in ("literal_error", "union_tag_invalid"):
        allowed = re.findall(r"'([^']*)'", str(context.get("expected", context.get("expected_tags"))))
        word = context.get("tag", given)
        return f"{_brief(word)} is not allowed; {near(str(word), allowed)}"
    if kind == "union_tag_not_found":
        return f"missing key {context['discriminator']}"
    if kind in _COMPARED:
        words, limit = _COMPARED[kind]
        return f"must be {words} {context[limit]}, not {_brief(given)}"
    if kind in _NEEDED:
        return f"needs {_NEEDED[kind]}, not {_brief(given)}"
    return f"{detail['msg']}, not {_brief(given)}"


def _brief(value: Any) -> str:
    text = describe(value) if isinstance(value, dict | list | bool | int | float | str | None) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
