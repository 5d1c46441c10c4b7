"""What happened on an attention unit, whatever its algorithm."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class AttentionRun:
    """What happened on the unit."""

    end_ps: int
    """The last output is in DRAM, and no transfer is under way."""
    stages: tuple[str, ...]
    """What a head goes through, by name; `stage_kind` holds indices."""
    causes: tuple[str, ...]
    """What time is spent on, by name; the last is idle time."""
    stage_head: IntArray
    """[records] a row for each stage of each head, in order of begin."""
    stage_core: IntArray
    stage_kind: IntArray
    stage_begin_ps: IntArray
    stage_end_ps: IntArray
    core_account_ps: IntArray
    """[cores, len(causes)]: every row adds up to `end_ps`."""
    core_busy_ps: dict[str, IntArray]
    """[cores] busy time of each resource that every core has."""
    dram_busy_ps: int
    dram_bytes: int
    buffer_bytes: int
    spilled_bytes: int
    """Written to DRAM for want of buffer, and read again."""
    products: dict[str, int]
    """Multiplications by kind."""
    bit_products: dict[str, int]
    """The same, each as the single-bit products that its operands' widths take."""
    actions: dict[str, int]
    """What energy is charged for."""
    groups: IntArray | None = None
    """[rows, 6] begin, end, head, core, stage and group of queries: what `stage_begin_ps` and so on tell, group by
    group; None unless that was asked for, or the unit does not tell."""

    @property
    def account_ps(self) -> dict[str, int]:
        """Time by cause, summed over cores: adds up to cores x `end_ps`."""
        return {cause: int(self.core_account_ps[:, index].sum()) for index, cause in enumerate(self.causes)}

    @property
    def busy_ps(self) -> dict[str, float]:
        """Busy time of each resource, the mean over cores of those that every core has."""
        return {name: float(times.mean()) for name, times in self.core_busy_ps.items()} | {
            "unit_dram": float(self.dram_busy_ps)
        }
