"""Tuning against exhaustive search: ``python -m benchmarks.bench_tune [--out DIR] [--gpus NAMES] [--products NAMES]``.

For five products on two GPUs, a search with 100 runs by events (the one without settings among them), then every other
legal setting by events. Printed for each: legal settings, runs of the search and their share, calls of the closed form,
how far the search's best is from the best of all, and after how many runs it was within 2 % of that. The procedure was
chosen on other shapes. With --out everything that was run is kept, and the same command goes on.
"""

import argparse
import tempfile
from pathlib import Path

from accelsim.explore.tune import Tuned, make_tune, tune

SHAPES = {
    "square": (1536, 1536, 1536),
    "skinny": (4096, 128, 1024),
    "long k": (256, 512, 16384),
    "odd n": (512, 3841, 1024),
    "few rows": (16, 4096, 1024),
}
GPUS = ("a100_sxm4_80gb", "h100_sxm5")
SPACE = {
    "mapping.tile_m": [16, 32, 64, 128, 256],
    "mapping.tile_n": [16, 32, 64, 128, 256],
    "mapping.tile_k": [16, 32, 64, 128],
    "mapping.stages": [2, 3, 4],
    "mapping.split_k": [1, 2, 4],
    "mapping.raster": ["along_m", "along_n", "swizzle"],
}
RUNS = 100
CLOSE = 1.02
HEAD = (
    "GPU",
    "product",
    "legal",
    "runs",
    "share",
    "closed form",
    "library (us)",
    "tuned (us)",
    "best of all (us)",
    "gap",
)


def row(gpu: str, name: str, found: Tuned) -> tuple[str, ...]:
    """A line of the table."""
    own, every = found.best[0], found.exhausted
    assert every is not None
    assert own.values is not None
    assert found.reference.values is not None
    least = every.best[0].values
    assert least is not None
    close = (n for n, one in enumerate(found.searched, 1) if one.values and one.values[0] <= CLOSE * least[0])
    near = next(close, None)
    return (
        *(gpu, f"{name} {' x '.join(map(str, SHAPES[name]))}", str(every.legal)),
        *(str(found.evaluations), f"{100 * found.evaluations / every.legal:.1f} %", str(found.looks)),
        *(f"{found.reference.values[0]:.2f}", f"{own.values[0]:.2f}", f"{least[0]:.2f}"),
        *(f"{every.gap_percent:.2f} %", "-" if near is None else str(near)),
    )


def main() -> None:
    """Print the table, line by line as searches end."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder to keep what was run in")
    parser.add_argument("--gpus", default=",".join(GPUS), help="names, separated by commas")
    parser.add_argument("--products", default=",".join(SHAPES), help="names, separated by commas")
    given = parser.parse_args()
    print("| " + " | ".join((*HEAD, "2 % after")) + " |")
    print("|---" * (len(HEAD) + 1) + "|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for gpu in given.gpus.split(","):
            for name in given.products.split(","):
                m, n, k = SHAPES[name]
                file = folder / f"{name.replace(' ', '_')}.yaml"
                file.write_text(f"kind: gemm\nm: {m}\nn: {n}\nk: {k}\ndtype: bf16\n", encoding="utf-8")
                wanted = make_tune(gpu, str(file), SPACE, evaluations=RUNS - 1)
                found = tune(wanted, folder / f"{gpu}_{file.stem}", exhaustive=True)
                print("| " + " | ".join(row(gpu, name, found)) + " |", flush=True)


if __name__ == "__main__":
    main()
