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
from accelsim.explore.accuracy.forward import BoolArray, ForwardPass, StudyModel, load_model, run_model
from accelsim.explore.accuracy.methods import METHODS, Axis, Setup
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

    Thresholds are solved on the calibration split alone. What a method was set to there prunes a little more or less of
    the split that is told about; both shares are in the result.

    Parameters
    ----------
    workloads : sequence
        Names, paths or specs of one network trained from different seeds, on the same labelled inputs.
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
        For workloads without labels, or with different ones.
    """
    wanted = _points(methods, block_ratios, head_ratios)
    if not workloads:
        raise ConfigError("a study needs at least one workload")
    for name in workloads:
        _refuse_unlabelled(name)
    models = [load_model(name, [*sets, f"workload.split={split}"]) for name in workloads]
    labels = _labels(models)
    setups = [
        Setup(load_model(name, [*sets, f"workload.split={calibration}"]), model.hdp, seed + index)
        for index, (name, model) in enumerate(zip(workloads, models, strict=True))
    ]
    bench = _Bench(models, setups, labels)
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
        calibration_items=len(setups[0].calibration.labels),
        dense=bench.dense_right,
        points=tuple(points),
        unreachable=tuple(unreachable),
        seed=seed,
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


def _refuse_unlabelled(name: str | Path | Workload) -> None:
    workload = load_workload(name)
    if not hasattr(workload, "split"):
        raise OperandError(
            f"workload {workload.name or workload.kind} of kind {workload.kind} has no labelled inputs, and accuracy "
            "needs them; allowed: workloads with data and labels, such as digits_vit"
        )


def _labels(models: Sequence[StudyModel]) -> NDArray[np.int64]:
    """The labels that all models share."""
    first = models[0]
    for model in models[1:]:
        if not np.array_equal(model.labels, first.labels):
            raise OperandError(
                f"workloads {first.name} and {model.name} have different labels; a study needs equal inputs"
            )
    labels = first.labels
    logits = first.plan.network.output
    if first.plan.network.items != len(labels):
        raise OperandError(f"workload {first.name}: {logits} is not one row for each of {len(labels)} labels")
    return labels


class _Bench:
    """Runs points."""

    def __init__(self, models: Sequence[StudyModel], setups: Sequence[Setup], labels: NDArray[np.int64]) -> None:
        self.models = models
        self.setups = setups
        self.labels = labels
        outputs = [run_model(model).output for model in models]
        self.dense_right = np.stack([self._right(output) for output in outputs])
        self.dense_margins = [margins(output, labels) for output in outputs]

    def point(self, name: str, ratio: float) -> Point:
        """One method at one ratio on every model."""
        entry = METHODS[name]
        passes, settings = [], []
        for model, setup in zip(self.models, self.setups, strict=True):
            method, found = entry.make(setup, ratio)
            passes.append(run_model(model, method))
            settings.append(found)
        return Point(
            method=name,
            axis=entry.axis,
            asked=ratio,
            right=np.stack([self._right(each.output) for each in passes]),
            pairs_pruned=_mean(passes, "pairs_pruned"),
            pairs_pruned_padded=_mean(passes, "pairs_pruned_padded"),
            heads_pruned=_mean(passes, "heads_pruned"),
            margin_change=float(np.mean([self._change(index, each) for index, each in enumerate(passes)])),
            settings=tuple(settings),
        )

    def _right(self, output: NDArray[Any]) -> BoolArray:
        right: BoolArray = np.argmax(output, axis=1) == self.labels
        return right

    def _change(self, index: int, found: ForwardPass) -> float:
        dense = self.dense_margins[index]
        change = np.abs(margins(found.output, self.labels) - dense).mean() / np.abs(dense).mean()
        return float(change)


def margins(output: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """[items] output of the right class less the largest of the others; outputs are [items, classes]."""
    others = np.array(output, dtype=np.float64)
    right = np.take_along_axis(others, labels[:, None], axis=1)[:, 0].copy()
    np.put_along_axis(others, labels[:, None], -np.inf, axis=1)
    result: NDArray[np.float64] = right - others.max(axis=1)
    return result


def _mean(passes: Sequence[ForwardPass], name: str) -> float:
    return float(np.mean([getattr(each, name) for each in passes]))
