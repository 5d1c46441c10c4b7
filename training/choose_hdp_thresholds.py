"""
Choose the options that the trained vision transformers ship with, on the calibration images alone.

The network was trained on the calibration images too and has nearly all of them right, so a count of right answers
would notice damage too late. What is limited here is the change of margins: an image's margin is the logit of its label
less the largest other one, and the change of a setting is the mean over images of its absolute change, divided by the
mean margin of the dense network in the same number format. A setting is allowed when its change is at most a limit and
at most half a point more of the images are wrong than of the dense network. Of the allowed settings the one that skips
most is taken, among equals the one of smallest change:

1. HDP's variant (importance, centring, pruned score, scale) and row threshold ``rho_b``, every head kept, by the share
   of attention's products that is skipped;
2. for that variant ``rho_b`` together with the head threshold ``tau_h``, by the same share;
3. tile-wise sparsity, granularity and kind of threshold, by the share of weights pruned.

Then the choice is run once on the test images. The tables replace what the log has between the two lines that name the
model; the chosen options are printed as they belong into its YAML.

Examples
--------
::

    python training/choose_hdp_thresholds.py digits_vit
    python training/choose_hdp_thresholds.py digits_vit_16
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from accelsim.config.loader import load_config, load_library
from accelsim.config.scheme import SchemeName
from accelsim.execution import Execution, HeadMasks, execute, parameters_of
from accelsim.mapping.network import plan_network
from accelsim.model.build import build_network
from accelsim.model.operands import prepare_operands

HARDWARE = "edge_hdp"
"""Any system with both devices would do: only values are asked for."""
LOG = Path(__file__).parents[1] / "workloads" / "models" / "digits_vit.md"

HDP_LIMIT = 0.1
"""Largest mean change of the margin under HDP, as a share of the mean dense margin."""
TILE_WISE_LIMIT = 0.2
"""Likewise of tile-wise pruning, which loses more: nothing is trained again after it."""
WRONG = 0.005
"""Largest share of calibration images that may be wrong beside as many as the dense network has wrong."""

Options = dict[str, float | int | str]
Grid = dict[str, list["Point"]]
"""Points of a table by the name of its row."""

FORMATS: tuple[Options, ...] = (
    {"scale": 1.0, "integer_bits": 4, "fraction_bits": 12},
    {"scale": 2.0, "integer_bits": 5, "fraction_bits": 11},
)
"""Scales, each in a format that holds the scaled operands."""
VARIANTS: tuple[Options, ...] = tuple(
    {"importance": importance, "center_keys": center, "pruned_score": score, **number_format}
    for importance, center, score, number_format in product(
        ("absolute", "signed"), ("none", "dynamic"), ("excluded", "zero", "zero_in_denominator"), FORMATS
    )
)
RHO_B = (-0.5, -0.25, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
TAU_H = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""For scale 1; importance grows with the square of the scale, and so do these."""
SPARSITIES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
GRANULARITIES = (32, 64)
"""Widths of the kernels of `HARDWARE`; narrower weight tiles would lose less and gain no time."""
THRESHOLDS = ("per_layer", "global")
LITERAL: Options = {
    "importance": "absolute", "center_keys": "none", "pruned_score": "excluded", **FORMATS[0], "rho_b": 0.0,
    "tau_h": 0.0,
}  # fmt: skip
"""HDP as its paper is read literally."""


@dataclass(frozen=True)
class Point:
    """What one setting did."""

    hdp: Options
    tile_wise: Options
    wrong: int
    dense_wrong: int
    """Images that the dense network has wrong."""
    images: int
    change: float
    """Mean absolute change of the margin over the mean dense margin."""
    skipped: float
    """Share of attention's products skipped, of scores and of P x V."""
    blocks: float
    """Share of blocks pruned, those of pruned heads included."""
    heads: float
    weights: float
    """Share of the weights of pruned layers that is pruned."""
    saturated: int
    """Operands of attention that the fixed point could not hold."""

    def allowed(self, limit: float) -> bool:
        """Whether the rule lets this setting be chosen."""
        return self.change <= limit and self.wrong - self.dense_wrong <= WRONG * self.images


