"""From which rung a property holds: settled answers are those of looking everywhere, or at least never refuted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.explore.crossing import brackets, evenly, holds_from, rungs, settle

_SETTINGS = settings(deadline=None, max_examples=60)
_VALUES = st.lists(st.integers(0, 3), min_size=1, max_size=60)
_PROPERTIES = (lambda value: value > 0, lambda value: value > 1, lambda value: value > 2)


def _begin(values, holds):
    """By looking at every value from the top."""
    index = len(values)
    while index > 0 and holds(values[index - 1]):
        index -= 1
    return None if index == len(values) else index


@_SETTINGS
@given(_VALUES)
def test_all_seeds_give_the_answer_of_looking_everywhere(values):
    known = settle(range(len(values)), values.__getitem__, _PROPERTIES)
    for holds in _PROPERTIES:
        assert holds_from(known, holds)[1] == _begin(values, holds)


@_SETTINGS
@given(_VALUES)
def test_ends_are_enough_where_values_rise(values):
    values = sorted(values)
    asked = []

    def evaluate(index):
        asked.append(index)
        return values[index]

    known = settle({0, len(values) - 1}, evaluate, _PROPERTIES)
    for holds in _PROPERTIES:
        assert holds_from(known, holds)[1] == _begin(values, holds)
    assert len(asked) == len(set(asked)) <= 2 + 3 * len(values).bit_length()


@_SETTINGS
@given(_VALUES, st.integers(1, 9))
def test_answers_touch_what_fails_and_keep_their_order(values, stride):
    known = settle(evenly(len(values), stride), values.__getitem__, _PROPERTIES)
    ends = [holds_from(known, holds) for holds in _PROPERTIES]
    for failing, above in ends:
        assert failing is None or above is None or above == failing + 1
    order = [len(values) if above is None else above for _, above in ends]
    assert order == sorted(order)
    assert brackets(known, _PROPERTIES) <= set(known)


@_SETTINGS
@given(_VALUES)
def test_brackets_alone_settle_the_same_answer(values):
    known = settle(range(len(values)), values.__getitem__, _PROPERTIES)
    again = settle(brackets(known, _PROPERTIES), values.__getitem__, _PROPERTIES)
    assert [holds_from(again, holds) for holds in _PROPERTIES] == [holds_from(known, holds) for holds in _PROPERTIES]


def test_rungs_are_multiples_and_both_ends():
    assert rungs(0.0, 0.3, 0.1) == (0.0, 0.1, 0.2, 0.3)
    assert rungs(0.5, 0.98, 0.2) == (0.5, 0.6, 0.8, 0.98)
    assert rungs(0.5, 0.5, 0.005) == (0.5,)
    assert len(rungs(0.0, 0.98, 0.005)) == 197


def test_evenly_has_both_ends():
    assert evenly(1, 4) == (0,)
    assert evenly(10, 4) == (0, 4, 8, 9)


def test_settle_needs_a_start():
    with pytest.raises(ValueError, match="at least one"):
        settle([], int, _PROPERTIES)
