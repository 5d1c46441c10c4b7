"""Measure a GPU through PyTorch: dense products, 2:4 sparsity, fused attention and tile-wise sparsity.

Writes a CSV that `accelsim validate` and `accelsim calibrate-hw` read, row by row; run it again to go on where it
stopped. It needs PyTorch and NumPy, and takes Triton (tile-wise kernels) and pynvml (clocks, power) where they are
installed. See docs/measure.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from measure import cases
from measure.errors import DeviceLostError, UsageError
from measure.session import Bench, open_bench, run_cases
from measure.shapes import Shapes, default_shapes, quick_shapes, read_shapes
from measure.table import Table
from measure.tile_wise import triton_runs_on
from measure.timing import Settings

_QUICK = Settings(warm_up_s=0.01, repeats=5, power_s=0.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and return the exit status: 0, 1 when nothing could be measured, 2 for mistakes of the user."""
    given = _parser().parse_args(arguments)
    try:
        return _list(given) if given.list else _measure(given)
    except UsageError as error:
        print(f"measure_gpu: {error}", file=sys.stderr)
        return 2
    except DeviceLostError as error:
        print(f"measure_gpu: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"measure_gpu: stopped; finished rows are in {given.out}", file=sys.stderr)
        return 130


def _list(given: argparse.Namespace) -> int:
    dtypes = given.dtypes or [("fp32" if given.device == "cpu" else "bf16")]
    for case in cases.build_cases(_shapes(given), _options(given, dtypes, "triton")):
        print(case)
    return 0


def _measure(given: argparse.Namespace) -> int:
    shapes = _shapes(given)
    bench = open_bench(given.device, given.gpu)
    tile_library = "triton" if triton_runs_on(bench.device) else "torch"
    wanted = cases.build_cases(shapes, _options(given, given.dtypes or _formats(bench), tile_library))
    table = Table(given.out)
    print(f"{bench.name}, PyTorch {bench.torch.__version__}: {len(wanted)} cases, {len(table)} rows in {table.path}")
    settings = _settings(given)
    counts = run_cases(wanted, bench, table, settings, given.dataset, lambda line: print(line, flush=True))
    print(f"{counts['measured']} measured, {counts['there']} there before, {counts['failed']} not measured")
    return 0 if counts["measured"] or counts["there"] else 1


def _formats(bench: Bench) -> list[str]:
    """Formats to measure when none is named."""
    if bench.capability is None:
        return ["fp32"]
    return ["bf16" if bench.takes("bf16") else "fp16"]


def _shapes(given: argparse.Namespace) -> Shapes:
    if given.shapes is not None:
        return read_shapes(given.shapes)
    return quick_shapes() if given.quick else default_shapes()


def _settings(given: argparse.Namespace) -> Settings:
    base = _QUICK if given.quick else Settings()
    return Settings(
        warm_up_s=base.warm_up_s if given.warm_up is None else given.warm_up,
        repeats=base.repeats if given.repeats is None else given.repeats,
        power_s=base.power_s if given.power_seconds is None else given.power_seconds,
    )


def _options(given: argparse.Namespace, dtypes: Sequence[str], tile_library: str) -> cases.Options:
    granularities = [32] if given.quick and given.granularities is None else given.granularities or [128]
    return cases.Options(
        ops=given.ops,
        dtypes=dtypes,
        layouts=given.layouts,
        backends=given.backends,
        sparsities=given.sparsities,
        granularities=granularities,
        strategies=given.strategies,
        uneven=given.uneven,
        dense_library="torch_cpu" if given.device == "cpu" else "cublas",
        tile_library=tile_library,
        launch="stream" if given.device == "cpu" else given.launch,
        copies=given.copies,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="measure_gpu.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_what(parser.add_argument_group("what to measure").add_argument)
    _add_how(parser.add_argument_group("how to measure").add_argument)
    add = parser.add_argument_group("what to write").add_argument
    add("-o", "--out", default="measured.csv", metavar="FILE.csv", help="table (default measured.csv)")
    add("--dataset", default="measure_gpu", help="text of the column dataset (default measure_gpu)")
    add("--gpu", default="", metavar="NAME", help="text of the column gpu (default the device's own name)")
    add("--list", action="store_true", help="print the cases and measure nothing; needs no PyTorch")
    return parser


def _add_what(add: Callable[..., object]) -> None:
    add("--ops", type=_words(cases.OPS), default=cases.OPS, help=_help("operations", cases.OPS))
    formats = (
        f"formats, of {', '.join(cases.DTYPES)} (default bf16, or fp16 where the GPU lacks it; fp32 on a processor)"
    )
    add("--dtypes", type=_words(cases.DTYPES), help=formats)
    add("--shapes", metavar="FILE.csv", help="shapes to measure: columns m, n, k or those of attentions")
    add("--quick", action="store_true", help="a few small shapes, few repeats, no run for power")
    layouts = "how row-major A and B of dense products lie, N or T for transposed (default NT, as nn.Linear)"
    add("--layouts", type=_words(cases.LAYOUTS), default=["NT"], help=layouts)
    backends = tuple(cases.BACKENDS)
    add("--backends", type=_words(backends), default=backends, help=_help("back ends of attention", backends))
    strategies = _help("launches of tile-wise products", cases.STRATEGIES)
    add("--strategies", type=_words(cases.STRATEGIES), default=cases.STRATEGIES, help=strategies)
    sparsities = "of tile-wise weights (default 0.5,0.75)"
    add("--sparsities", type=_list_of(_below_one), default=[0.5, 0.75], help=sparsities)
    granularities = "kept columns of a tile-wise tile (default 128; with --quick 32)"
    add("--granularities", type=_list_of(_granularity), help=granularities)
    uneven = "spread of the row counts of tile-wise tiles, 0 to 1 (default 0, all alike)"
    add("--uneven", type=_share, default=0.0, help=uneven)


def _add_how(add: Callable[..., object]) -> None:
    add("--device", type=_device, default="cuda", help="cuda, cuda:N or cpu (default cuda)")
    launch = "replay a CUDA graph, or launch one by one (default graph)"
    add("--launch", choices=cases.LAUNCHES, default="graph", help=launch)
    copies = "copies of the weights, used in turn, so that L2 holds them only if all fit (default 6)"
    add("--copies", type=_at_least(1), default=6, metavar="N", help=copies)
    add("--warm-up", type=_seconds, metavar="S", help="seconds before each case (default 0.1)")
    repeats = "batches of a few milliseconds, of which the median counts (default 20)"
    add("--repeats", type=_at_least(1), metavar="N", help=repeats)
    power = "length of a run for power and sustained latency after each case (default 1; 0: none)"
    add("--power-seconds", type=_seconds, metavar="S", help=power)


def _help(what: str, allowed: Sequence[str]) -> str:
    return f"{what}, of {', '.join(allowed)} (default all)"


def _words(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    """Reads words of a list, separated by commas, each once."""

    def read(text: str) -> list[str]:
        found = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
        unknown = [word for word in found if word not in allowed]
        if unknown or not found:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'empty'}; allowed are {', '.join(allowed)}")
        return found

    return read


def _list_of(one: Callable[[str], float]) -> Callable[[str], list[float]]:
    return lambda text: list(dict.fromkeys(one(word) for word in text.split(",")))


def _number(text: str, fits: Callable[[float], bool], allowed: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not fits(value):
        raise argparse.ArgumentTypeError(f"{text!r}; allowed is {allowed}")
    return value


def _share(text: str) -> float:
    return _number(text, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def _below_one(text: str) -> float:
    return _number(text, lambda value: 0 <= value < 1, "a number of at least 0 and below 1")


def _seconds(text: str) -> float:
    return _number(text, lambda value: 0 <= value <= 600, "a number of seconds from 0 to 600")


def _granularity(text: str) -> int:
    allowed = ", ".join(map(str, cases.GRANULARITIES))
    return int(_number(text, lambda value: value in cases.GRANULARITIES, f"one of {allowed}"))


def _at_least(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        return int(_number(text, lambda value: value >= least and value.is_integer(), f"a whole number from {least}"))

    return read


def _device(text: str) -> str:
    kind, colon, index = text.partition(":")
    if kind not in ("cuda", "cpu") or (colon and (kind == "cpu" or not index.isdigit())):
        raise argparse.ArgumentTypeError(f"{text!r}; allowed are cuda, cuda:N and cpu")
    return text


if __name__ == "__main__":
    sys.exit(main())
