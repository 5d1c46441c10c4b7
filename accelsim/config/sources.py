"""Where the figures of a machine come from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

WORDS = {
    "kind", "name", "description", "extends", "sources", "algorithm", "library", "sparse_library", "energy",
    "head_decision", "hdp", "integer_scores", "integer_dataflow", "shared_array",
    "measured_as", "accuracy", "of_gpu", "gpu_digest", "formats", "table", "table_digest", "stack", "dataset",
    "sweep_rows", "sweep_sizes",
}  # fmt: skip
"""Keys that name, explain or choose something; the others are figures and need a source."""


@dataclass(frozen=True)
class Figure:
    """One figure of a spec."""

    path: str
    """Dotted, from the spec that was asked about."""
    value: str | int | float
    """With its unit when it has one."""
    source: str | None
    """None when the spec gives none."""

    @property
    def is_default(self) -> bool:
        """Whether the figure rests on no source."""
        return self.source is None or self.source.startswith("default")


def figures(spec: BaseModel) -> list[Figure]:
    """Every figure of a spec of hardware, in the order of its fields.

    Parameters
    ----------
    spec : System, Gpu, AttentionUnit, Library or EnergyTable
        The longest entry of its (or its part's) ``sources`` that is a prefix of a figure's path is the figure's source.
    """
    return list(_figures(spec.model_dump(mode="json"), (), (), {}))


def covers(prefix: str, path: str) -> bool:
    """Whether a source given for `prefix` stands for `path`."""
    return path == prefix or path.startswith(f"{prefix}.")


def source_of(sources: dict[str, str], path: str) -> str | None:
    """Entry of ``sources`` that stands for a dotted path: the longest one that is a prefix of it."""
    matching = [prefix for prefix in sources if covers(prefix, path)]
    return sources[max(matching, key=len)] if matching else None


def _figures(node: Any, path: tuple[str, ...], top: tuple[str, ...], sources: dict[str, str]) -> Iterator[Figure]:
    if isinstance(node, dict):
        if "sources" in node:
            top, sources = path, node["sources"]
        for key, value in node.items():
            if key not in WORDS:
                yield from _figures(value, (*path, str(key)), top, sources)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _figures(value, (*path, str(index)), top, sources)
    elif node is not None:
        yield Figure(".".join(path), node, source_of(sources, ".".join(path[len(top) :])))
