"""Quantities: number and unit in, exact text out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.quantity import CANONICAL, UNITS, format_quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("192 KiB", "bytes", 196608),
        ("192 kB", "bytes", 192000),
        ("1.41 GHz", "frequency", 1.41e9),
        ("2039 GB/s", "bandwidth", 2.039e12),
        ("64B/cycle", "rate", 64),
        ("1.36 us", "time", 1.36e-6),
        ("0.46 pJ", "energy", 0.46),
        ("1.16 fJ", "energy", 1.16e-3),
        ("1e3 mW", "power", 1.0),
    ],
)
def test_units_scale(text: str, dimension: str, value: float) -> None:
    assert parse_quantity(text, dimension) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    "text", [192, 1.5, True, None, "192", "KiB", "192 KB", "1 GHz", "-1 B", "nan B", "1e999 B", ""]
)
def test_bare_numbers_and_wrong_units_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="B"):
        parse_quantity(text, "bytes")


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        (196608, "bytes", "192 KiB"),
        (2.039e12, "bandwidth", "2039 GB/s"),
        (0.0, "power", "0.0 W"),
        (1.41e9, "frequency", "1.41 GHz"),
    ],
)
def test_text_is_short(value: float, dimension: str, text: str) -> None:
    assert format_quantity(value, dimension) == text


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(sorted(UNITS)), st.floats(min_value=0, max_value=1e15))
def test_text_reads_back_as_the_same_value(dimension: str, value: float) -> None:
    assert parse_quantity(format_quantity(value, dimension), dimension) == value


def test_every_dimension_has_a_canonical_unit() -> None:
    assert set(CANONICAL) == set(UNITS)
