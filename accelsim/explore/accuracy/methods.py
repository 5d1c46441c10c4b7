"""Methods by name, and how each is set to prune a wanted share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from accelsim.config.options import HDP_PRESETS, Hdp
from accelsim.explore.accuracy.blocks import HdpMethod, MassBlocks, OracleBlocks, RandomBlocks
from accelsim.explore.accuracy.cascade import LocalValues, cascade_counts, heads_cascade, tokens_cascade
from accelsim.explore.accuracy.forward import AttentionMethod, StudyModel
from accelsim.explore.accuracy.heads import (
    HeadThresholds,
    InverseHeads,
    OracleHeads,
    RandomHeads,
    TopHeads,
    spread_heads,
)
from accelsim.explore.accuracy.solve import block_threshold, global_head_threshold, head_thresholds, with_threshold

Axis = Literal["blocks", "heads"]
Settings = dict[str, float | list[float]]
"""What a method was set to, by the names of HDP's options where it has them."""

HDP_VARIANTS: dict[str, dict[str, str]] = {
    "hdp": {},
    "hdp_paper": HDP_PRESETS["paper"],
    "hdp_robust": HDP_PRESETS["robust"],
    "hdp_centred": {"importance": "absolute", "center_keys": "dynamic", "pruned_score": "excluded"},
    "hdp_signed": {"importance": "signed", "center_keys": "none", "pruned_score": "excluded"},
    "hdp_zeroed": {"importance": "absolute", "center_keys": "dynamic", "pruned_score": "zero_in_denominator"},
}
"""HDP's readings: the workload's own options, the presets, and three more sets of switches."""


@dataclass(frozen=True)
class Setup:
    """What a method is set up with."""

    calibration: StudyModel
    """Inputs that thresholds are solved on."""
    options: Hdp
    """Switches of HDP, which controls share."""
    seed: int

    @property
    def layers(self) -> int:
        """Attentions of the network."""
        return len(self.calibration.attentions)

    @property
    def heads(self) -> int:
        """Heads of each."""
        return self.calibration.attentions[0].heads


Make = Callable[[Setup, float], tuple[AttentionMethod, Settings]]


@dataclass(frozen=True)
class Entry:
    """A method that a study may name."""

    axis: Axis
    """What its ratio is a share of: pairs of query and key (in blocks), or heads."""
    title: str
    make: Make
    """From a setup and a ratio to the method and what it was set to."""


def _hdp(switches: dict[str, str]) -> Make:
    def make(setup: Setup, ratio: float) -> tuple[AttentionMethod, Settings]:
        options = setup.options.model_copy(update=switches)
        rho_b = block_threshold(setup.calibration, options, ratio)
        return HdpMethod(with_threshold(options, rho_b)), {"rho_b": rho_b}

    return make


def _top_k(setup: Setup, ratio: float) -> tuple[AttentionMethod, Settings]:
    update = {"selection": "top_k", "top_k_ratio": ratio, "tau_h": 0.0, "guard": "none"}
    return HdpMethod(setup.options.model_copy(update=update)), {"top_k_ratio": ratio}


def _head_thresholds(setup: Setup, ratio: float) -> tuple[AttentionMethod, Settings]:
    tau_h = head_thresholds(setup.calibration, setup.options, ratio)
    return HeadThresholds(setup.options, tau_h), {"tau_h": list(tau_h)}


def _global_head_threshold(setup: Setup, ratio: float) -> tuple[AttentionMethod, Settings]:
    tau_h = global_head_threshold(setup.calibration, setup.options, ratio)
    return HeadThresholds(setup.options, (tau_h,) * setup.layers), {"tau_h": tau_h}


def _blocks(make: Callable[[Hdp, float, int], AttentionMethod], pruned_score: str) -> Make:
    def made(setup: Setup, ratio: float) -> tuple[AttentionMethod, Settings]:
        options = setup.options.model_copy(update={"pruned_score": pruned_score})
        return make(options, ratio, setup.seed), {}

    return made


def _heads(make: Callable[[Hdp, tuple[int, ...], int], AttentionMethod], like_cascade: bool = False) -> Make:
    """Heads by rank, as many in each layer as in the others, or as many as a cascade would take there."""

    def made(setup: Setup, ratio: float) -> tuple[AttentionMethod, Settings]:
        counts = cascade_counts if like_cascade else spread_heads
        return make(setup.options, counts(ratio, setup.layers, setup.heads), setup.seed), {}

    return made


