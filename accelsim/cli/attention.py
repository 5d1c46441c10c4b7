"""`accelsim attention compare` and `accelsim attention crossover`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli import complete, options, output, trace
from accelsim.cli.group import SuggestingGroup, suggest
from accelsim.cli.progress import Progress
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.explore.attention import AttentionComparison, UnitResult
    from accelsim.explore.attention.crossover import Crossover, Crossovers

app = typer.Typer(
    cls=SuggestingGroup, no_args_is_help=True, rich_markup_mode=None, help="Attention accelerators, side by side."
)

UNITS = "dense_array,hdp_server,a3,spatten_eighth,sanger,energon,acceltran_server"
SEQUENCES = "128,384,1024"
THRESHOLDS = ("cited", "own")

Units = Annotated[
    str,
    typer.Option(
        help="Names (accelsim hw list) or paths of YAML files, separated by commas.",
        autocompletion=complete.several_of(complete.units),
    ),
]
Sequences = Annotated[str, typer.Option("--seq", help="Lengths of drawn operands, separated by commas.")]
Heads = Annotated[int, typer.Option(min=1, help="Heads of drawn operands.")]
HeadDim = Annotated[int, typer.Option(min=1, help="Length of a row of drawn Q, K and V.")]
Layers = Annotated[int, typer.Option(min=1, help="Consecutive layers; what a unit prunes for good stays pruned.")]
OwnOperands = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.npz",
        exists=True,
        dir_okay=False,
        show_default=False,
        help="Your own Q, K and V, each [heads, sequence, head_dim] or with layers before; instead of drawn ones.",
    ),
]
Pruning = Annotated[
    bool,
    typer.Option("--pruning/--no-pruning", help="Whether anything is pruned; without, what decides still decides."),
]
Thresholds = Annotated[
    str, typer.Option(help="cited: solved to the share that publications cite for each; own: those of the YAML.")
]
Keep = Annotated[
    float | None,
    typer.Option(show_default=False, help="One share for every unit that has a threshold, in place of the cited ones."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="UNIT.PATH=VALUE",
        show_default=False,
        help="Override a key of a unit, as in 'a3.clock=500 MHz'; any number of times.",
    ),
]


@app.command("compare")
def compare(
    units: Units = UNITS,
    seq: Sequences = SEQUENCES,
    heads: Heads = 12,
    head_dim: HeadDim = 64,
    layers: Layers = 1,
    operands: OwnOperands = None,
    pruning: Pruning = True,
    thresholds: Thresholds = "cited",
    keep_ratio: Keep = None,
    set_: Sets = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    trace_file: trace.File = None,
    trace_limit: trace.Limit = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """The same Q, K and V through each accelerator: what it prunes, what comes out, what it takes and costs."""
    named, lengths = _split(units, "--units"), _lengths(seq)
    if thresholds not in THRESHOLDS:
        raise UserError(suggest("thresholds", thresholds, list(THRESHOLDS)))
    if operands is not None and seq != SEQUENCES:
        raise UserError(f"--seq {seq}: {operands} has a length of its own; give one of the two")
    options.check_out(out, whole=True)
    sampling = trace.sampling(trace_file, None, trace_limit)
    from accelsim.explore.attention import compare_attention

    with Progress(quiet, "units") as progress:
        found = compare_attention(
            named,
            sequences=lengths,
            heads=heads,
            head_dim=head_dim,
            layers=layers,
            operands=operands,
            pruning=pruning,
            thresholds=thresholds,
            keep_ratio=keep_ratio,
            sets=list(set_ or ()),
            seed=seed,
            progress=progress.show,
        )
    if out is not None:
        from accelsim.show import attention_files

        found.save(out, attention_files(found.to_frame(), found.account_frame(), found.stages_frame()))
    if json:
        output.document(found.to_json())
    elif not quiet:
        _report(found)
    if out is not None and not quiet:
        output.message(f"saved {out}")
    if sampling is not None:
        from accelsim.explore.timelines import attention_timeline

        trace.write(trace_file, [attention_timeline(found, sampling)], quiet)


Ratios = Annotated[str, typer.Option("--block-ratio", help="Shares of blocks that HDP prunes, separated by commas.")]
HeadRatio = Annotated[float, typer.Option(help="Share of heads that it prunes beside.")]
System = Annotated[
    str,
    typer.Argument(
        help="A system with an attention unit: a name (accelsim hw list) or a path.",
        autocompletion=complete.one_of(complete.systems),
    ),
]
Encoder = Annotated[str, typer.Option(help="An encoder or an attention, whose sequence is set.")]
OverSequences = Annotated[str, typer.Option("--seq", help="Lengths, separated by commas.")]
QuickEngine = Annotated[str, typer.Option(help="estimate or events: what times the GPU's kernels.")]


@app.command("crossover")
def crossover(
    hardware: System = "a100_hdp",
    workload: Encoder = "bert_base_layer",
    seq: OverSequences = "128,512,2048,4096",
    block_ratio: Ratios = "0.5,0.7,0.9",
    head_ratio: HeadRatio = 0.0,
    set_: options.Sets = None,
    engine: QuickEngine = "estimate",
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """From which length, share of pruned blocks and link GPU and HDP unit beat the GPU's own fused attention."""
    lengths, shares, device = _lengths(seq), _shares(block_ratio), options.check_engine(engine)
    from accelsim.explore.attention.crossover import hdp_crossover

    with Progress(quiet, "rows") as progress:
        found = hdp_crossover(
            hardware,
            workload,
            sequences=lengths,
            block_ratios=shares,
            head_ratio=head_ratio,
            engine=device,
            sets=list(set_ or ()),
            seed=seed,
            progress=progress.show,
        )
    if json:
        output.document(found.to_json())
    elif not quiet:
        _report_crossover(found)


