"""The free text beside a measurement: how it was taken, as far as it tells."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

Launch = Literal["graph", "stream", "sync", "kernel"]
Warm = Literal["none", "activations", "weights", "both"]

LAUNCHES: tuple[Launch, ...] = ("graph", "stream", "sync", "kernel")
WARM: tuple[Warm, ...] = ("none", "activations", "weights", "both")
STRATEGIES = ("merged", "padded_batch", "stream")

_SERVING_COPIES = 6
"""Copies of an operation, each with weights of its own, in a replay of aiconfigurator's collector."""


@dataclass(frozen=True)
class Conditions:
    """How a row was measured. None: nothing tells, so the default of the simulated machine and workload holds."""

    library: str | None = None
    """cublas, cutlass, cusparselt, spatha, flash_attention, ..."""
    stack: str | None = None
    """Serving stack that calls the library: trtllm, vllm or sglang."""
    op_a: str | None = None
    """N, or T where A is stored transposed."""
    op_b: str | None = None
    order: str | None = None
    """row or column: how matrices lie in memory."""
    launch: Launch | None = None
    """Replayed from a graph, launched in a stream, launched and waited for, or the kernel's time alone (without any
    launch)."""
    copies: int | None = None
    """Copies of the weights that are gone through in turn: they stay in L2 if all of them fit."""
    warm: Warm | None = None
    """What lies in L2 at the start, whatever the copies."""
    strategy: str | None = None
    """Of a tile-wise product: merged, padded_batch or stream."""
    granularity: int | None = None
    """Of a tile-wise product: kept columns per tile."""
    pattern: str | None = None
    """Of a V:N:M product: ``128:2:10``."""
    tile: tuple[int, int, int] | None = None
    """tile_m, tile_n and tile_k of the kernel."""
    stages: int | None = None
    split_k: int | None = None
    flaw: str | None = None
    """What the notes hold against the kernel, in their words: no menu stands for such a one."""
    unknown: tuple[str, ...] = ()
    """Parts of the notes that nobody knows."""


_Fields = dict[str, Any]
_Rule = tuple[str, Callable[[re.Match[str]], _Fields]]


def _tile(match: re.Match[str]) -> _Fields:
    stages = {} if match[4] is None else {"stages": int(match[4])}
    return {"tile": (int(match[1]), int(match[2]), int(match[3])), **stages}


def _always(**fields: Any) -> Callable[[re.Match[str]], _Fields]:
    return lambda match: fields


_RULES: tuple[_Rule, ...] = (
    # Serving stacks, as aiconfigurator measures them: a graph of copies with distinct weights, products by cuBLAS.
    (r"(trtllm|vllm|sglang)[_/]v?\d[\w.+-]*", lambda match: {
        "library": "cublas", "copies": _SERVING_COPIES, "stack": match[1].lower(),
    }),
    (r"cuda[_ ]?graph|graph", _always(launch="graph")),
    (r"stream|eager", _always(launch="stream")),
    (r"kernel(?:[_ ]time)?|nsys|ncu", _always(launch="kernel")),
    # DeepBench repeats one product on the same operands, launch after launch.
    (r"(?:\w+/)?DeepBench_\w+\.xlsx", _always(library="cublas", launch="stream", copies=1)),
    (r"op_?([AaBb])=([NnTt])", lambda match: {f"op_{match[1].lower()}": match[2].upper()}),
    (r"col(?:umn)?[_-]?major", _always(order="column")),
    (r"row[_-]?major", _always(order="row")),
    (r"cublas(?:Lt|GemmEx)?(?: .*)?", _always(library="cublas")),
    (r"nn\.Linear dense", _always(library="cublas")),
    # The tile-wise experiments wait for the device after each product: a dense kernel, or one for each weight tile in a
    # stream of its own.
    (r"CUTLASS1\.3 volta884", _always(library="cutlass", launch="sync")),
    (r"StreamMaskedGEMM", _always(library="cutlass", launch="sync", strategy="stream")),
    (r"cutlass *v?[\d.]*(?: \w+)?", _always(library="cutlass")),
    (r"cusparselt(?: v?[\d.]+)?", _always(library="cusparselt")),
    (r"spatha(?: V=(\d+) (\d+):(\d+))?", lambda match: {
        "library": "spatha", **({} if match[1] is None else {"pattern": f"{match[1]}:{match[2]}:{match[3]}"}),
    }),
    (r"(?:best )?tile (\d+)x(\d+)x(\d+)(?: stages=(\d+))?", _tile),
    (r"(?:\w+_)?flash_attn(?:_fa\d)?|flash_attention|torch_flow", _always(library="flash_attention")),
    (r"(?:bad|untuned) kernel.*", lambda match: {"flaw": match[0].lower()}),
    (r"library=(\w+)", lambda match: {"library": match[1].lower()}),
    (r"stack=(\w+)", lambda match: {"stack": match[1].lower()}),
    (rf"launch=({'|'.join(LAUNCHES)})", lambda match: {"launch": match[1].lower()}),
    (r"copies=([1-9]\d*)", lambda match: {"copies": int(match[1])}),
    (rf"warm=({'|'.join(WARM)})", lambda match: {"warm": match[1].lower()}),
    (r"pattern=([1-9]\d*:[1-9]\d*:[1-9]\d*)", lambda match: {"pattern": match[1]}),
    (rf"strategy=({'|'.join(STRATEGIES)})", lambda match: {"strategy": match[1].lower()}),
    (r"(?:granularity|G)=([1-9]\d*)", lambda match: {"granularity": int(match[1])}),
    # Remarks that change nothing here: repeats, dates, accumulators, counts that follow from the sparsity.
    (r"tensor[_ ]?cores?|fp32acc|median.*|mean.*|run\d+|\d{4}-\d\d-\d\d", _always()),
    (r"batch=\d+(?: folded into [mnk])?|[NK]_pruned=\d+|sparse=[AB]\(\w+\)", _always()),
)  # fmt: skip
"""What a part of the notes tells, by its whole text; a later part overrides an earlier one."""

_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), fields) for pattern, fields in _RULES)


def parse_notes(notes: str) -> Conditions:
    """What notes tell of how a row was measured.

    Parameters
    ----------
    notes : str
        Parts separated by semicolons: the forms of aiconfigurator, DeepBench, VENOM, TileSparsity and PyTorch's
        semi-structured sparsity, or ``key=value`` (library, stack, opA, opB, launch, copies, warm, strategy, G,
        pattern).

    Returns
    -------
    Conditions
        Parts that no rule knows stand in its `unknown`.

    Examples
    --------
    >>> parse_notes("trtllm_1.0.0;cuda_graph").launch
    'graph'
    """
    found: _Fields = {}
    unknown = []
    for part in filter(None, (part.strip() for part in notes.split(";"))):
        fields = _known(part)
        if fields is None:
            unknown.append(part)
        else:
            found |= fields
    return replace(Conditions(), **found, unknown=tuple(unknown))


def _known(part: str) -> _Fields | None:
    for pattern, fields in _COMPILED:
        match = pattern.fullmatch(part)
        if match is not None:
            return fields(match)
    return None
