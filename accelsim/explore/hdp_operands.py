"""Q, K and V of a network's attentions, for calibrating HDP: which variant, which mean keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from accelsim.config.loader import load_config, load_library
from accelsim.config.workload import Workload
from accelsim.errors import MappingError
from accelsim.execution import execute, parameters_of
from accelsim.machine.attention.accelerator import Operands
from accelsim.mapping.network import plan_network
from accelsim.model.attention import split_heads
from accelsim.model.build import build_network
from accelsim.model.graph import Attention, Network
from accelsim.model.key_means import mean_keys, write_key_means
from accelsim.model.operands import prepare_operands

MACHINE = "edge_array"
"""Whose kernels compute the network; values are those of any machine but for rounding."""


@dataclass(frozen=True)
class CapturedAttention:
    """Operands of one attention of a network that ran without pruning."""

    name: str
    heads: int
    """Of one input; the operands hold those of the first input, then those of the next."""
    operands: Operands


class _WithOperands(Network):
    """A network that hands out what its attentions read, beside its results."""

    @property
    def results(self) -> tuple[str, ...]:
        read = [
            tensor
            for operation in self.operations
            if isinstance(operation, Attention)
            for tensor in (operation.query, operation.key, operation.value)
        ]
        return tuple(dict.fromkeys((*super().results, *read)))


def attention_operands(workload: str | Path | Workload, sets: Sequence[str] = ()) -> tuple[CapturedAttention, ...]:
    """Run a workload without pruning and keep Q, K and V of each attention.

    Parameters
    ----------
    workload
        Name, path or spec; a trained one brings its images, others operands from a seed.
    sets : sequence of str
        Settings such as ``workload.split=calibration``.

    Raises
    ------
    MappingError
        When the workload has no attention.
    """
    config = load_config(MACHINE, workload, scheme="dense", sets=sets)
    network = build_network(config.workload)
    attentions = [operation for operation in network.operations if isinstance(operation, Attention)]
    if not attentions:
        raise MappingError(f"workload {network.name} has no attention to take operands from")
    network = _WithOperands(**vars(network))
    operands = prepare_operands(network, config)
    plan = plan_network(network, config, load_library(config.hardware.gpu.library), parameters_of(operands))
    tensors = execute(plan, config, operands).results
    captured = []
    for each in attentions:
        query, key, value = (split_heads(tensors[name], each) for name in (each.query, each.key, each.value))
        lengths = None if each.lengths is None else np.repeat(np.asarray(each.lengths, np.int64), each.heads)
        captured.append(CapturedAttention(each.name, each.heads, Operands(query, key, value, lengths)))
    return tuple(captured)


def calibrate_key_means(workload: str | Path | Workload, path: str | Path, sets: Sequence[str] = ()) -> None:
    """Write the file that ``hdp.key_means`` names: mean keys of each attention over the inputs of a workload.

    Parameters
    ----------
    workload, sets
        As for `attention_operands`; take inputs that no result is told of, as ``workload.split=calibration``.
    path
        Of the .npz.
    """
    captured = attention_operands(workload, sets)
    means = {each.name: mean_keys(each.operands.key, each.heads, each.operands.real_length) for each in captured}
    write_key_means(path, means)
