"""Masks of a network's weights under a scheme: from the weights, recorded by an earlier run, or from a seed."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from accelsim.config.pattern_options import PatternOptions
from accelsim.config.scheme import RunConfig, SchemeName
from accelsim.errors import MappingError
from accelsim.model.graph import Gemm, Network
from accelsim.pruning.masks import Mask
from accelsim.pruning.patterns import as_mask, prune
from accelsim.pruning.recorded import read_masks, recorded_mask, recorded_tiles
from accelsim.pruning.seeded_patterns import seeded_pattern_mask


def prunes_weights(scheme: SchemeName) -> bool:
    """Whether a scheme prunes weights."""
    return scheme not in ("dense", "hdp", "dense_on_unit")


def prunable(network: Network) -> tuple[Gemm, ...]:
    """GEMMs whose weights are pruned: all with weights but a model's first and last, its embedding and classifier."""
    return tuple(
        operation
        for operation in network.operations
        if isinstance(operation, Gemm)
        and operation.weight is not None
        and not operation.weight.startswith(("embed.", "classifier."))
    )


def weight_masks(
    network: Network, config: RunConfig, parameters: Mapping[str, NDArray[np.float32]] | None
) -> dict[str, Mask]:
    """Masks of all prunable weights: from the weights' magnitude; without values recorded or seeded.

    Parameters
    ----------
    network : Network
    config : RunConfig
        Its scheme's options name the pattern.
    parameters : mapping or None
        Weights by name; None when values are off.

    Raises
    ------
    MappingError
        For a granularity above a layer's columns.
    OperandError
        For recorded masks that do not fit or are not of the pattern.
    """
    options = config.pattern_options
    if options is None:
        return {}
    shapes = {gemm.weight: (gemm.k, gemm.n) for gemm in prunable(network) if gemm.weight is not None}
    _check_granularity(options, config.scheme, shapes)
    if parameters is not None:
        return prune({name: parameters[name] for name in shapes}, options.pattern)
    if config.masks is not None:
        return _recorded(config.masks, options, shapes)
    uneven = getattr(options, "uneven", 0.0)
    return {
        name: seeded_pattern_mask(k, n, options.pattern, (config.seed, index), uneven)
        for index, (name, (k, n)) in enumerate(shapes.items())
    }


def _check_granularity(options: PatternOptions, scheme: str, shapes: dict[str, tuple[int, int]]) -> None:
    granularity = getattr(options, "granularity", 0)
    for name, (_, n) in shapes.items():
        if granularity > n:
            raise MappingError(
                f"{scheme.partition('+')[0]}.granularity is {granularity}, more than the {n} columns of {name}; "
                f"at most {min(columns for _, columns in shapes.values())} fits every pruned layer"
            )


def _recorded(path: str, options: PatternOptions, shapes: dict[str, tuple[int, int]]) -> dict[str, Mask]:
    """Masks of a file, as masks of the pattern."""
    recorded, pattern = read_masks(path), options.pattern
    return {
        name: as_mask(
            pattern, recorded_mask(recorded, name, shape, path), name, recorded_tiles(recorded, name, shape, path)
        )
        for name, shape in shapes.items()
    }
