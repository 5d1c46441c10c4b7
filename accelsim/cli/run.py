"""`accelsim run` and `accelsim compare`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli import options, output, report, trace
from accelsim.cli.progress import Progress

if TYPE_CHECKING:
    from accelsim.results import Result


def run(
    hardware: options.Hardware,
    workload: options.Workload,
    scheme: options.Scheme = "dense",
    sparsity: options.Sparsity = None,
    set_: options.Sets = None,
    engine: options.Engine = "events",
    values: options.Values = True,
    seed: options.Seed = 0,
    operands: options.Operands = None,
    masks: options.Masks = None,
    force: options.Force = False,
    per_input: Annotated[
        bool, typer.Option("--per-input", help="Time each input by itself too: median and 95th percentile of latency.")
    ] = False,
    out: options.Out = None,
    trace_file: trace.File = None,
    trace_sms: trace.Sms = None,
    trace_limit: trace.Limit = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run one workload on one machine under one scheme: output, cycles, energy, and where they went."""
    chosen, device = options.check_scheme(scheme), options.check_engine(engine)
    options.check_out(out)
    sampling = trace.sampling(trace_file, trace_sms, trace_limit)
    options.note_idle_sparsity(chosen, sparsity, quiet or json)
    import accelsim

    with Progress(quiet, "simulating"):
        result = accelsim.run(
            hardware,
            workload,
            scheme=chosen,
            sets=tuple(set_ or ()),
            engine=device,
            values=values,
            seed=seed,
            operands=operands,
            masks=masks,
            sparsity=sparsity,
            force=force,
            per_input=per_input,
            trace=sampling,
        )
    saved = None if out is None else result.save(out / folder_name(result))
    if json:
        output.document(result.to_json())
    elif not quiet:
        report.run(result)
    _saved(saved, quiet)
    trace.write(trace_file, [result.timeline], quiet)


def compare(
    hardware: options.Hardware,
    workload: options.Workload,
    schemes: options.Schemes = "dense,tile_wise,hdp,tile_wise+hdp",
    sparsity: options.Sparsity = None,
    set_: options.Sets = None,
    engine: options.Engine = "events",
    values: options.Values = True,
    seed: options.Seed = 0,
    operands: options.Operands = None,
    masks: options.Masks = None,
    force: options.Force = False,
    out: options.Out = None,
    trace_file: trace.File = None,
    trace_sms: trace.Sms = None,
    trace_limit: trace.Limit = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run several schemes on one machine and workload, and compare them with the dense one."""
    names = options.split_schemes(schemes)
    device = options.check_engine(engine)
    options.check_out(out, whole=True)
    sampling = trace.sampling(trace_file, trace_sms, trace_limit)
    import accelsim

    with Progress(quiet, "schemes") as progress:
        comparison = accelsim.compare(
            hardware,
            workload,
            schemes=names,
            sets=tuple(set_ or ()),
            engine=device,
            values=values,
            seed=seed,
            operands=operands,
            masks=masks,
            sparsity=sparsity,
            force=force,
            trace=sampling,
            progress=progress.show,
        )
    saved = None
    if out is not None:
        from accelsim.show import save_comparison

        saved = save_comparison(comparison, out)
    if json:
        output.document(comparison.to_json())
    elif not quiet:
        report.compare(comparison)
    _saved(saved, quiet)
    trace.write(trace_file, (result.timeline for result in comparison.results), quiet)


def folder_name(result: "Result") -> str:
    """Folder of a run, the same for the same config: hardware, workload, scheme and the start of the config's hash.

    Names are the user's; what could lead to another folder is left out of them.
    """
    summary = result.summary
    digest = str(result.provenance["config_hash"])[:8]
    name = f"{summary['hardware']}-{summary['workload']}-{summary['scheme']}-{digest}"
    return re.sub(r"[^\w.+-]+", "_", name).lstrip(".-")


def _saved(folder: Path | None, quiet: bool) -> None:
    if folder is not None and not quiet:
        output.message(f"saved {folder}")