class Model:
    """A shipped workload on one split of its images, run by the execution step alone."""

    def __init__(self, name: str, split: str) -> None:
        self.name, self.split = name, split
        execution, self.labels, _ = self._run("dense", {}, {})
        self.dense_wrong = self._wrong(execution)
        self.margins = self._margin(execution)

    def point(self, hdp: Options | None = None, tile_wise: Options | None = None) -> Point:
        """Run one setting of HDP, of tile-wise pruning, or of both."""
        scheme = "+".join(name for name, options in (("tile_wise", tile_wise), ("hdp", hdp)) if options is not None)
        execution, labels, pruned = self._run(cast("SchemeName", scheme or "dense"), hdp or {}, tile_wise or {})
        masks = list(execution.heads.values())
        return Point(
            hdp=hdp or {},
            tile_wise=tile_wise or {},
            wrong=self._wrong(execution),
            dense_wrong=self.dense_wrong,
            images=len(labels),
            change=float(np.abs(self._margin(execution) - self.margins).mean() / self.margins.mean()),
            skipped=_pruned(_products(mask) for mask in masks),
            blocks=_pruned((int(mask.counts.kept_blocks.sum()), mask.block_kept.size) for mask in masks),
            heads=_pruned((int(mask.head_kept.sum()), mask.head_kept.size) for mask in masks),
            weights=pruned,
            saturated=execution.saturated,
        )

    def _run(self, scheme: SchemeName, hdp: Options, tile_wise: Options) -> tuple[Execution, NDArray[np.int64], float]:
        """Values, labels, and the share of weights pruned."""
        sets = [f"workload.split={self.split}"]
        sets += [f"hdp.{key}={value}" for key, value in hdp.items()]
        sets += [f"tile_wise.{key}={value}" for key, value in tile_wise.items()]
        config = load_config(HARDWARE, self.name, scheme=scheme, sets=sets)
        network = build_network(config.workload)
        operands = prepare_operands(network, config)
        assert operands is not None
        assert operands.labels is not None
        plan = plan_network(network, config, load_library(config.hardware.gpu.library), parameters_of(operands))
        return execute(plan, config, operands), operands.labels, plan.weight_sparsity

    def _wrong(self, execution: Execution) -> int:
        assert execution.output is not None
        return int(np.count_nonzero(execution.output.argmax(axis=1) != self.labels))

    def _margin(self, execution: Execution) -> NDArray[np.float64]:
        """Logit of each image's label less its largest other logit."""
        assert execution.output is not None
        others = execution.output.astype(np.float64)
        rows = np.arange(len(others))
        own = others[rows, self.labels].copy()
        others[rows, self.labels] = -np.inf
        margin: NDArray[np.float64] = own - others.max(axis=1)
        return margin


def _products(mask: HeadMasks) -> tuple[int, int]:
    """Products of attention done, and all of dense attention. Integer scores, never skipped, stand apart."""
    counts = mask.counts
    done = int(counts.cross_products.sum()) // 2 + int(counts.value_products.sum())
    return done, 2 * int(counts.integer_products.sum())


def _pruned(parts: Iterable[tuple[int, int]]) -> float:
    """Share that is gone of (kept, all) pairs; 0 of none."""
    kept = total = 0
    for some, every in parts:
        kept, total = kept + some, total + every
    return 1 - kept / total if total else 0.0


def choose(grid: Grid, limit: float, saved: Callable[[Point], float]) -> Point:
    """Of the allowed points the one that saves most (to a tenth of a percent), then that of least change.

    Raises
    ------
    RuntimeError
        When no point is allowed.
    """
    good = [point for points in grid.values() for point in points if point.allowed(limit)]
    if not good:
        raise RuntimeError(f"no setting keeps the change of margins at {limit}; widen the grid")
    return max(good, key=lambda point: (round(saved(point), 3), -point.change))