_CROSSOVER = (
    output.Column("sequence", True),
    output.Column("blocks pruned", True),
    output.Column("GPU, fused (us)", True),
    output.Column("GPU, unfused (us)", True),
    output.Column("with unit (us)", True),
    output.Column("over an unlimited link (us)", True),
    output.Column("speed-up", True),
    output.Column("link needed (GB/s)", True),
)


def _report_crossover(found: "Crossovers") -> None:
    title = f"{found.workload} on {found.hardware}, end to end: with the HDP unit against the GPU alone"
    output.table(title, _CROSSOVER, [_crossover_row(row) for row in found.rows])
    output.lines(
        [
            "Speed-up: over the GPU alone with fused attention. Link needed: bandwidth from which the two together are "
            f"faster; the system's own has {found.link_bandwidth / 1e9:g} GB/s. GPU times by {found.engine}; masks are "
            "drawn from the seed."
        ]
    )


def _crossover_row(row: "Crossover") -> list[str]:
    needed = "no link helps" if row.needed_bandwidth is None else output.amount(row.needed_bandwidth / 1e9, 3)
    times = (row.fused_us, row.unfused_us, row.unit_us, row.unlimited_us)
    speedup = f"{row.fused_us / row.unit_us:.2f}x"
    return [str(row.sequence), output.percent(row.block_ratio), *map(output.amount, times), speedup, needed]


def _shares(text: str) -> list[float]:
    shares = []
    for word in _split(text, "--block-ratio"):
        try:
            share = float(word)
        except ValueError:
            share = -1.0
        if not 0 <= share < 1:
            raise UserError(f"--block-ratio {text}: {word!r} is no share; allowed: numbers from 0 to below 1")
        shares.append(share)
    return shares


def _split(text: str, option: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UserError(f"{option} names nothing")
    return words


def _lengths(text: str) -> list[int]:
    lengths = []
    for word in _split(text, "--seq"):
        if not word.isdigit() or int(word) < 1:
            raise UserError(f"--seq {text}: {word!r} is no length; allowed: whole numbers from 1, separated by commas")
        lengths.append(int(word))
    return lengths


_TIME = (
    output.Column("unit"),
    output.Column("sequence", True),
    output.Column("latency (us)", True),
    output.Column("GOP/s", True),
    output.Column("effectual GOP/s", True),
    output.Column("normalised GOP/s", True),
    output.Column("by bits", True),
    output.Column("published", True),
    output.Column("utilisation", True),
    output.Column("energy (uJ)", True),
    output.Column("GOP/J", True),
    output.Column("DRAM (kB)", True),
)
_KEPT = (
    output.Column("unit"),
    output.Column("sequence", True),
    output.Column("kept", True),
    output.Column("pairs", True),
    output.Column("tokens", True),
    output.Column("heads", True),
    output.Column("blocks", True),
    output.Column("largest error", True),
    output.Column("rms error", True),
    output.Column("threshold"),
)


def _report(found: "AttentionComparison") -> None:
    first = found.units[0]
    shape = f"{first.heads} heads of {first.head_dim}" + (f", {first.layers} layers" if first.layers > 1 else "")
    output.table(f"Attention of {shape}: time and energy", _TIME, [_time(each) for each in found.units])
    output.table("What is kept, and what comes out", _KEPT, [_kept(each) for each in found.units])
    output.lines(
        [
            "GOP/s are those of dense attention over the time taken; normalised: at 128 multipliers and 1 GHz; by "
            "bits: at as many single-bit products as 128 multipliers of 16 x 16 bits do. Published figures are "
            "normalised, and of conditions of their own.",
            *found.notes(),
        ]
    )


def _time(unit: "UnitResult") -> list[str]:
    return [
        unit.unit,
        str(unit.sequence),
        *map(output.amount, (unit.latency_us, unit.gops, unit.effectual_gops)),
        *map(output.amount, (unit.normalised_gops, unit.normalised_gops_bits, unit.published_gops)),
        output.percent(unit.utilization),
        output.amount(unit.energy_uj),
        output.amount(unit.gop_per_j),
        output.amount(unit.dram_bytes / 1e3),
    ]


def _kept(unit: "UnitResult") -> list[str]:
    threshold = unit.threshold
    decided = threshold.origin if threshold.path is None else f"{threshold.path} = {threshold.value:.4g}"
    shares = (unit.keep_ratio, unit.kept_pairs, unit.kept_tokens, unit.kept_heads, unit.kept_blocks)
    return [
        unit.unit,
        str(unit.sequence),
        *map(output.percent, (*shares, unit.max_rel_error, unit.rms_rel_error)),
        decided,
    ]
