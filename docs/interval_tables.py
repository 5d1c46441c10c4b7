"""Measures the held-out errors of the fitted GPUs again, after a fit: ``python docs/interval_tables.py``.

Writes hwconfigs/accuracy and the tables of docs/validation.md that say how wide intervals are and how often they hold.
Measured tables are found as by error_tables.py.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from accelsim.config.accuracy import REGIMES  # noqa: E402
from accelsim.validate.accuracy_yaml import accuracy_yaml  # noqa: E402
from accelsim.validate.fitted_yaml import write_yaml  # noqa: E402
from accelsim.validate.intervals import (  # noqa: E402
    ENGINES,
    PAIRS,
    Coverage,
    Measured,
    carried_coverage,
    latency_coverage,
    measure_accuracy,
    speedup_coverage,
)

PAGE = ROOT / "docs" / "validation.md"
BEGIN, END = "<!-- intervals -->\n", "<!-- end of intervals -->\n"
TABLE = "gemm_dense.csv"
OTHER = "gemm_sparse.csv"
"""Dense and tile-wise rows under other software than that of `TABLE`, of which no interval is made."""
ELSEWHERE = ("a100_sxm4_80gb", "v100_pcie")
GPUS = ("a100_sxm4_80gb", "h100_sxm5", "v100_sxm2", "t4")


def tables(found: list[Measured], folder: Path) -> str:
    """Intervals by GPU, engine and regime, and how many measurements fall inside, as Markdown."""
    widths = [
        [each.accuracy.of_gpu, engine, REGIMES.get(regime, "all"), one.n, *map(_three, (one.low, one.median, one.high))]
        for each in found
        for engine, regimes in each.accuracy.engines.items()
        for regime, one in regimes.items()
    ]
    held = [
        [f"latencies of {each.accuracy.of_gpu}", engine, *_cells(latency_coverage(each.frames[engine]))]
        for engine in ENGINES
        for each in found
    ]
    for name in ELSEWHERE:
        for engine in ENGINES:
            apart = carried_coverage(folder / OTHER, name, engine)
            held.append([f"latencies of {name} in another table", engine, *_cells(apart["latency"])])
            if apart["dense_against_sparse"].n:
                text = f"speed-ups of {name} in another table: dense against tile-wise"
                held.append([text, engine, *_cells(apart["dense_against_sparse"])])
    for engine in ENGINES:
        checked = speedup_coverage([each.frames[engine] for each in found])
        held += [[f"speed-ups: {PAIRS[kind]}", engine, *_cells(one)] for kind, one in checked.items()]
    return "\n".join([
        _table(["GPU", "engine", "regime", "rows", "low", "median", "high"], 3, widths),
        _table(["held out", "engine", "n", "inside (%)", "decided (%)", "of these right (%)"], 2, held),
    ])  # fmt: skip


def _cells(one: Coverage) -> list[str]:
    shares = (one.inside_percent, one.decided_percent, one.right_percent)
    return [str(one.n), *("" if share is None else f"{share:.0f}" for share in shares)]


def _three(value: float) -> str:
    return f"{value:.3f}"


def _table(head: list[str], texts: int, rows: list[list[object]]) -> str:
    rule = [*["---"] * texts, *["---:"] * (len(head) - texts)]
    return "".join(f"| {' | '.join(map(str, cells))} |\n" for cells in [head, rule, *rows])


def main() -> None:
    """Write the errors of every GPU, then the page's tables."""
    measured = Path(os.environ.get("ACCELSIM_DATA", ROOT.parent / "shared")) / "measured" / TABLE
    if not measured.is_file():
        sys.exit(f"no table {measured}; set ACCELSIM_DATA to the folder that holds measured/{TABLE}")
    found = []
    for name in GPUS:
        found.append(measure_accuracy(measured, name))
        path = ROOT / "hwconfigs" / "accuracy" / f"accuracy_{name}.yaml"
        write_yaml(accuracy_yaml(found[-1].accuracy, path.stem), path)
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{tables(found, measured.parent)}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
