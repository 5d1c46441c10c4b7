"""Forward passes of one workload under many settings, and what each costs: what can be shared is computed once.

Plans and counts depend on the machine and on which weights are kept, not on HDP's thresholds; kernels on the GPU take
the same time whatever the attention unit does. So a setting of HDP costs one forward pass and the unit's time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.config.loader import load_config, load_workload
from accelsim.config.scheme import Engine, RunConfig
from accelsim.config.workload import GraphWorkload, TextWorkload, VisionWorkload
from accelsim.costing import Costing
from accelsim.errors import ConfigError, MappingError
from accelsim.execution import execute, parameters_of
from accelsim.explore.budget.judge import Judge, Verdict
from accelsim.explore.budget.settings import Setting
from accelsim.guard import Guarded, guard
from accelsim.machine.simulate import KernelRun, NetworkRun, play, unit_run
from accelsim.mapping.network import NetworkPlan, check_scheme, plan_network, uses_unit
from accelsim.model.build import build_network
from accelsim.model.graph import Attention
from accelsim.model.graph_data import splits_of
from accelsim.model.operand_files import array_names
from accelsim.model.operands import OperandSet, prepare_operands
from accelsim.per_input import latency_summary, time_each_input
from accelsim.tabulate import pruned_ratios, work_done

DENSE = Setting("dense")

WithData = VisionWorkload | TextWorkload | GraphWorkload
"""Kinds of workloads that may bring data."""


@dataclass(frozen=True)
class Evaluation:
    """One setting on one set of inputs."""

    setting: Setting
    verdict: Verdict
    kept: float
    """Share of the network's dense multiply-accumulates that is still done."""
    weight_sparsity: float
    block_ratio: float | None
    head_ratio: float | None
    heads: dict[str, NDArray[np.float64]]
    """Importance of heads [inputs x heads] by attention, where HDP decided."""
    guarded_inputs: int
    latency_us: float | None = None
    """None unless costs were asked for; so is what follows."""
    energy_uj: float | None = None
    items_per_s: float | None = None
    latency_p50_us: float | None = None
    latency_p95_us: float | None = None


@dataclass
class _Planned:
    plan: NetworkPlan
    kernels: tuple[KernelRun, ...] = ()


