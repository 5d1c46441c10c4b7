"""`accelsim serve`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli import options, output
from accelsim.cli import trace as traces
from accelsim.cli.group import suggest
from accelsim.cli.progress import Progress
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.explore.serve import Batching, Demand, Served, Serving

ALL_ARRIVALS, ALL_QUEUES = ("poisson", "even"), ("compiled", "simpy")

Schemes = Annotated[
    str,
    typer.Option(
        "--scheme",
        "--schemes",
        help="One scheme, or several separated by commas.",
        autocompletion=options.complete_schemes,
    ),
]
Rates = Annotated[
    str | None,
    typer.Option(
        "--rate",
        metavar="R[,R2..]",
        show_default=False,
        help="Requests a second; left out, the trace's own, or shares of what the fastest scheme can serve.",
    ),
]
Arrivals = Annotated[str, typer.Option(help="poisson, or even: all gaps alike.")]
Trace = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.csv",
        exists=True,
        dir_okay=False,
        show_default=False,
        help="Arrivals from columns time_s and, if wanted, length; stretched to each --rate.",
    ),
]
Batch = Annotated[int, typer.Option(help="Requests that run together at most.")]
Timeout = Annotated[str, typer.Option(help="How long a request waits for others while the machine is idle, as in 2ms.")]
Buckets = Annotated[
    str | None,
    typer.Option(metavar="L,L2..", show_default=False, help="Lengths that requests are padded to, as in 64,128."),
]
Lengths = Annotated[
    str | None,
    typer.Option(show_default=False, help="Of drawn requests: 16-128 or 32,64; left out, up to the largest bucket."),
]
Sizes = Annotated[
    str | None,
    typer.Option(metavar="N,N2..", show_default=False, help="Sizes that batches are padded to; left out, every size."),
]
Servers = Annotated[int, typer.Option(help="Equal machines that take batches from one queue.")]
Requests = Annotated[
    int | None,
    typer.Option(show_default=False, help="For each rate; left out, 100000, or all of a trace."),
]
Warmup = Annotated[float, typer.Option(help="Share of the requests, from the first, that do not count.")]
Target = Annotated[
    str | None,
    typer.Option(
        "--target-p95", metavar="TIME", show_default=False, help="Look for the largest load with p95 under it, as 5ms."
    ),
]
Inputs = Annotated[
    int | None,
    typer.Option(
        min=1,
        show_default=False,
        help="Inputs that are timed where time depends on them; left out, all of the data, or 32 drawn ones.",
    ),
]
TraceOut = Annotated[
    Path | None,
    typer.Option(
        "--trace-out",
        metavar="FILE.pftrace",
        show_default=False,
        help="Write a timeline of requests and batches, which opens in ui.perfetto.dev.",
    ),
]
Queue = Annotated[str, typer.Option(help="compiled, or simpy: the same written to be read, slow.")]


def serve(
    hardware: options.Hardware,
    workload: options.Workload,
    scheme: Schemes = "dense",
    rate: Rates = None,
    arrivals: Arrivals = "poisson",
    trace: Trace = None,
    batch: Batch = 1,
    timeout: Timeout = "0ms",
    buckets: Buckets = None,
    lengths: Lengths = None,
    sizes: Sizes = None,
    servers: Servers = 1,
    requests: Requests = None,
    warmup: Warmup = 0.1,
    target_p95: Target = None,
    sparsity: options.Sparsity = None,
    set_: options.Sets = None,
    engine: options.Engine = "events",
    values: options.Values = True,
    inputs: Inputs = None,
    queue: Queue = "compiled",
    seed: options.Seed = 0,
    force: options.Force = False,
    out: options.Out = None,
    trace_out: TraceOut = None,
    trace_limit: traces.Limit = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Serve requests in batches on one machine or several: latency, throughput, queue and energy against load."""
    schemes, device = options.split_schemes(scheme), options.check_engine(engine)
    for what, word, known in (("arrivals", arrivals, ALL_ARRIVALS), ("queue", queue, ALL_QUEUES)):
        if word not in known:
            raise UserError(suggest(what, word, list(known)))
    options.check_out(out, whole=True)
    sampling = traces.sampling(trace_out, None, trace_limit, "--trace-out")
    from accelsim.explore.serve import serve as run

    seen: list[tuple[str, Served]] = []

    def watch(scheme: str, rate: float, served: "Served") -> None:
        seen.append((f"{scheme} at {rate:,.5g}/s", served))

    demand = _demand(rate, arrivals, trace, lengths, requests, warmup, target_p95, queue)
    batching = _batching(batch, timeout, buckets, sizes, servers)
    with Progress(quiet, "runs") as progress:
        found = run(
            hardware,
            workload,
            schemes=schemes,
            demand=demand,
            batching=batching,
            sets=tuple(set_ or ()),
            engine=device,
            values=values,
            seed=seed,
            sparsity=sparsity,
            force=force,
            inputs=inputs,
            progress=progress.show,
            watch=None if sampling is None else watch,
        )
    if out is not None:
        from accelsim.show.serve import serve_files

        knees = {one.scheme: one.knee_per_s for one in found.schemes}
        found.save(out, serve_files(found.to_frame(), knees, demand.target_p95_us))
    if json:
        output.document(found.to_json())
    elif not quiet:
        _report(found)
    if out is not None and not quiet:
        output.message(f"saved {out}")
    if sampling is not None:
        from accelsim.explore.timelines import serving_timeline

        traces.write(trace_out, [serving_timeline(seen, sampling)], quiet)


