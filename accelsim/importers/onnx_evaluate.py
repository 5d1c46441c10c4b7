"""onnx's own evaluator of graphs and nodes, with an operator that it gets wrong put right."""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.importers.onnx_values import Array

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


def evaluate(
    proto: "ModelProto | NodeProto",
    feeds: Mapping[str, Array],
    outputs: list[str] | None = None,
    opsets: Mapping[str, int] | None = None,
) -> list[Array]:
    """Outputs (all, or those that are named) of a graph or of a single node, for which opsets by domain are needed.

    Raises
    ------
    Exception
        Of whatever class an operator of the evaluator raises, where it does not know one or its inputs do not fit.
    """
    from onnx.reference import ReferenceEvaluator

    known = None if opsets is None else dict(opsets)
    results: Any = ReferenceEvaluator(proto, opsets=known, new_ops=[_gather_elements()]).run(outputs, dict(feeds))
    return [np.asarray(result) for result in results]


@functools.cache
def _gather_elements() -> type:
    """The operator GatherElements: the evaluator's own takes wrong rows of tables of more than 32 (onnx 1.23)."""
    from onnx.reference.op_run import OpRun

    class GatherElements(OpRun):
        def _run(self, data: Array, indices: Array, axis: int | None = None) -> tuple[Array]:
            along = (axis or 0) % data.ndim
            cut = (slice(None) if each == along else slice(extent) for each, extent in enumerate(indices.shape))
            return (np.take_along_axis(data[tuple(cut)], indices.astype(np.int64), along),)

    return GatherElements