@dataclass
class Inputs:
    """One split of a workload's data on one machine, ready for any number of settings.

    Parameters
    ----------
    hardware, workload
        Name or path.
    split : str or None
        Of the data; None takes the workload's own.
    data : path or None
        .npz in place of the workload's.
    count : int or None
        Only so many inputs, from the first.
    sets : sequence of str
        Settings that hold for all.
    engine : str
        Of costs.
    judge, keep_margin
        See `Judge`.

    Raises
    ------
    UserError
        When the workload has no data, or not this split, or not what the judge needs.
    """

    hardware: str | Path
    workload: str | Path
    split: str | None = None
    data: str | Path | None = None
    count: int | None = None
    sets: Sequence[str] = ()
    engine: Engine = "estimate"
    judge_name: str = "auto"
    keep_margin: float = 0.5
    seed: int = 0
    evaluations: int = field(default=0, init=False)
    """Settings that were evaluated, repeated ones once."""

    def __post_init__(self) -> None:
        self._known: dict[tuple[Setting, bool], Evaluation] = {}
        self._plans: dict[object, _Planned] = {}
        config = self.config(DENSE)
        spec = self.spec(config)
        self.split = spec.split
        self.network = build_network(spec)
        operands = prepare_operands(self.network, config)
        assert operands is not None
        self.operands = operands
        _, _, dense_run = self._execute(config)
        dense = dense_run.execution.output
        assert dense is not None
        data = f"{spec.data}: split {spec.split} (arrays {spec.split}_labels, {spec.split}_scores)"
        known = self.judge_name, spec.metric, self.keep_margin, _has_classes(spec, operands)
        self.judge = Judge(dense, operands, *known, data)

    @property
    def inputs(self) -> int:
        """How many there are."""
        return self.network.items

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the attentions, in order."""
        return tuple(op.name for op in self.network.operations if isinstance(op, Attention))

    def config(self, setting: Setting) -> RunConfig:
        """What a setting runs as on these inputs.

        Raises
        ------
        ConfigError
            For options that do not exist or are out of range.
        """
        return load_config(
            self.hardware,
            self.workload,
            scheme=setting.scheme,
            sets=[*self._of_data(), *self.sets, *setting.sets()],
            engine=self.engine,
            seed=self.seed,
        )

    def check(self, setting: Setting) -> None:
        """Refuse a setting that the machine or the workload cannot carry out."""
        check_scheme(self.network, self.config(setting))

    def runnable(self, settings: Sequence[Setting]) -> list[Setting]:
        """Those of a scheme's settings that the machine can run: N:M has groups that need sparse tensor cores.

        Raises
        ------
        MappingError
            When it can run none of them.
        """
        found, refused = [], None
        for setting in settings:
            try:
                self.check(setting)
                found.append(setting)
            except MappingError as error:
                refused = error
        if refused is not None and not found:
            raise refused
        return found

    def spec(self, config: RunConfig) -> WithData:
        """The workload, if it has data of this split.

        Raises
        ------
        ConfigError
            When it has none.
        """
        spec = config.workload
        assert isinstance(spec, WithData)
        if spec.data is None:
            raise ConfigError(f"workload {spec.name} names no data; give a .npz, or set workload.data")
        if isinstance(spec, GraphWorkload):
            kind, splits = next(iter(spec.inputs)), splits_of(spec)
        else:
            kind = "images" if isinstance(spec, VisionWorkload) else "tokens"
            named = [name for name in array_names(spec.data) if name.endswith(f"_{kind}")]
            splits = sorted(name.removesuffix(f"_{kind}") for name in named)
        if spec.split not in splits:
            raise ConfigError(
                f"{spec.data}: no split {spec.split}, which would be an array {spec.split}_{kind}; splits in the "
                f"file: {', '.join(splits) or 'none'}"
            )
        return spec

    def _of_data(self) -> list[str]:
        """Settings of the workload that choose its inputs.

        Raises
        ------
        ConfigError
            When it is of a kind that has none.
        """
        spec = load_workload(self.workload)
        if not isinstance(spec, WithData):
            raise ConfigError(
                f"workload {spec.name} is of kind {spec.kind} and has no data to be right or wrong on; "
                "take one of kind vision, text or graph"
            )
        sets = [] if self.data is None else [f"workload.data={Path(self.data).resolve()}"]
        sets += [] if self.split is None else [f"workload.split={self.split}"]
        if self.count is not None:
            sets.append(f"workload.{'images' if isinstance(spec, VisionWorkload) else 'items'}={self.count}")
        return sets

    def evaluate(self, setting: Setting, costs: bool = False, each: bool = False) -> Evaluation:
        """Outputs of a setting judged, and what it keeps.

        Parameters
        ----------
        setting : Setting
        costs : bool
            Whether time and energy are wanted too.
        each : bool
            Whether inputs are timed one by one as well.
        """
        key = setting, costs or each
        if key not in self._known:
            if (setting, False) not in self._known:
                self.evaluations += 1
            self._known[key] = self._evaluate(setting, costs, each)
        return self._known[key]

    def _evaluate(self, setting: Setting, costs: bool, each: bool) -> Evaluation:
        config = self.config(setting)
        planned, costing, guarded = self._execute(config)
        execution = guarded.execution
        assert execution.output is not None
        done = sum(work_done(guarded.plan, execution))
        ratios = pruned_ratios(execution.heads)
        importance = {
            name: masks.head_importance for name, masks in execution.heads.items() if masks.head_importance is not None
        }
        return Evaluation(
            setting,
            self.judge.of(execution.output),
            done / self.network.macs,
            guarded.plan.weight_sparsity,
            ratios["block_ratio"],
            ratios["head_ratio"],
            importance,
            len(guarded.items),
            **(self._costs(planned, costing, guarded, each) if costs or each else {}),
        )

    def _execute(self, config: RunConfig) -> tuple[_Planned, Costing, Guarded]:
        costing = Costing.of(config)
        check_scheme(self.network, config)
        weights = config.pattern_options and config.pattern_options.model_dump_json()
        key = uses_unit(config.scheme), weights, config.mapping.model_dump_json()
        if key not in self._plans:
            parameters = parameters_of(self.operands)
            plan = plan_network(self.network, config, costing.library, parameters, costing.sparse_library)
            self._plans[key] = _Planned(plan)
        planned = self._plans[key]
        execution = execute(planned.plan, config, self.operands)
        return planned, costing, guard(planned.plan, execution, self.operands, costing)

    def _costs(self, planned: _Planned, costing: Costing, guarded: Guarded, each: bool) -> dict[str, Any]:
        run = self._timed(planned, costing, guarded)
        alone = time_each_input(costing, planned.plan, self.operands, guarded) if each else None
        return {
            "latency_us": run.latency_ps * 1e-6,
            "energy_uj": costing.total_uj(run),
            "items_per_s": self.inputs / (run.latency_ps * 1e-12),
            **latency_summary(alone),
        }

    def _timed(self, planned: _Planned, costing: Costing, guarded: Guarded) -> NetworkRun:
        """Kernels of the GPU are those of an earlier run of this plan, if there was one and no second pass."""
        if guarded.plan is not planned.plan:
            return costing.simulate(guarded.plan, guarded.execution)
        if not planned.kernels:
            run = costing.simulate(planned.plan, guarded.execution)
            planned.kernels = run.kernels
            return run
        units = [
            unit_run(one.operation, guarded.execution, costing.config)
            for one in planned.plan.operations
            if isinstance(one.operation, Attention) and one.place == "attention_unit"
        ]
        return play(planned.plan, planned.kernels, units, costing.config.hardware)


def _has_classes(spec: WithData, operands: OperandSet) -> bool:
    """Whether outputs are of classes: a list of operations does not say so, but its labels do."""
    return operands.labels is not None if isinstance(spec, GraphWorkload) else spec.classes is not None
