"""What queueing theory knows exactly about one server without batches and Poisson arrivals, to check the queue against.

Times are in units of the caller's; waits do not count service.
"""

from decimal import Decimal, localcontext

from accelsim.errors import ConfigError

_DIGITS_PER_TERM = 2
"""Terms of the sum alternate, and none is above exp(2 services): less than one digit is lost for each."""


def mg1_mean_wait(load: float, mean: float, second_moment: float) -> float:
    """Mean wait of M/G/1 by Pollaczek (1930) and Khinchine (1932): rate E[S^2] / (2 (1 - load)).

    Parameters
    ----------
    load : float
        Rate times mean service, from 0 up to but without 1.
    mean, second_moment : float
        E[S] and E[S^2] of the service time.
    """
    _check(load)
    return load / mean * second_moment / (2 * (1 - load))


def md1_mean_wait(load: float, service: float) -> float:
    """Mean wait of M/D/1: load service / (2 (1 - load))."""
    return mg1_mean_wait(load, service, service**2)


def md1_wait_cdf(load: float, services: float) -> float:
    """Probability that a wait in M/D/1 is at most so many service times (Erlang 1909).

    (1 - load) sum over j = 0 .. floor(services) of (load (j - services))^j / j! exp(-load (j - services)).
    """
    _check(load)
    if services < 0:
        return 0.0
    with localcontext() as context:
        context.prec = 30 + _DIGITS_PER_TERM * int(services)
        rho, at = Decimal(load), Decimal(services)
        total, factorial = Decimal(0), Decimal(1)
        for j in range(int(services) + 1):
            factorial *= max(j, 1)
            lag = rho * (j - at)
            power = Decimal(1) if j == 0 else lag**j
            total += power / factorial * (-lag).exp()
        return float((1 - rho) * total)


def md1_wait_quantile(load: float, share: float) -> float:
    """Wait in service times of M/D/1 that a share of requests does not exceed, by bisection to 1e-9."""
    if not 0 < share < 1:
        raise ConfigError(f"share {share:g}: needs to lie between 0 and 1")
    low, high = 0.0, 1.0
    if md1_wait_cdf(load, low) >= share:
        return low
    while md1_wait_cdf(load, high) < share:
        low, high = high, 2 * high
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if md1_wait_cdf(load, middle) < share else (low, middle)
    return (low + high) / 2


def _check(load: float) -> None:
    if not 0 <= load < 1:
        raise ConfigError(f"load {load:g}: a queue settles from 0 up to but without 1")
