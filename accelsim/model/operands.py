"""Operands of a run from wherever they come: a user's file, trained weights with images or texts, or a seed."""

from accelsim.config.scheme import RunConfig
from accelsim.config.workload import GraphWorkload, TextWorkload, VisionWorkload
from accelsim.model.drawing import draw_operands
from accelsim.model.graph import Network
from accelsim.model.graph_data import load_graph
from accelsim.model.operand_files import load_operands
from accelsim.model.operand_set import OperandSet
from accelsim.model.text_data import load_text
from accelsim.model.vision import load_vision

__all__ = ["OperandSet", "draw_operands", "prepare_operands"]


def prepare_operands(network: Network, config: RunConfig) -> OperandSet | None:
    """Inputs and parameters of a run's network; None when its values are off.

    Parameters
    ----------
    network : Network
        What `build_network` made of the config's workload.
    config : RunConfig
        A file of operands takes precedence over what the workload says; `workload_for_operands` gives the workload the
        file's sizes.

    Raises
    ------
    OperandError
        When operands cannot be read, do not fit, or are not finite in the network's format.
    """
    if not config.values:
        return None
    if config.operands is not None and not isinstance(config.workload, GraphWorkload):
        return load_operands(config.operands, network)
    if isinstance(config.workload, VisionWorkload):
        return load_vision(config.workload, network, config.seed)
    if isinstance(config.workload, TextWorkload):
        return load_text(config.workload, network, config.seed)
    if isinstance(config.workload, GraphWorkload):
        return load_graph(config.workload, network, config.seed)
    return draw_operands(network, config.workload.operands, config.seed, network.dtype)
