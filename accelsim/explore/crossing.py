"""From which rung of a ladder a property holds for good, with as few evaluations as bisection needs.

A speed-up mostly rises with sparsity, but not always: a wave of thread blocks that is just full is faster than one with
a thread block more. So what is looked for is not some place where the property begins to hold, but the one above which
it was never seen to fail.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

_T = TypeVar("_T")
_ROUNDING = 1e-9


def rungs(low: float, high: float, resolution: float) -> tuple[float, ...]:
    """Multiples of a resolution from `low` to `high`, and both ends where they are none.

    >>> rungs(0.5, 0.98, 0.2)
    (0.5, 0.6, 0.8, 0.98)
    """
    first, last = math.ceil(low / resolution - _ROUNDING), math.floor(high / resolution + _ROUNDING)
    inner = {round(index * resolution, 12) for index in range(first, last + 1)}
    return tuple(sorted({*inner, low, high}))


def evenly(count: int, stride: int) -> tuple[int, ...]:
    """Every `stride`-th of `count` indices from 0, and the last."""
    return tuple(sorted({*range(0, count, max(1, stride)), count - 1}))


def holds_from(known: Mapping[int, _T], holds: Callable[[_T], bool]) -> tuple[int | None, int | None]:
    """The highest known index where a property fails, and the next known one above it.

    Returns
    -------
    tuple
        (None, lowest index) where it never fails, (highest index, None) where it fails at the top.
    """
    failing = max((index for index, value in known.items() if not holds(value)), default=None)
    above = [index for index in known if failing is None or index > failing]
    return failing, min(above, default=None)


def settle(
    seeds: Iterable[int], evaluate: Callable[[int], _T], properties: Sequence[Callable[[_T], bool]]
) -> dict[int, _T]:
    """Evaluate indices until it is known, to one index, from where each property holds.

    Starts with `seeds` and bisects between the highest known index where a property fails and the next known one. What
    one property has evaluated counts for the others, so that properties that imply one another have their answers
    in order.

    Parameters
    ----------
    seeds : iterable of int
        Known at once; what lies between two of them where nothing fails above is not looked at.
    evaluate : callable
        Value at an index; called once for each.
    properties : sequence of callable
        Each tells whether a value has the property.

    Returns
    -------
    dict
        Every evaluated index, ascending, with its value.

    Raises
    ------
    ValueError
        Without a seed.
    """
    known = {index: evaluate(index) for index in sorted(set(seeds))}
    if not known:
        raise ValueError("settle needs at least one index to start from")
    open_ends = True
    while open_ends:
        open_ends = False
        for holds in properties:
            failing, above = holds_from(known, holds)
            if failing is not None and above is not None and above - failing > 1:
                middle = (failing + above) // 2
                known[middle] = evaluate(middle)
                open_ends = True
    return dict(sorted(known.items()))


def brackets(known: Mapping[int, _T], properties: Sequence[Callable[[_T], bool]]) -> set[int]:
    """The indices on both sides of where each property begins to hold, and the outermost known ones."""
    ends = {end for holds in properties for end in holds_from(known, holds) if end is not None}
    return ends | {min(known), max(known)}