def _ranked(make: Callable[[Setup, float], AttentionMethod]) -> Make:
    return lambda setup, ratio: (make(setup, ratio), {})


METHODS: dict[str, Entry] = {
    "hdp": Entry("blocks", "HDP with the workload's own switches", _hdp(HDP_VARIANTS["hdp"])),
    "hdp_paper": Entry("blocks", "HDP, the literal reading", _hdp(HDP_VARIANTS["hdp_paper"])),
    "hdp_robust": Entry("blocks", "HDP, the robust preset", _hdp(HDP_VARIANTS["hdp_robust"])),
    "hdp_centred": Entry("blocks", "HDP, keys centred, pruned blocks excluded", _hdp(HDP_VARIANTS["hdp_centred"])),
    "hdp_signed": Entry("blocks", "HDP, signed importance, pruned blocks excluded", _hdp(HDP_VARIANTS["hdp_signed"])),
    "hdp_zeroed": Entry(
        "blocks", "HDP, keys centred, pruned blocks 0 in the denominator", _hdp(HDP_VARIANTS["hdp_zeroed"])
    ),
    "top_k": Entry("blocks", "as many blocks of each row, by HDP's integer importance", _top_k),
    "oracle": Entry(
        "blocks",
        "as many blocks of each row, by exact scores, others excluded",
        _blocks(lambda options, ratio, seed: OracleBlocks(options, ratio), "excluded"),
    ),
    "oracle_mass": Entry(
        "blocks",
        "as many blocks of each row, by exact probabilities, others excluded",
        _blocks(lambda options, ratio, seed: MassBlocks(options, ratio), "excluded"),
    ),
    "random": Entry("blocks", "as many blocks of each row, drawn, others excluded", _blocks(RandomBlocks, "excluded")),
    "random_zeroed": Entry(
        "blocks",
        "as many blocks of each row, drawn, others 0 in the denominator",
        _blocks(RandomBlocks, "zero_in_denominator"),
    ),
    "cascade_tokens": Entry(
        "blocks",
        "SpAtten's cascade of tokens",
        _ranked(lambda setup, ratio: tokens_cascade(setup.options, ratio, setup.layers)),
    ),
    "local_values": Entry(
        "blocks",
        "SpAtten's values of each query's most probable keys",
        _ranked(lambda setup, ratio: LocalValues(setup.options, ratio)),
    ),
    "heads_hdp": Entry("heads", "HDP's head threshold, one for each layer", _head_thresholds),
    "heads_hdp_global": Entry("heads", "HDP's head threshold, one for all layers", _global_head_threshold),
    "heads_top_k": Entry(
        "heads",
        "as many heads of each layer, by HDP's importance",
        _heads(lambda options, pruned, seed: TopHeads(options, pruned)),
    ),
    "heads_oracle": Entry(
        "heads",
        "as many heads of each layer, by the size of their own output",
        _heads(lambda options, pruned, seed: OracleHeads(options, pruned)),
    ),
    "heads_random": Entry("heads", "as many heads of each layer, drawn", _heads(RandomHeads)),
    "heads_inverse": Entry(
        "heads",
        "heads that HDP calls least important stay",
        _heads(lambda options, pruned, seed: InverseHeads(options, pruned)),
    ),
    "heads_top_k_late": Entry(
        "heads",
        "the cascade's number of heads in each layer, by HDP's importance",
        _heads(lambda options, pruned, seed: TopHeads(options, pruned), like_cascade=True),
    ),
    "heads_random_late": Entry(
        "heads", "the cascade's number of heads in each layer, drawn", _heads(RandomHeads, like_cascade=True)
    ),
    "heads_cascade": Entry(
        "heads",
        "SpAtten's cascade of heads",
        _ranked(lambda setup, ratio: heads_cascade(setup.options, ratio, setup.layers, setup.heads)),
    ),
}
"""Every method by name, in the order of tables."""

BLOCK_METHODS = tuple(name for name, entry in METHODS.items() if entry.axis == "blocks")
HEAD_METHODS = tuple(name for name, entry in METHODS.items() if entry.axis == "heads")
CONTROLS: dict[Axis, str] = {"blocks": "random", "heads": "heads_random"}
ORACLES: dict[Axis, str] = {"blocks": "oracle", "heads": "heads_oracle"}
CASCADES: dict[Axis, str] = {"blocks": "cascade_tokens", "heads": "heads_cascade"}