def _demand(
    rate: str | None,
    arrivals: str,
    trace: Path | None,
    lengths: str | None,
    requests: int | None,
    warmup: float,
    target: str | None,
    queue: str,
) -> "Demand":
    from accelsim.explore.serve import Demand, Lengths

    return Demand(
        rates=() if rate is None else _numbers("rate", rate),
        arrivals=arrivals,  # type: ignore[arg-type]
        trace=trace,
        lengths=None if lengths is None else Lengths.parse(lengths),
        requests=requests,
        warmup=warmup,
        target_p95_us=None if target is None else _seconds("target-p95", target) * 1e6,
        queue=queue,  # type: ignore[arg-type]
    )


def _batching(batch: int, timeout: str, buckets: str | None, sizes: str | None, servers: int) -> "Batching":
    from accelsim.explore.serve import Batching

    return Batching(
        batch=batch,
        timeout_ps=round(_seconds("timeout", timeout) * 1e12),
        buckets=() if buckets is None else _whole("buckets", buckets),
        sizes=() if sizes is None else _whole("sizes", sizes),
        servers=servers,
    )


def _seconds(option: str, text: str) -> float:
    from accelsim.config.quantity import parse_quantity

    try:
        value = parse_quantity(text, "time")
    except ValueError as error:
        raise UserError(f"--{option}: {error}") from None
    if value > _LONGEST_S:
        raise UserError(f"--{option} {text}: at most {_LONGEST_S:g} s")
    return value


_LONGEST_S = 3600.0


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise UserError(f"--{option} {text}: needs numbers separated by commas, as in 100,200") from None


def _whole(option: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise UserError(f"--{option} {text}: needs whole numbers separated by commas, as in 64,128") from None


_COLUMNS = tuple(
    output.Column(title, number)
    for title, number in (
        ("scheme", False),
        ("rate (1/s)", True),
        ("load", True),
        ("served (1/s)", True),
        ("mean (us)", True),
        ("p50 (us)", True),
        ("p95 (us)", True),
        ("p99 (us)", True),
        ("waiting", True),
        ("busy", True),
        ("batch", True),
        ("energy/request (uJ)", True),
    )
)
_KEYS = ("mean_us", "p50_us", "p95_us", "p99_us", "queue_length")


def _report(found: "Serving") -> None:
    """A row for each scheme and rate, then the largest loads, and what a reader should know."""
    settings = found.settings
    rows, last = [], ""
    for scheme in found.schemes:
        for point in scheme.points:
            rows.append(
                [
                    "" if scheme.scheme == last else scheme.scheme,
                    *(output.amount(point["rate_per_s"]), output.percent(point["load"])),
                    *(output.amount(point[key]) for key in ("throughput_per_s", *_KEYS)),
                    *(output.percent(point["utilisation"]), output.amount(point["batch_mean"], 3)),
                    output.amount(point["energy_per_request_uj"]),
                ]
            )
            last = scheme.scheme
    batch = f", batches up to {settings['batch']}" if settings["batch"] > 1 else ""
    machines = f"{settings['servers']} x " if settings["servers"] > 1 else ""
    title = f"{settings['workload']} on {machines}{settings['hardware']}, {settings['arrivals']}{batch}"
    output.table(title, _COLUMNS, rows)
    if settings["target_p95_us"] is not None:
        _report_largest(found)
    capacities = ", ".join(f"{one.scheme} {output.amount(one.capacity_per_s)}/s" for one in found.schemes)
    knees = ", ".join(f"{one.scheme} {output.amount(one.knee_per_s)}/s" for one in found.schemes)
    told = [
        f"Capacity with full batches, which load refers to: {capacities}.",
        f"Knee, the rate above with the most throughput over mean latency: {knees}.",
    ]
    output.lines([*told, *found.notes()])


def _report_largest(found: "Serving") -> None:
    titles = ("scheme", "rate (1/s)", "certainly within (1/s)", "load", "p95 (us)", "95 % interval (us)", "remark")
    rows = []
    for one in found.schemes:
        largest = one.largest
        assert largest is not None
        figures = largest.figures
        ends = None if figures is None else (figures["p95_low_us"], figures["p95_high_us"])
        rows.append(
            [
                one.scheme,
                output.amount(largest.rate_per_s),
                f"{output.amount(largest.surely_per_s)} to {output.amount(largest.missed_per_s)}",
                *((output.percent(figures["load"]), output.amount(figures["p95_us"])) if figures else ("-", "-")),
                "-" if ends is None or ends[0] is None else f"{output.amount(ends[0])} to {output.amount(ends[1])}",
                largest.remark or "",
            ]
        )
    columns = [output.Column(title, 0 < index < 6) for index, title in enumerate(titles)]
    target = output.amount(found.settings["target_p95_us"])
    output.table(f"Largest load with p95 up to {target} us", columns, rows)
