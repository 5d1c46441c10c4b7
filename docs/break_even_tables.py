"""Writes the tables and the figure of docs/breakeven.md from runs: ``python docs/break_even_tables.py [--only NAME]``.

``break_even`` is what `accelsim breakeven` answers for BERT-Base on several GPUs, with the figure; ``headlines`` sets
the averages that two publications claim beside ours, and ``published`` a measured speed-up. Each takes some minutes.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from error_report.markdown import put, table  # noqa: E402

from accelsim.config.loader import load_hardware, load_workload  # noqa: E402
from accelsim.explore import BreakEven, break_even  # noqa: E402
from accelsim.explore.bench import DENSE, Bench, Speedup, Timing, speedup_of  # noqa: E402
from accelsim.explore.breakeven import ALL  # noqa: E402
from accelsim.explore.breakeven_table import NEVER, UNAVAILABLE, Cell  # noqa: E402
from accelsim.explore.products import products_of  # noqa: E402
from accelsim.show.breakeven import break_even_figure  # noqa: E402
from accelsim.show.style import figure_bytes  # noqa: E402

PAGE = ROOT / "docs" / "breakeven.md"
FIGURE = ROOT / "docs" / "images" / "breakeven.png"

GPUS = ("a100_sxm4_80gb", "h100_sxm5", "rtx3090", "v100_pcie", "t4")
DRAWN = ("a100_sxm4_80gb", "h100_sxm5", "v100_pcie", "t4")
"""Those whose errors are known; of their products, all together."""
BATCH = 100

MODELS: dict[str, tuple[str, int]] = {
    "BERT-Base": ("bert_base_layer", 100),
    "VGG16": ("vgg16", 32),
    "ResNet-50": ("resnet50", 32),
    "NMT": ("nmt_lstm", 1),
}
"""Workload and batch by model; an NMT step has its batch of 128 in the workload."""

SETS = ("tile_wise.granularity=64", "tile_vector_wise.granularity=64")
"""Narrow convolutions have 64 columns, which is the granularity of the published code for them."""

PUBLISHED = (2.265, 2.361)
"""Speed-up of the six products of an encoder layer in two measurements of the dense ones
(github.com/clevercool/TileSparsity at fca469c, StreamMaskedGEMM/README.md)."""
PUBLISHED_SETS = ("hardware.gpu.library=cutlass_volta", "tile_wise.strategy=stream")
"""Its kernels are CUTLASS's, G = 128, and every tile has a launch and a stream of its own."""

LEVELS = tuple(round(0.5 + 0.05 * index, 2) for index in range(10))
SHOWN = 0.75


@dataclass(frozen=True)
class Headline:
    """An average speed-up that an abstract states."""

    value: float
    gpu: str
    pattern: str
    base: str
    models: tuple[str, ...]
    source: str

    @property
    def text(self) -> str:
        """In words."""
        return f"{_SHORT[self.pattern]} over {_SHORT[self.base]}, {self.gpu}"


_SHORT = {DENSE: "dense", "tile_vector_wise": "TVW-4", "tile_wise": "TW", "block_wise": "BW", "element_wise": "EW"}
_TC24, _SC20 = "arXiv 2402.10876", "arXiv 2008.13006"
HEADLINES = (
    Headline(1.85, "a100_sxm4_80gb", "tile_vector_wise", DENSE, tuple(MODELS), _TC24),
    Headline(2.75, "a100_sxm4_80gb", "tile_vector_wise", "block_wise", tuple(MODELS), _TC24),
    Headline(22.18, "a100_sxm4_80gb", "tile_vector_wise", "element_wise", tuple(MODELS), _TC24),
    Headline(1.95, "v100_pcie", "tile_wise", DENSE, ("BERT-Base", "VGG16", "NMT"), _SC20),
)


def headlines() -> str:
    """What is claimed, ours at 75 %, and where ours has the claimed value; then each model's share in it."""
    timer = _Timer()
    rows, parts = [], []
    for one in HEADLINES:
        curve = [_mean([timer.speedup(one, model, level).value for model in one.models]) for level in LEVELS]
        at = timer.speedups(one, SHOWN)
        rows.append([
            one.text, one.source, f"{one.value:g}", f"{_mean([each.value for each in at]):.2f}",
            _range([_mean([float(end) for end in ends]) for ends in zip(*map(_ends, at), strict=True)]),
            _where(curve, one.value), f"{min(curve):.2f} to {max(curve):.2f}",
        ])  # fmt: skip
        cells = dict(zip(one.models, at, strict=True))
        parts.append([one.text, *(_cell(cells.get(model)) for model in MODELS)])
    head = ["average", "claimed in", "claimed", "ours at 75 %", "interval", "claimed holds at", "from 50 to 95 %"]
    return "\n".join([table(head, rows), table(["at 75 %", *MODELS], parts, texts=1)])


