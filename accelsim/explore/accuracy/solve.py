"""Thresholds that prune a wanted share of the calibration inputs."""

from collections.abc import Callable

import numpy as np

from accelsim.config.options import Hdp
from accelsim.errors import MappingError
from accelsim.explore.accuracy.blocks import HdpMethod
from accelsim.explore.accuracy.forward import AttentionMethod, StudyModel, run_model
from accelsim.explore.accuracy.heads import HeadThresholds

_STEPS = 12
_NEAR = 0.003
"""A share this near to the wanted one is taken."""
_RHO_LIMIT = 0.999


def block_threshold(model: StudyModel, options: Hdp, ratio: float) -> float:
    """Row threshold `rho_b`, one for all layers, with which HDP prunes about `ratio` of the pairs of these inputs.

    What is pruned early changes what later layers see, so each trial is a whole forward pass; the share pruned grows
    with the threshold, and halving its range finds it.

    Raises
    ------
    MappingError
        When even the highest threshold, at which a block row keeps its largest blocks alone, prunes less.
    """

    def pruned(rho_b: float) -> float:
        return run_model(model, HdpMethod(with_threshold(options, rho_b))).pairs_pruned

    most = pruned(_RHO_LIMIT)
    if most < ratio - _NEAR:
        raise MappingError(
            f"HDP prunes at most {100 * most:.3g} % of the blocks of {model.name}, and {100 * ratio:g} % was asked for"
        )
    return _halved(pruned, ratio, -_RHO_LIMIT, _RHO_LIMIT)


def with_threshold(options: Hdp, rho_b: float) -> Hdp:
    """Options under which rows have a threshold, no head goes, and nothing is guarded."""
    update = {"selection": "threshold", "rho_b": rho_b, "tau_h": 0.0, "guard": "none"}
    return options.model_copy(update=update)


def head_thresholds(model: StudyModel, options: Hdp, ratio: float) -> tuple[float, ...]:
    """`tau_h` of each layer with which every layer loses `ratio` of its heads over these inputs, layer after layer.

    A threshold lies midway between the importances that it parts.

    Raises
    ------
    MappingError
        When the ratio would leave no head.
    """
    layers = len(model.attentions)
    thresholds = [0.0] * layers
    for layer in range(layers):
        trial = HeadThresholds(options, thresholds)
        run_model(model, trial)
        importance = np.sort(np.concatenate(trial.seen[layer]))
        below = round(ratio * len(importance))
        if below >= len(importance):
            raise MappingError(f"{100 * ratio:g} % of the heads leaves none; allowed: a share below 1")
        if below:
            thresholds[layer] = float(importance[below - 1] + importance[below]) / 2
    return tuple(thresholds)


def global_head_threshold(model: StudyModel, options: Hdp, ratio: float) -> float:
    """One `tau_h` for all layers with which `ratio` of the heads go over these inputs."""
    layers = len(model.attentions)
    trial = HeadThresholds(options, (0.0,) * layers)
    run_model(model, trial)
    highest = max(float(each.max()) for seen in trial.seen for each in seen)

    def pruned(tau_h: float) -> float:
        method: AttentionMethod = HeadThresholds(options, (tau_h,) * layers)
        return run_model(model, method).heads_pruned

    return _halved(pruned, ratio, 0.0, highest)


def _halved(pruned: Callable[[float], float], ratio: float, low: float, high: float) -> float:
    """The value tried whose share is nearest to the wanted one, of equals the first."""
    nearest, distance = low, np.inf
    for _ in range(_STEPS):
        middle = (low + high) / 2
        share = pruned(middle)
        if abs(share - ratio) < distance:
            nearest, distance = middle, abs(share - ratio)
        if distance <= _NEAR:
            break
        low, high = (middle, high) if share < ratio else (low, middle)
    return nearest
