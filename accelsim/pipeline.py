"""The whole of accelsim in five calls: describe, plan, execute, simulate, account."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from accelsim.config.hardware import System
from accelsim.config.imagined import with_imagined_unit
from accelsim.config.loader import load_config
from accelsim.config.scheme import Engine, RunConfig, SchemeName
from accelsim.config.trace import Sampling
from accelsim.config.workload import Workload
from accelsim.costing import Costing
from accelsim.errors import OperandError
from accelsim.execution import execute, parameters_of
from accelsim.guard import guard, guard_summary
from accelsim.mapping.network import check_scheme, plan_network, uses_unit
from accelsim.model.build import build_network
from accelsim.model.operand_files import workload_for_operands
from accelsim.model.operands import OperandSet, prepare_operands
from accelsim.per_input import latency_summary, time_each_input
from accelsim.results import Comparison, Result
from accelsim.tabulate import tabulate
from accelsim.tabulate.timeline import timeline_of


def run_config(
    config: RunConfig,
    *,
    each_input: bool = False,
    drawn: OperandSet | None = None,
    trace: Sampling | None = None,
) -> Result:
    """Run what a config describes.

    Parameters
    ----------
    config : RunConfig
        Machine, workload, scheme and options. The same config gives the same result, to the byte.
    each_input : bool
        Whether each input is timed by itself too (`Result.per_input`).
    drawn : OperandSet, optional
        Operands of this config (`prepare_operands`), when someone has them already.
    trace : Sampling, optional
        What `Result.timeline` is to hold; left out, there is none.

    Returns
    -------
    Result

    Raises
    ------
    UserError
        When machine, workload and options do not go together, or operands are unfit.
    """
    if config.operands is not None:
        config = config.model_copy(update={"workload": workload_for_operands(config.operands, config.workload)})
    network = build_network(config.workload)
    config = with_imagined_unit(config, network.dtype)
    check_scheme(network, config)
    costing = Costing.of(config)

    operands = prepare_operands(network, config) if drawn is None else drawn
    plan = plan_network(network, config, costing.library, parameters_of(operands), costing.sparse_library)
    execution = execute(plan, config, operands)
    guarded = guard(plan, execution, operands, costing)
    simulated = costing.simulate(guarded.plan, guarded.execution, trace)
    energy = costing.energy(simulated)
    result = tabulate(config, guarded.plan, guarded.operands, guarded.execution, simulated, energy)
    alone = time_each_input(costing, plan, operands, guarded) if each_input else None
    added = guard_summary(guarded, simulated, costing) | latency_summary(alone)
    timeline = None if trace is None else timeline_of(config, simulated, trace)
    return replace(result, summary=result.summary | added, per_input=alone, timeline=timeline)


def run(
    hardware: str | Path | System,
    workload: str | Path | Workload,
    *,
    scheme: SchemeName = "dense",
    sets: Sequence[str] = (),
    engine: Engine = "events",
    values: bool = True,
    seed: int = 0,
    operands: str | Path | None = None,
    masks: str | Path | None = None,
    sparsity: float | None = None,
    force: bool = False,
    per_input: bool = False,
    trace: Sampling | None = None,
) -> Result:
    """Run one workload on one machine under one scheme.

    Parameters
    ----------
    hardware, workload
        Name of a shipped config (`accelsim hw list`, `accelsim workload list`), path of a YAML, or a spec.
    scheme : str
        One of `accelsim.config.scheme.SchemeName`: dense, a pattern of weights, hdp, tile_wise+hdp or dense_on_unit.
    sets : sequence of str
        Settings as ``path=value``: ``mapping.tile_m=128``, ``workload.m=777``, ``hardware.gpu.clock=1.2 GHz``.
    engine : str
        events, simpy (the same device written to be read, slow) or estimate (closed form).
    values : bool
        False takes time from shapes and masks alone.
    seed : int
        Of synthetic operands and masks.
    operands : path or None
        .npz of the user's matrices: A and B, or Q, K and V.
    masks : path or None
        Folder of a saved result whose masks a run without values takes.
    sparsity : float or None
        Short for ``SCHEME.sparsity=...`` (n_m has 1 - n/m).
    force : bool
        Whether sparse tensor cores are imagined on a machine without them; the result says so.
    per_input : bool
        Whether each input is timed by itself too: its table, and percentiles of latency.
    trace : Sampling or None
        SMs and size of a timeline (`Result.timeline`, which `accelsim.show.trace.write_trace` writes); None for none.

    Returns
    -------
    Result

    Examples
    --------
    >>> result = run("v100_pcie", "gemm_1024", scheme="tile_wise", values=False)
    >>> result.summary["macs"]
    1073741824
    """
    config = load_config(
        hardware,
        workload,
        scheme=scheme,
        sets=sets,
        engine=engine,
        values=values,
        seed=seed,
        operands=operands,
        masks=masks,
        force=force,
        sparsity=sparsity,
    )
    _check_sizes(config, sets)
    return run_config(config, each_input=per_input, trace=trace)


def _check_sizes(config: RunConfig, sets: Sequence[str]) -> None:
    """Refuse sizes that are set by hand and are not those of the operands' file."""
    if config.operands is None:
        return
    sized = workload_for_operands(config.operands, config.workload)
    for text in sets:
        root, _, field = text.partition("=")[0].strip().partition(".")
        if root == "workload" and getattr(sized, field, None) != getattr(config.workload, field, None):
            raise OperandError(f"--set {text}: {config.operands} makes workload.{field} {getattr(sized, field)}")


