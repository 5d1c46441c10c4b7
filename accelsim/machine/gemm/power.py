"""The clock's answer to a board's power limit.

A kernel's actions cost the same whatever the clock, so a board that must not draw more than its limit spreads them
out over at least ``energy / (limit - static power)``. Firmware reacts over a time: a kernel much shorter than the time
constant runs at full clock, one much longer at the clock that meets the limit. Both forms, ``u = capped / free`` and
``w = t / (t + tau)``, are those that a trial found to describe large GEMMs on A100 and H100.
"""

from accelsim.errors import ConfigError


def throttled_seconds(free: float, dynamic_joule: float, static_watt: float, limit_watt: float, tau: float) -> float:
    """Time of a kernel under a power limit.

    Parameters
    ----------
    free : float
        Seconds at full clock.
    dynamic_joule : float
        Energy of the kernel's actions.
    static_watt : float
        Power that flows whatever the kernel does.
    limit_watt : float
        What the board may draw.
    tau : float
        Time constant in seconds.

    Returns
    -------
    float
        Seconds, never less than `free`.

    Raises
    ------
    ConfigError
        When the limit leaves nothing for the kernel.
    """
    if limit_watt <= static_watt:
        raise ConfigError(
            f"power.limit is {limit_watt:g} W, which leaves nothing over the {static_watt:g} W of static power in the "
            "machine's energy table; it must be more than that"
        )
    capped = dynamic_joule / (limit_watt - static_watt)
    if capped <= free or free <= 0:
        return free
    weight = free / (free + tau)
    return free * (1 - weight) + capped * weight
