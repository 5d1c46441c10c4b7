"""Operands of a workload from wherever it has them: a user's file, trained weights and images, or a seed."""

from pathlib import Path

from accelsim.config.workload import VisionWorkload, Workload
from accelsim.model.graph import Network
from accelsim.model.operand_files import load_operands
from accelsim.model.operands import OperandSet, draw_operands
from accelsim.model.vision import load_vision


def prepare_operands(workload: Workload, network: Network, seed: int, path: str | Path | None = None) -> OperandSet:
    """Inputs and parameters of a workload's network.

    Parameters
    ----------
    workload : Workload
        Says how operands are drawn, or where trained weights and images lie.
    network : Network
        What `build_network` made of it.
    seed : int
        Of drawn operands.
    path : str or Path, optional
        A user's .npz, which takes precedence; `workload_for_operands` gives the workload its sizes.

    Raises
    ------
    OperandError
        When operands cannot be read, do not fit, or are not finite in the network's format.
    """
    if path is not None:
        return load_operands(path, network)
    if isinstance(workload, VisionWorkload):
        return load_vision(workload, network)
    return draw_operands(network, workload.operands, seed, network.dtype)