DEFAULT_SCHEMES: tuple[SchemeName, ...] = ("dense", "tile_wise", "hdp", "tile_wise+hdp")


def compare(
    hardware: str | Path | System,
    workload: str | Path | Workload,
    *,
    schemes: Sequence[SchemeName] = DEFAULT_SCHEMES,
    sets: Sequence[str] = (),
    engine: Engine = "events",
    values: bool = True,
    seed: int = 0,
    operands: str | Path | None = None,
    masks: str | Path | None = None,
    sparsity: float | None = None,
    force: bool = False,
    trace: Sampling | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Run one workload on one machine under several schemes.

    Speed-ups refer to the dense scheme, which is run whether or not it is asked for. When a scheme computes attention
    on the attention unit, dense attention on that unit (``dense_on_unit``) joins the table, so that what the machine
    gives and what the algorithm gives are told apart.

    Parameters
    ----------
    schemes : sequence of str
        In the order of the table.
    hardware, workload, sets, engine, values, seed, operands, masks, sparsity, force, trace
        As for `run`; n_m has the sparsity of its n and m whatever is asked.
    progress : callable or None
        Called with how many of how many schemes are done.

    Returns
    -------
    Comparison
    """
    wanted = list(dict.fromkeys(schemes))
    if any(uses_unit(scheme) for scheme in wanted) and "dense_on_unit" not in wanted:
        wanted.append("dense_on_unit")
    configs = {
        scheme: load_config(
            hardware,
            workload,
            scheme=scheme,
            sets=sets,
            engine=engine,
            values=values,
            seed=seed,
            operands=operands,
            masks=masks,
            force=force,
            sparsity=None if scheme == "n_m" else sparsity,
        )
        for scheme in dict.fromkeys(["dense", *wanted])
    }
    _check_sizes(configs["dense"], sets)
    network = build_network(configs["dense"].workload)
    for config in configs.values():  # a scheme that cannot run is told before the others take their time
        check_scheme(network, with_imagined_unit(config, network.dtype))
    # Operands depend on no scheme; drawn once, they carry the reference that errors are told against, too.
    shared = prepare_operands(network, configs["dense"]) if configs["dense"].operands is None else None
    found: dict[SchemeName, Result] = {}
    for scheme, config in configs.items():
        if progress is not None:
            progress(len(found), len(configs))
        found[scheme] = run_config(config, drawn=shared, trace=trace)
    return Comparison(tuple(found[scheme] for scheme in wanted), found["dense"])
