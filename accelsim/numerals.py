"""Numbers as a reader sees them, on the terminal and in reports. It imports nothing, for a quick start."""

_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def amount(value: object, digits: int = 4) -> str:
    """A number with so many significant digits, no exponent where it can be helped; a dash for what does not apply.

    >>> amount(63.5571), amount(1234567), amount(None)
    ('63.56', '1,234,567', '-')
    """
    if value is None or (isinstance(value, float) and value != value):
        return "-"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if value and not 1e-3 <= abs(value) < 1e9:
        return f"{value:.{digits - 1}e}"
    whole = len(str(int(abs(value))))
    return f"{value:,.{max(0, digits - whole)}f}" if abs(value) >= 1 else f"{value:.{digits}g}"


def count(value: object) -> str:
    """A count with four digits and a prefix: 931.1 M."""
    if not isinstance(value, (int, float)) or value != value:
        return "-"
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            return f"{value / size:.4g} {prefix}"
    return f"{value:.4g}"


def percent(value: object, digits: int = 3) -> str:
    """A share as a percentage."""
    if not isinstance(value, (int, float)) or value != value:
        return "-"
    return f"{100 * value:.{digits}g} %"