def measured() -> str:
    """The one speed-up of these that was published with its conditions, and what its conditions give here."""
    name, batch = MODELS["BERT-Base"]
    origin = load_workload(name)
    bench, machine = Bench(origin, sets=PUBLISHED_SETS), load_hardware("v100_pcie")
    products = products_of(origin, batch)
    dense, pruned = (bench.time(machine, products, *how, "events") for how in ((DENSE, None), ("tile_wise", SHOWN)))
    ours = speedup_of(dense, pruned)
    head = ["BERT-Base, V100-PCIe, 75 %", "measured", "ours", "interval"]
    return table(head, [["TW over dense", _range(PUBLISHED), f"{ours.value:.2f}", _range(_ends(ours))]], texts=1)


class _Timer:
    """Times of models' products under patterns, by events."""

    def __init__(self) -> None:
        self._benches: dict[str, Bench] = {}

    def speedup(self, one: Headline, model: str, level: float) -> Speedup:
        """Of a headline's pattern over what it is compared with, both at one sparsity."""
        base, other = (self._time(one.gpu, model, pattern, level) for pattern in (one.base, one.pattern))
        return speedup_of(base, other)

    def speedups(self, one: Headline, level: float) -> list[Speedup]:
        """Of all models of a headline."""
        return [self.speedup(one, model, level) for model in one.models]

    def _time(self, gpu: str, model: str, pattern: str, level: float) -> Timing:
        name, batch = MODELS[model]
        origin = load_workload(name)
        bench = self._benches.setdefault(model, Bench(origin, sets=SETS))
        share = None if pattern == DENSE else level
        return bench.time(load_hardware(gpu), products_of(origin, batch), pattern, share, "events")


def _ends(speedup: Speedup) -> tuple[float, float]:
    return (
        speedup.value if speedup.low is None else speedup.low,
        speedup.value if speedup.high is None else speedup.high,
    )


def _cell(speedup: Speedup | None) -> str:
    return "" if speedup is None else f"{speedup.value:.2f} ({_range(_ends(speedup))})"


def _range(ends: Sequence[float]) -> str:
    return f"{ends[0]:.2f} to {ends[1]:.2f}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _where(curve: Sequence[float], wanted: float) -> str:
    """Sparsities where a curve over `LEVELS` has a value, between its points by straight lines."""
    found = []
    for (low, first), (high, second) in zip(
        zip(LEVELS, curve, strict=True), zip(LEVELS[1:], curve[1:], strict=True), strict=False
    ):
        if min(first, second) <= wanted < max(first, second):
            found.append(f"{100 * (low + (high - low) * (wanted - first) / (second - first)):.0f} %")
    return ", ".join(found) or "nowhere"


def break_even_table() -> str:
    """Break-even of every pattern, GPU and shape of BERT-Base; draws the figure too."""
    found = break_even(GPUS, "bert_base_layer", batch=BATCH)
    points = found.points_frame()
    drawn = points[points["hardware"].isin(DRAWN) & (points["product"] == ALL)]
    FIGURE.write_bytes(figure_bytes(break_even_figure(drawn), "png"))
    names = list(dict.fromkeys(cell.product for cell in found.cells))
    return table(["GPU", "pattern", *names], _rows(found, names))


def _rows(found: BreakEven, names: Sequence[str]) -> list[list[str]]:
    cells = {(cell.hardware, cell.pattern, cell.product): cell for cell in found.cells}
    pairs = dict.fromkeys((cell.hardware, cell.pattern) for cell in found.cells)
    return [[*pair, *(_answer(cells[(*pair, name)]) for name in names)] for pair in pairs]


def _answer(cell: Cell) -> str:
    """As "54 (43 to 63)": where it beats dense, and where that is undecided."""
    if cell.status == UNAVAILABLE:
        return "no unit"
    text = "never" if cell.status == NEVER else f"{100 * (cell.beats_from or 0):.4g}"
    if not cell.has_interval:
        return f"{text} (unknown)"
    if cell.undecided is None:
        return text
    low, high = (f"{100 * end:.4g}" for end in cell.undecided)
    return f"{text} ({low} on)" if cell.surely_from is None else f"{text} ({low} to {high})"


TABLES: dict[str, Callable[[], str]] = {"break_even": break_even_table, "headlines": headlines, "published": measured}


def main() -> None:
    """Write the tables, or one of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", choices=sorted(TABLES), help="one table")
    only = parser.parse_args().only
    for name in [only] if only else TABLES:
        put(PAGE, {name: TABLES[name]().rstrip("\n")})
        print(f"wrote {name}", flush=True)


if __name__ == "__main__":
    main()
