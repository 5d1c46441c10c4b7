"""Accuracy against what dynamic pruning leaves out: methods at equal shares, over trained seeds, with intervals."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.config.loader import load_workload
from accelsim.config.names import near
from accelsim.config.workload import Workload
from accelsim.errors import ConfigError, MappingError, OperandError
from accelsim.explore.accuracy.forward import ForwardPass, StudyModel, load_model, run_model
from accelsim.explore.accuracy.methods import METHODS, Axis, Setup
from accelsim.explore.accuracy.quality import Quality
from accelsim.explore.accuracy.study_table import Point, Study, Unreachable

BLOCK_RATIOS = (0.5, 0.7, 0.86)
HEAD_RATIOS = (0.125, 0.25, 0.375)
DEFAULT_METHODS = (
    *("hdp", "hdp_paper", "hdp_robust", "top_k", "oracle", "random", "cascade_tokens"),
    *("heads_hdp", "heads_top_k", "heads_oracle", "heads_random", "heads_cascade"),
)

Progress = Callable[[int, int], None]


def study(
    workloads: Sequence[str | Path | Workload],
    *,
    methods: Sequence[str] = DEFAULT_METHODS,
    block_ratios: Sequence[float] = BLOCK_RATIOS,
    head_ratios: Sequence[float] = HEAD_RATIOS,
    split: str = "test",
    calibration: str = "calibration",
    sets: Sequence[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> Study:
    """Run whole forward passes under each method at each ratio, and set their accuracy beside the dense one.

    Where pairs of texts have scores, what is measured is the correlation of ranks between the texts' similarities and
    the scores; without labels and scores, agreement: the cosine of each output with the dense one.

    Thresholds are solved on the calibration split alone. What a method was set to there prunes a little more or less of
    the split that is told about; both shares are in the result.

    Parameters
    ----------
    workloads : sequence
        Names, paths or specs of one network trained from different seeds, on the same inputs.
    methods : sequence of str
        Of `accelsim.explore.accuracy.METHODS`.
    block_ratios, head_ratios : sequence of float
        Shares to prune, 0 < ratio < 1: of pairs of query and key for methods that leave out blocks, tokens or values;
        of heads for the others.
    split, calibration : str
        Which inputs are told about, and on which thresholds are solved.
    sets : sequence of str
        Settings as of `accelsim.pipeline.run`, such as ``hdp.scale=2``.
    seed : int
        Of controls; models take seeds of their own from it.
    progress : callable, optional
        Called with the points done and their number.

    Returns
    -------
    Study

    Raises
    ------
    ConfigError
        For an unknown method, a ratio out of range, or none of either.
    OperandError
        For workloads without inputs of their own, or with different ones.
    """
    wanted = _points(methods, block_ratios, head_ratios)
    if not workloads:
        raise ConfigError("a study needs at least one workload")
    models = [load_model(name, [*sets, _with_inputs(name, split, sets)]) for name in workloads]
    _same_inputs(models)
    setups = [
        Setup(load_model(name, [*sets, _with_inputs(name, calibration, sets)]), model.hdp, seed + index)
        for index, (name, model) in enumerate(zip(workloads, models, strict=True))
    ]
    bench = _Bench(models, setups)
    points, unreachable = [], []
    for done, (name, ratio) in enumerate(wanted):
        if progress is not None:
            progress(done, len(wanted))
        try:
            points.append(bench.point(name, ratio))
        except MappingError as error:
            unreachable.append(Unreachable(name, ratio, str(error)))
    if progress is not None:
        progress(len(wanted), len(wanted))
    return Study(
        workloads=tuple(model.name for model in models),
        split=split,
        calibration=calibration,
        calibration_items=setups[0].calibration.plan.network.items,
        measure=bench.qualities[0].measure,
        dense=bench.dense,
        points=tuple(points),
        unreachable=tuple(unreachable),
        seed=seed,
        items=models[0].plan.network.items,
        wanted=bench.qualities[0].wanted,
    )


def _points(
    methods: Sequence[str], block_ratios: Sequence[float], head_ratios: Sequence[float]
) -> list[tuple[str, float]]:
    """Method and ratio of each point, in order."""
    for name in methods:
        if name not in METHODS:
            raise ConfigError(f"unknown method {name!r}; {near(name, METHODS)}")
    ratios: dict[Axis, Sequence[float]] = {"blocks": block_ratios, "heads": head_ratios}
    for axis, asked in ratios.items():
        for ratio in asked:
            if not 0 < ratio < 1:
                raise ConfigError(f"ratio {ratio:g} of {axis}; allowed: 0 < ratio < 1")
    points = [(name, ratio) for name in dict.fromkeys(methods) for ratio in dict.fromkeys(ratios[METHODS[name].axis])]
    if not points:
        raise ConfigError("a study needs methods, and ratios of blocks or heads that fit them")
    return points


def _with_inputs(name: str | Path | Workload, split: str, sets: Sequence[str]) -> str:
    """The setting that takes a split of a workload.

    Raises
    ------
    OperandError
        When the workload brings no inputs.
    """
    workload = load_workload(name, [text for text in sets if text.partition("=")[0].strip().startswith("workload.")])
    if getattr(workload, "data", None) is None:
        raise OperandError(
            f"workload {workload.name or workload.kind} of kind {workload.kind} brings no inputs of its own to be "
            "right or wrong on; allowed: workloads with data, such as digits_vit"
        )
    return f"workload.split={split}"


def _same_inputs(models: Sequence[StudyModel]) -> None:
    """Refuse models whose inputs differ in number or labels."""
    first = models[0]
    for model in models[1:]:
        same = all(
            np.array_equal(getattr(model.operands, name), getattr(first.operands, name))
            for name in ("labels", "scores", "pairs")
        )
        if not same or model.plan.network.items != first.plan.network.items:
            raise OperandError(
                f"workloads {first.name} and {model.name} have different inputs or labels; a study needs equal ones"
            )


class _Bench:
    """Runs points."""

    def __init__(self, models: Sequence[StudyModel], setups: Sequence[Setup]) -> None:
        self.models = models
        self.setups = setups
        outputs = [run_model(model).output for model in models]
        self.qualities = [Quality.of(model, output) for model, output in zip(models, outputs, strict=True)]
        self.dense = self._scores(outputs)

    def point(self, name: str, ratio: float) -> Point:
        """One method at one ratio on every model."""
        entry = METHODS[name]
        passes, settings = [], []
        for model, setup in zip(self.models, self.setups, strict=True):
            method, found = entry.make(setup, ratio)
            passes.append(run_model(model, method))
            settings.append(found)
        outputs = [each.output for each in passes]
        changes = [quality.margin_change(output) for quality, output in zip(self.qualities, outputs, strict=True)]
        return Point(
            method=name,
            axis=entry.axis,
            asked=ratio,
            scores=self._scores(outputs),
            pairs_pruned=_mean(passes, "pairs_pruned"),
            pairs_pruned_padded=_mean(passes, "pairs_pruned_padded"),
            heads_pruned=_mean(passes, "heads_pruned"),
            margin_change=None if None in changes else float(np.mean([each for each in changes if each is not None])),
            settings=tuple(settings),
            wanted=self.qualities[0].wanted,
        )

    def _scores(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        return np.stack([quality.scores(output) for quality, output in zip(self.qualities, outputs, strict=True)])


def _mean(passes: Sequence[ForwardPass], name: str) -> float:
    return float(np.mean([getattr(each, name) for each in passes]))
