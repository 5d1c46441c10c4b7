"""What HDP's decision costs against what it saves, on one unit."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from accelsim.config.hardware import HdpUnit
from accelsim.kernels.hdp_counts import block_count
from accelsim.machine.attention.hdp_pipeline import DECISION_CYCLES, simulate_hdp
from accelsim.machine.attention.parts import PS_PER_SECOND
from accelsim.machine.attention.run import AttentionRun
from accelsim.machine.attention.work import HeadWork, decision_bytes, dense_work, head_costs


@dataclass(frozen=True)
class DecisionOverhead:
    """The decision of a run, and what the run saves against dense attention on the same unit.

    Integer scores are the decision's even where kept blocks take them over into their scores
    (`reused_bit_products`): without a decision nobody would compute them apart.
    """

    decision_cycles: float
    """Time in which cores have nothing but a decision under way (integer scores, sparsity engine, spilling), the mean
    over cores: what it adds to the run."""
    hidden_cycles: float
    """Time in which integer array or sparsity engine work beside the other half, the mean over cores."""
    saved_cycles: float
    """By which the run is shorter than dense attention; what the decision adds is taken off already."""
    dense_cycles: float
    decision_actions: dict[str, int]
    """What energy is charged for on the decision's behalf."""
    saved_actions: dict[str, int]
    """Of dense attention less those of the run, the decision's own left out of the latter."""
    reused_bit_products: int
    """Integer products of kept scores."""

    def decision_energy(self, energies: Mapping[str, float]) -> float:
        """Dynamic energy of the decision, in the unit of `energies` (those of an energy table are pJ)."""
        return _energy(self.decision_actions, energies)

    def saved_energy(self, energies: Mapping[str, float]) -> float:
        """Dynamic energy that pruning saves before the decision is paid for, in the unit of `energies`."""
        return _energy(self.saved_actions, energies)


def _energy(actions: Mapping[str, int], energies: Mapping[str, float]) -> float:
    return sum(number * energies[name] for name, number in actions.items())


def decision_overhead(unit: HdpUnit, work: HeadWork) -> DecisionOverhead:
    """Weigh the decision of a layer's heads against what it saves.

    Parameters
    ----------
    unit : HdpUnit
    work : HeadWork
        With decisions, from `hdp_work`; dense attention of the same heads is simulated beside it.

    Raises
    ------
    MappingError
        When the unit cannot take the heads.
    """
    bits = {"integer_bits": work.integer_bits, "fraction_bits": work.fraction_bits}
    dense = simulate_hdp(unit, dense_work(work.heads, work.sequence, work.head_dim, **bits))
    run = simulate_hdp(unit, work)
    costs = head_costs(unit, work)
    nb, integer = block_count(work.sequence), work.integer_bits**2
    again = int(costs.recomputed_products.sum())
    # Integer parts that fit are read once for all purposes; others are read for the decision, and again after it.
    loaded = costs.load_bytes * (2 * work.sequence * work.row_bytes(work.integer_bits) > unit.buffer)
    own = {
        "bit_product": (int(work.counts.integer_products.sum()) + again) * integer,
        "buffer_byte": int((decision_bytes(unit, work) + loaded).sum()),
        "dram_byte": int((costs.spill_write_bytes + costs.spill_read_bytes + loaded).sum()),
        "softmax_element": 0,
        "sparsity_block": work.heads * nb * nb,
    }
    exposed = _cycles(unit, run.account_ps, ("integer_scores", "decision", "spill"))
    engines = sum(costs.integer_cycles) + costs.engine_cycles[-1] + DECISION_CYCLES
    return DecisionOverhead(
        decision_cycles=exposed,
        hidden_cycles=max(0.0, work.heads * engines / unit.cores - exposed),
        saved_cycles=_end(unit, dense) - _end(unit, run),
        dense_cycles=_end(unit, dense),
        decision_actions=own,
        saved_actions={name: dense.actions[name] - (run.actions[name] - own[name]) for name in own},
        reused_bit_products=int(np.sum(work.counts.kept_elements)) * work.head_dim * integer - again * integer,
    )


def _cycles(unit: HdpUnit, account_ps: Mapping[str, int], causes: tuple[str, ...]) -> float:
    return sum(account_ps[cause] for cause in causes) / unit.cores / PS_PER_SECOND * unit.clock


def _end(unit: HdpUnit, run: AttentionRun) -> float:
    return run.end_ps / PS_PER_SECOND * unit.clock
