"""An imported workload beside the graph that it was made of: both compute the same examples."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from accelsim.config.graph_workload import GraphWorkload
from accelsim.errors import OperandError
from accelsim.importers.onnx_evaluate import evaluate
from accelsim.importers.onnx_steps import Listed
from accelsim.importers.onnx_values import Array, Probed, View
from accelsim.importers.onnx_walk import Walk
from accelsim.model.graph_data import graph_inputs
from accelsim.model.graph_model import network_of
from accelsim.model.reference import reference_outputs

if TYPE_CHECKING:
    from onnx import ModelProto

TOLERANCE = 1e-3
"""Largest difference that is allowed, as a share of the largest output; float32's rounding makes about 1e-6."""
HALF_TOLERANCE = 3e-2
"""The same for graphs that compute in 16 bits, since the workload's side is computed in 64."""


def check_against_graph(model: "ModelProto", walk: Walk, listed: Listed, path: Path) -> str:
    """Compare the dense outputs of a workload with what onnx's own evaluator makes of the graph.

    One example is whole; where a mask hides padding, a second one is padded, and outputs of padding are not compared.

    Parameters
    ----------
    model : ModelProto
    walk : Walk
        That the workload came from.
    listed : Listed
    path : Path
        Of the model, for messages.

    Returns
    -------
    str
        A note with the largest difference, or why there is none.

    Raises
    ------
    OperandError
        When outputs differ by more than rounding.
    """
    largest = 0.0
    for example in (0, 1) if set(walk.masks) & set(listed.inputs) else (0,):
        feeds = _feeds(model, walk, example)
        try:
            with np.errstate(all="ignore"):
                (found,) = evaluate(model, feeds, [model.graph.output[0].name])
        except Exception as error:  # whatever an evaluator of all operators raises
            kind = type(error).__name__
            return f"outputs were not compared with those of the graph, which onnx does not evaluate ({kind})"
        ours, seen = _ours(walk, listed, feeds, example)
        expected = found.astype(np.float64)
        largest = max(largest, _difference(ours[seen], expected[seen]))
    if not largest <= (HALF_TOLERANCE if _is_half(model) else TOLERANCE):
        raise OperandError(
            f"{path}: the workload's outputs would differ from the graph's by {largest:.2g} of the largest one, so an "
            "operator means something else here than it was taken for; nothing was written"
        )
    return f"dense outputs equal those of the graph within {largest:.1e} of the largest, on random inputs"


def _feeds(model: "ModelProto", walk: Walk, example: int) -> dict[str, Array]:
    from onnx import helper

    generator = np.random.default_rng(example)
    feeds = {}
    for info in model.graph.input:
        kind = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
        known = walk.masks.get(info.name) or walk.inputs.get(info.name)
        if isinstance(known, Probed):
            feeds[info.name] = known.arrays[example].astype(kind)
        elif isinstance(known, View):
            feeds[info.name] = generator.standard_normal(known.shape).astype(kind)
    return feeds


def _is_half(model: "ModelProto") -> bool:
    from onnx import TensorProto

    halves = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    return any(tensor.data_type in halves for tensor in model.graph.initializer)


def _ours(walk: Walk, listed: Listed, feeds: dict[str, Array], example: int) -> tuple[Array, Array]:
    """Outputs of the workload in the graph's shape, and which of them do not belong to padding."""
    spec = listed.imported.workload
    assert isinstance(spec, GraphWorkload)
    mask = next((walk.masks[name].arrays[example] for name in listed.inputs if name in walk.masks), None)
    lengths = None if mask is None else mask.astype(np.int64).sum(axis=1)
    network = network_of(spec, listed.items, None if lengths is None else lengths.tolist(), keep_padding=True)
    given = {ours: feeds[name] for name, ours in listed.inputs.items() if name in walk.inputs}
    if walk.swapped:
        given = {name: np.swapaxes(array, 0, 1) if array.ndim > 1 else array for name, array in given.items()}
    inputs = graph_inputs(spec, given, listed.items, lengths)
    output = reference_outputs(network, inputs, listed.imported.weights, keep=(network.output,))[network.output]
    seen = np.ones(output.shape, np.bool_)
    if mask is not None and len(output) == mask.size:
        seen &= mask.astype(np.bool_).reshape(-1, 1)
    return output.reshape(-1)[listed.places], seen.reshape(-1)[listed.places]


def _difference(ours: Array, expected: Array) -> float:
    return float(np.abs(ours - expected).max() / max(np.abs(expected).max(), 1e-12))
