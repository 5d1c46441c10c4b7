"""What queueing theory knows exactly about servers without batches and Poisson arrivals, to check the queue against.

Times are in units of the caller's; waits do not count service.
"""

import math
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
    _check(load, share=share)
    low, high = 0.0, 1.0
    if md1_wait_cdf(load, low) >= share:
        return low
    while md1_wait_cdf(load, high) < share:
        low, high = high, 2 * high
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if md1_wait_cdf(load, middle) < share else (low, middle)
    return (low + high) / 2


def erlang_c(load: float, servers: int) -> float:
    """Probability that a request of M/M/c waits (Erlang 1917), by the recursion of Erlang's loss formula.

    Parameters
    ----------
    load : float
        Rate times mean service over the servers, from 0 up to but without 1.
    servers : int
    """
    _check(load, servers)
    offered, lost = load * servers, 1.0
    for count in range(1, servers + 1):
        lost = offered * lost / (count + offered * lost)
    return lost / (1 - load * (1 - lost))


def mmc_mean_wait(load: float, servers: int, mean: float) -> float:
    """Mean wait of M/M/c: the probability of a wait times mean / (servers (1 - load))."""
    return erlang_c(load, servers) * mean / (servers * (1 - load))


def mmc_wait_quantile(load: float, servers: int, share: float) -> float:
    """Wait in mean services of M/M/c that a share of requests does not exceed; waits above 0 are exponential."""
    _check(load, servers, share)
    waiting = erlang_c(load, servers)
    return max(0.0, math.log(waiting / (1 - share)) / (servers * (1 - load))) if waiting else 0.0


def mdc_mean_wait(load: float, servers: int, service: float) -> float:
    """Mean wait of M/D/c (Crommelin 1932).

    With P(i, j) the probability that at least j requests arrive during i services,
    service sum over i = 1 .. infinity of P(i, i c) - P(i, i c + 1) / load. It is cut where terms no longer count.
    """
    _check(load, servers)
    total, turn, term = 0.0, 0, 1.0
    while load and term > _NEGLIGIBLE:
        turn += 1
        count, arrivals = turn * servers, turn * servers * load
        beyond = _poisson_tail(arrivals, count + 1)
        term = beyond + _poisson(arrivals, count) - beyond / load
        total += term
    return service * total


_NEGLIGIBLE = 1e-13
"""Share of a service time below which a term of a sum counts no more."""


def _poisson(mean: float, count: int) -> float:
    return math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))


def _poisson_tail(mean: float, least: int) -> float:
    """Probability of at least so many, which is more than the mean: terms fall from the first on."""
    term, total = _poisson(mean, least), 0.0
    while term > _NEGLIGIBLE * total:
        total += term
        least += 1
        term *= mean / least
    return total


def _check(load: float, servers: int = 1, share: float = 0.5) -> None:
    if servers < 1:
        raise ConfigError(f"servers {servers}: needs at least 1")
    if not 0 < share < 1:
        raise ConfigError(f"share {share:g}: needs to lie between 0 and 1")
    if not 0 <= load < 1:
        raise ConfigError(f"load {load:g}: a queue settles from 0 up to but without 1")