def table(corner: str, columns: Sequence[float], grid: Grid, saved: Callable[[Point], float], chosen: Point) -> str:
    """A table in Markdown. A cell has what is saved, images wrong, and the change; the chosen one is bold."""

    def cell(point: Point) -> str:
        text = f"{saved(point):.1%}, {point.wrong}, {point.change:.3f}"
        return f"**{text}**" if point == chosen else text

    lines = [[corner, *map(str, columns)], ["---"] * (len(columns) + 1)]
    lines += [[name, *map(cell, points)] for name, points in grid.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def results(name: str, settings: dict[str, tuple[Options | None, Options | None]], calibration: Model) -> str:
    """What the settings do on both splits, as a table in Markdown. The only place that runs the test images."""
    test = Model(name, "test")
    lines = [
        "| scheme | blocks pruned | heads pruned | products of attention skipped | weights pruned | saturated "
        "| calibration images correct | change of margin | test images correct |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for title, (hdp, tile_wise) in settings.items():
        seen, unseen = calibration.point(hdp, tile_wise), test.point(hdp, tile_wise)
        shares = [f"{share:.1%}" for share in (unseen.blocks, unseen.heads, unseen.skipped, unseen.weights)]
        kept = [f"{point.images - point.wrong} of {point.images}" for point in (seen, unseen)]
        cells = [title, *shares, str(unseen.saturated), kept[0], f"{seen.change:.3f}", f"**{kept[1]}**"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def select(name: str) -> str:
    """Choose every option of a model; returns its part of the log and prints what belongs into the YAML."""
    model = Model(name, "calibration")
    variants = {
        _words(variant): [model.point({**variant, "rho_b": rho, "tau_h": 0.0}) for rho in RHO_B] for variant in VARIANTS
    }
    blocks = choose(variants, HDP_LIMIT, _skipped)
    scale = float(blocks.hdp["scale"])
    taus = [tau * scale * scale for tau in TAU_H]
    heads = {str(rho): [model.point(blocks.hdp | {"rho_b": rho, "tau_h": tau}) for tau in taus] for rho in RHO_B}
    hdp = choose(heads, HDP_LIMIT, _skipped)
    weights = {
        f"{width}, {kind}": [
            model.point(None, {"sparsity": sparsity, "granularity": width, "threshold": kind})
            for sparsity in SPARSITIES
        ]
        for width, kind in product(GRANULARITIES, THRESHOLDS)
    }
    tile_wise = choose(weights, TILE_WISE_LIMIT, _weights)
    for title, options in (("tile_wise", tile_wise.tile_wise), ("hdp", hdp.hdp)):
        print(f"  {title}:", *(f"    {key}: {value}" for key, value in options.items()), sep="\n")
    settings = {
        "dense": (None, None),
        "tile_wise": (None, tile_wise.tile_wise),
        "hdp": (hdp.hdp, None),
        "tile_wise+hdp": (hdp.hdp, tile_wise.tile_wise),
        "hdp, the literal reading": (LITERAL, None),
    }
    return "\n\n".join(
        (
            f"### {name}",
            f"Mean margin of the dense network on the calibration images: {model.margins.mean():.2f}. "
            "Cells: products of attention skipped, calibration images wrong, change of the margin.",
            table("importance, centring, pruned score, scale \\ rho_b", RHO_B, variants, _skipped, blocks),
            "With head pruning, for the variant chosen above:",
            table("rho_b \\ tau_h", taus, heads, _skipped, hdp),
            "Tile-wise (cells begin with the weights pruned):",
            table("granularity, threshold \\ sparsity", SPARSITIES, weights, _weights, tile_wise),
            "The choice, and its one run on the test images, whose shares these are:",
            results(name, settings, model),
        )
    )


def _skipped(point: Point) -> float:
    return point.skipped


def _weights(point: Point) -> float:
    return point.weights


def _words(variant: Options) -> str:
    return ", ".join(str(variant[key]) for key in ("importance", "center_keys", "pruned_score", "scale"))


def write_log(path: Path, name: str, text: str) -> None:
    """Replace what a log has between the two lines that name a model.

    Raises
    ------
    ValueError
        When it does not have them.
    """
    begin, end = f"<!-- begin {name}: written by {Path(__file__).name} -->", f"<!-- end {name} -->"
    head, opening, rest = path.read_text().partition(begin)
    _, closing, tail = rest.partition(end)
    if not (opening and closing):
        raise ValueError(f"{path} has no lines {begin!r} and {end!r}")
    path.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}")


def main() -> None:
    """Choose for the models named on the command line."""
    parser = argparse.ArgumentParser(description="Choose HDP and tile-wise options on the calibration images.")
    parser.add_argument("names", nargs="+", help="digits_vit, digits_vit_16")
    parser.add_argument("--log", type=Path, default=LOG)
    arguments = parser.parse_args()
    for name in arguments.names:
        print(name)
        write_log(arguments.log, name, select(name))


if __name__ == "__main__":
    main()
