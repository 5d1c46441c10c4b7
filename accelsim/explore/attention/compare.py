"""`compare_attention`: the same operands through every unit."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.config.attention_unit import AttentionUnit, accelerator_of
from accelsim.config.hardware import Gpu, System
from accelsim.config.loader import available, load_attention_unit, load_energy, load_hardware, load_spec
from accelsim.config.names import looks_like_path, near
from accelsim.errors import ConfigError, OperandError
from accelsim.explore.attention.comparison import AttentionComparison, UnitResult
from accelsim.explore.attention.gpu import measure_gpu, multipliers_of
from accelsim.explore.attention.measure import measure
from accelsim.explore.attention.operands import LayerOperands, draw, exact_attention, read
from accelsim.explore.attention.thresholds import Threshold, solve, value_at
from accelsim.machine.attention.accelerator import Accelerator, Operands

DEFAULT_UNITS = ("dense_array", "hdp_server", "a3", "spatten_eighth", "sanger", "energon", "acceltran_server")
"""HDP, what it is compared with, and dense attention on as many multipliers as the field normalises to."""

THRESHOLDS = ("cited", "own")

Named = str | Path | AttentionUnit | System
Contestant = AttentionUnit | System
"""A unit, or a GPU alone, which runs fused attention."""


def compare_attention(
    units: Sequence[Named] = DEFAULT_UNITS,
    *,
    sequences: Sequence[int] = (128, 384, 1024),
    heads: int = 12,
    head_dim: int = 64,
    layers: int = 1,
    operands: str | Path | None = None,
    pruning: bool = True,
    thresholds: str = "cited",
    keep_ratio: float | None = None,
    sets: Sequence[str] = (),
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> AttentionComparison:
    """Run attention accelerators on the same Q, K and V.

    Parameters
    ----------
    units : sequence of str, path, AttentionUnit or System
        Names below ``hwconfigs``, paths of YAML files, or specs: attention units, and GPUs, which run fused attention.
    sequences : sequence of int
        Lengths; operands of each are drawn from the seed. Not looked at with `operands`.
    heads, head_dim, layers : int
        Shape of drawn operands; the default is a layer of BERT-Base.
    operands : path, optional
        .npz with Q, K and V, each [heads, sequence, head_dim] or [layers, heads, sequence, head_dim].
    pruning : bool
        Without, every unit keeps everything, and whatever decides still decides.
    thresholds : {"cited", "own"}
        Whether thresholds are solved so that each unit keeps the share that publications cite for it (its YAML's
        ``keep_ratio``), or are those of its YAML.
    keep_ratio : float, optional
        One share for all units that have a threshold to solve, in place of the cited ones.
    sets : sequence of str
        ``UNIT.PATH=VALUE`` texts, as in ``a3.clock=500 MHz``.
    seed : int
        Of drawn operands.
    progress : callable, optional
        Called with the number of results so far and in all.

    Raises
    ------
    UserError
        For unknown units or settings, operands that do not fit, and shapes that a unit cannot take.

    Examples
    --------
    >>> from accelsim.explore.attention import compare_attention
    >>> found = compare_attention(["dense_array"], sequences=[64], heads=2)
    >>> found.units[0].keep_ratio
    1.0
    """
    if thresholds not in THRESHOLDS:
        raise ConfigError(f"unknown thresholds {thresholds!r}; allowed: {', '.join(THRESHOLDS)}")
    if keep_ratio is not None and not 0 < keep_ratio <= 1:
        raise ConfigError(f"keep_ratio is {keep_ratio}; allowed: 0 < keep_ratio <= 1")
    specs = _specs(units, sets)
    if operands is not None:
        inputs = [read(operands)]
        shapes = [inputs[0].first.query.shape]
    else:
        shapes = _shapes(sequences, heads, head_dim)
    for shape in shapes:  # what one cannot take is told before the others, or drawing operands, take their time
        for spec in specs:
            _check(spec, shape)
    if operands is None:
        inputs = [draw(n, heads=heads, head_dim=head_dim, layers=layers, seed=seed) for _, n, _ in shapes]
    found: list[UnitResult] = []
    for each in inputs:
        exact = tuple(exact_attention(layer) for layer in each.layers)
        for spec in specs:
            if isinstance(spec, System):
                found.append(measure_gpu(spec, each.layers, exact))
            else:
                accelerator = accelerator_of(spec.algorithm)
                ready, threshold = _threshold(accelerator, spec, each, pruning, thresholds, keep_ratio)
                table = load_energy(spec.energy)
                found.append(measure(accelerator, ready, each.layers, exact, table, threshold))
            if progress is not None:
                progress(len(found), len(inputs) * len(specs))
    return AttentionComparison(tuple(found), inputs[0].description, pruning, seed)


def _check(contestant: Contestant, shape: tuple[int, ...]) -> None:
    if isinstance(contestant, System):
        multipliers_of(contestant.gpu)
    else:
        nothing = np.broadcast_to(np.float32(0), shape)
        accelerator_of(contestant.algorithm).check(contestant, Operands(nothing, nothing, nothing))


def _shapes(sequences: Sequence[int], heads: int, head_dim: int) -> list[tuple[int, ...]]:
    """[heads, sequence, head_dim] of each length, once."""
    if not sequences:
        raise ConfigError("no sequence length is given; allowed: 1 and more")
    for name, size in (("heads", heads), ("head_dim", head_dim), *(("sequence", n) for n in sequences)):
        if size < 1:
            raise OperandError(f"{name} is {size}; allowed: 1 and more")
    return [(heads, n, head_dim) for n in dict.fromkeys(sequences)]


def _specs(units: Sequence[Named], sets: Sequence[str]) -> list[Contestant]:
    """Specs of units by name, path or spec, each with its own settings."""
    if not units:
        raise ConfigError("no unit is named")
    specs = [_loaded(unit, ()) for unit in units]
    names = [spec.name for spec in specs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{', '.join(twice)} is named more than once")
    own: dict[str, list[str]] = {name: [] for name in names}
    for text in sets:
        name, dot, rest = text.strip().partition(".")
        if not dot or name not in own:
            raise ConfigError(f"--set {text}: write UNIT.PATH=VALUE, with UNIT one of {', '.join(names)}")
        own[name].append(f"hardware.{rest}")
    return [_changed(unit, spec, own[spec.name]) for unit, spec in zip(units, specs, strict=True)]


def _changed(unit: Named, spec: Contestant, settings: list[str]) -> Contestant:
    """The unit with its own settings; a mistake in one is told in the words in which it was given."""
    if not settings:
        return spec
    try:
        return _loaded(unit, settings)
    except ConfigError as error:
        raise ConfigError(str(error).replace("--set hardware.", f"--set {spec.name}.")) from None


def _loaded(unit: Named, settings: Sequence[str]) -> Contestant:
    if isinstance(unit, System):
        return load_hardware(unit, settings)
    if isinstance(unit, AttentionUnit):
        return load_attention_unit(unit, settings)
    known = [*available("hwconfigs/attention"), *available("hwconfigs/gpus")]
    if isinstance(unit, str) and not looks_like_path(unit) and unit not in available("hwconfigs"):
        raise ConfigError(f"unknown unit {unit!r}; {near(unit, known)}")
    spec = load_spec(unit)
    if isinstance(spec, Gpu):
        return load_hardware(unit, settings)
    if not isinstance(spec, AttentionUnit):
        raise ConfigError(f"{unit} is a {spec.kind}; attention units and GPUs are compared")
    return load_attention_unit(unit, settings)


def _threshold(
    accelerator: Accelerator[Any],
    unit: AttentionUnit,
    operands: LayerOperands,
    pruning: bool,
    thresholds: str,
    keep_ratio: float | None,
) -> tuple[AttentionUnit, Threshold]:
    """The unit as it is to decide, and how that was settled."""
    if not pruning:
        return unit, Threshold("off")
    target = keep_ratio if keep_ratio is not None else unit.keep_ratio if thresholds == "cited" else None
    knob = accelerator.knob_of(unit)
    if knob is None:
        return unit, Threshold("own")
    if target is None:
        return unit, Threshold("own", knob.path, float(value_at(unit, knob.path)))
    return solve(accelerator, unit, operands.layers, target)
