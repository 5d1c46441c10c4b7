"""Points that no other one beats, held to the definition."""

from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.results.front import unbeaten


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=25), st.booleans())
def test_the_front_is_what_nothing_beats(places: list[tuple[int, int]], more: bool) -> None:
    sign = -1 if more else 1
    found = unbeaten([x for x, _ in places], [y for _, y in places], more_is_better=more)
    for one, is_best in zip(places, found, strict=True):
        beaten = any(
            other[0] <= one[0] and sign * other[1] <= sign * one[1] and other != one for other in places
        )  # fmt: skip
        assert is_best == (not beaten)
