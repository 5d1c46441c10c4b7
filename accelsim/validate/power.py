"""Board power of a kernel that is replayed over and over, and how far predictions of it are off."""

from typing import Any

import pandas as pd

from accelsim.config.hardware import EnergyTable, Gpu
from accelsim.validate.errors import summarise


def board_watt(joule: float, seconds: float, gpu: Gpu, table: EnergyTable) -> float:
    """Average power of a board that does nothing but replay one kernel.

    Parameters
    ----------
    joule : float
        Energy of the kernel's actions.
    seconds : float
        From one launch to the next, slowed by the power limit.
    gpu : Gpu
        Whose limit caps the average: a kernel shorter than the firmware's time constant runs faster alone than
        replayed.
    table : EnergyTable
        Whose static power flows all the time.

    Returns
    -------
    float
        Watts.
    """
    watt = joule / seconds + sum(table.static_power.values())
    return watt if gpu.power is None else min(watt, gpu.power.limit)


def power_errors(rows: pd.DataFrame) -> dict[str, Any]:
    """Errors of board power over the rows that measured it, by the keys of `ErrorSummary`.

    Parameters
    ----------
    rows : pandas.DataFrame
        Predicted rows, with measured_w (NaN where only the latency was measured) and predicted_w.
    """
    metered = rows[rows["measured_w"].notna()]
    return summarise(metered["measured_w"], metered["predicted_w"]).as_dict()
