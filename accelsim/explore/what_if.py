"""What a run would take if one mechanism of the machine cost nothing, each by itself.

An account says what time was spent on; it does not say what would be gained, because what one cause lets go another may
take. So the same kernels, with the same counts, run again on machines that lack one mechanism each. Mechanisms by which
a library chooses kernels are the exception: without one of them other kernels are planned and counted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from accelsim.config.imagined import with_imagined_unit
from accelsim.config.record import from_document
from accelsim.config.scheme import RunConfig
from accelsim.costing import Costing
from accelsim.errors import UserError
from accelsim.execution import execute, parameters_of
from accelsim.guard import guard
from accelsim.mapping.network import plan_network
from accelsim.model.build import build_network
from accelsim.model.operand_files import workload_for_operands
from accelsim.model.operands import prepare_operands
from accelsim.results import Result
from accelsim.validate.mechanisms import MECHANISMS, Mechanism, Switches

PS_PER_US = 1e6

TIMED = tuple(
    mechanism
    for mechanism in MECHANISMS.values()
    if mechanism.gpu and not (mechanism.mapping or mechanism.library or mechanism.caches or mechanism.estimate)
)
"""Mechanisms that are numbers of the GPU alone: without them the same kernels run in another time. Two of them, what L2
holds and what it loses, say how operands are found; the others are costs."""

CACHES = tuple(mechanism for mechanism in MECHANISMS.values() if mechanism.caches)
"""What lies in L2 at the start: the same kernels again."""

CHOSEN = tuple(mechanism for mechanism in MECHANISMS.values() if mechanism.mapping or mechanism.library)
"""Mechanisms of choosing kernels, and what goes with a choice: without them, other kernels."""

ALL = (*TIMED, *CACHES, *CHOSEN)
"""All but those of the closed form, which events cannot do without."""


@dataclass(frozen=True)
class WhatIf:
    """One mechanism off."""

    mechanism: str
    meaning: str
    instead: str
    latency_us: float
    gained_us: float
    """Less latency than with it; negative where it helps."""

    def document(self, base_us: float) -> dict[str, object]:
        """As plain values of JSON; `base_us` is the latency with every mechanism."""
        return {
            "mechanism": self.mechanism,
            "instead": self.instead,
            "latency_us": self.latency_us,
            "gained_us": self.gained_us,
            "gained_percent": 100 * self.gained_us / base_us if base_us else None,
        }


def what_if(
    result: Result,
    mechanisms: Sequence[Mechanism] = ALL,
    progress: Callable[[int, int], None] | None = None,
) -> list[WhatIf]:
    """Run the kernels of a result again, without one mechanism at a time.

    Parameters
    ----------
    result : Result
        Whose config is taken from its provenance; files that it names must still be there.
    mechanisms : sequence of Mechanism
        Of `ALL`. Of `CHOSEN`, those are left out whose choice the config makes itself or does not allow, and all where
        inputs go through the network a second time, whose plan is not that of one network.
    progress : callable, optional
        Called with the machines done and their number.

    Returns
    -------
    list of WhatIf
        The largest gain first; mechanisms that change nothing are left out.

    Raises
    ------
    UserError
        When the config can no longer be run.
    """
    report = progress or (lambda done, total: None)
    simulate = _simulator(from_document(result.provenance["config"]))  # type: ignore[arg-type]
    base = simulate(())
    assert base is not None  # with every mechanism the same kernels run
    found = []
    for done, mechanism in enumerate(mechanisms):
        report(done, len(mechanisms))
        latency = simulate((mechanism,))
        if latency is not None and latency != base:
            gained = (base - latency) / PS_PER_US
            found.append(
                WhatIf(mechanism.name, mechanism.meaning, mechanism.instead, latency / PS_PER_US, gained),
            )
    report(len(mechanisms), len(mechanisms))
    return sorted(found, key=lambda one: -one.gained_us)


def _simulator(config: RunConfig) -> Callable[[Sequence[Mechanism]], int | None]:
    """Latency in picoseconds of a config on a machine without some mechanisms; None where it cannot be said."""
    if config.operands is not None:
        config = config.model_copy(update={"workload": workload_for_operands(config.operands, config.workload)})
    network = build_network(config.workload)
    config = with_imagined_unit(config, network.dtype)
    costing = Costing.of(config)
    operands = prepare_operands(network, config)
    parameters = parameters_of(operands)
    plan = plan_network(network, config, costing.library, parameters, costing.sparse_library)
    guarded = guard(plan, execute(plan, config, operands), operands, costing)

    def latency_ps(switched_off: Sequence[Mechanism]) -> int | None:
        without = _without(costing, switched_off)
        if not any(mechanism in CHOSEN for mechanism in switched_off):
            return without.simulate(guarded.plan, guarded.execution).latency_ps
        if len(guarded.items) or _is_settled(config, switched_off):
            return None
        try:
            chosen = plan_network(network, without.config, without.library, parameters, without.sparse_library)
        except UserError:  # weights are packed in tiles that other kernels cannot take
            return None
        counted = execute(chosen, without.config, None)  # what heads keep does not depend on kernels
        return without.simulate(chosen, replace(counted, heads=guarded.execution.heads)).latency_ps

    return latency_ps


def _without(costing: Costing, switched_off: Sequence[Mechanism]) -> Costing:
    """A machine without some mechanisms."""
    switches, config = Switches(switched_off), costing.config
    gpu = switches.gpu(config.hardware.gpu)
    changed = {
        "hardware": config.hardware.model_copy(update={"gpu": gpu}),
        "workload": config.workload.model_copy(update={"caches": switches.caches(config.workload.caches)}),
        "mapping": switches.mapping(config.mapping),
    }
    return replace(costing, config=config.model_copy(update=changed), library=switches.library(costing.library))


def _is_settled(config: RunConfig, switched_off: Sequence[Mechanism]) -> bool:
    """Whether the config says itself what a library would choose."""
    keys = [key for mechanism in switched_off for key in mechanism.mapping]
    return any(getattr(config.mapping, key) is not None for key in keys)
