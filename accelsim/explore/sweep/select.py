"""Which records of a sweep are shown: a condition in plain words, and an order."""

import heapq
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from accelsim.config.names import near
from accelsim.errors import ConfigError
from accelsim.explore.sweep.points import Record

Value = bool | int | float | str | None

_OPERATORS: dict[str, Callable[[object, object], bool]] = {
    "==": lambda left, right: left == right,
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<=": lambda left, right: left <= right,  # type: ignore[operator]
    ">=": lambda left, right: left >= right,  # type: ignore[operator]
    "<": lambda left, right: left < right,  # type: ignore[operator]
    ">": lambda left, right: left > right,  # type: ignore[operator]
}
_EQUALITY = ("==", "=", "!=")
_WORDS: dict[str, Value] = {"true": True, "false": False, "null": None, "none": None}
_TOKEN = re.compile(r"""\s*(?:(?P<operator><=|>=|!=|==|<|>|=)|(?P<quoted>"[^"]*"|'[^']*')|(?P<word>[^\s<>=!"']+))""")
_FORM = "conditions are of the form KEY OPERATOR VALUE [and ...], as in latency_us < 100 and scheme = tile_wise"


@dataclass(frozen=True)
class Comparison:
    """``key operator value``."""

    key: str
    operator: str
    value: Value

    def holds(self, record: Record) -> bool:
        """Whether a record meets it; one without the key, or with a null there, meets (in)equalities with null alone.

        Raises
        ------
        ConfigError
            When a text is compared with a number by size.
        """
        found = record.get(self.key)
        if self.operator in _EQUALITY:
            equal = _alike(found, self.value) and found == self.value
            return equal if self.operator != "!=" else not equal and (found is not None or self.value is None)
        if found is None:
            return False
        if not _alike(found, self.value) or isinstance(found, bool):
            raise ConfigError(f"--where: {self.key} is {found!r}, which cannot be {self.operator} {self.value!r}")
        return _OPERATORS[self.operator](found, self.value)


def parse_where(text: str, known: Iterable[str]) -> list[Comparison]:
    """Comparisons that a record has to meet, all of them.

    Nothing is evaluated: a condition names a key, one of ``= == != < <= > >=``, and a number, a text (in quotes where
    it has spaces), true, false or null.

    Parameters
    ----------
    text : str
    known : iterable of str
        Keys that some record has.

    Raises
    ------
    ConfigError
        For anything else, or an unknown key.

    Examples
    --------
    >>> parse_where("latency_us < 100 and error = null", ["latency_us", "error"])[0]
    Comparison(key='latency_us', operator='<', value=100)
    """
    tokens = _tokens(text)
    known = list(known)
    found: list[Comparison] = []
    for begin in range(0, len(tokens), 4):
        part = tokens[begin : begin + 4]
        kinds = [kind for kind, _ in part[:3]]
        joined = (len(part) == 3 and begin + 3 == len(tokens)) or (len(part) == 4 and part[3] == ("word", "and"))
        if len(kinds) < 3 or kinds[1] != "operator" or "operator" in (kinds[0], kinds[2]) or not joined:
            raise ConfigError(f"--where {text!r}: {_FORM}")
        key = part[0][1]
        if key not in known:
            raise ConfigError(f"--where {text!r}: no point has a key {key!r}; {near(key, known)}")
        comparison = Comparison(key, part[1][1], _value(*part[2]))
        if comparison.operator not in _EQUALITY and (comparison.value is None or isinstance(comparison.value, bool)):
            raise ConfigError(f"--where {text!r}: true, false and null can only be = or !=")
        found.append(comparison)
    if not found or len(tokens) % 4 != 3:
        raise ConfigError(f"--where {text!r}: {_FORM}")
    return found


def _tokens(text: str) -> list[tuple[str, str]]:
    found, position = [], 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ConfigError(f"--where {text!r}: cannot be read from {text[position:].strip()!r} on; {_FORM}")
        kind = str(match.lastgroup)
        word = match[kind]
        found.append((kind, word[1:-1] if kind == "quoted" else word))
        position = match.end()
    return found


def _value(kind: str, text: str) -> Value:
    if kind == "quoted":
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _alike(left: object, right: object) -> bool:
    """Whether two values can be compared: both numbers, or both of one type."""
    numbers = [isinstance(value, (int, float)) and not isinstance(value, bool) for value in (left, right)]
    return all(numbers) or type(left) is type(right)


def select(
    records: Sequence[Record],
    where: Sequence[Comparison] = (),
    sort: str | None = None,
    descending: bool = False,
    limit: int | None = None,
) -> list[Record]:
    """Records that meet all comparisons, in order.

    Parameters
    ----------
    records : sequence of dict
        Gone through once; only what is returned is held.
    where : sequence of Comparison
    sort : str, optional
        Key; points without a value come last, equals stay in the sweep's order. Left out, the sweep's order.
    descending : bool
        Whether the largest comes first.
    limit : int, optional
        Records at most.
    """
    chosen = (record for record in records if all(comparison.holds(record) for comparison in where))
    if sort is None:
        return list(islice(chosen, limit))

    def missing(record: Record) -> bool:
        return record.get(sort) is None

    def key(numbered: tuple[int, Record]) -> tuple[bool, "_Order", int]:
        return missing(numbered[1]), _Order(numbered[1].get(sort), descending), numbered[0]

    numbered = enumerate(chosen)
    found = sorted(numbered, key=key) if limit is None else heapq.nsmallest(limit, numbered, key=key)
    return [record for _, record in found]


@dataclass(frozen=True)
class _Order:
    """Orders values of any type: numbers before texts."""

    value: Value
    descending: bool

    def __lt__(self, other: "_Order") -> bool:
        mine, theirs = self._ranked(), other._ranked()
        return theirs < mine if self.descending else mine < theirs

    def _ranked(self) -> tuple[int, float, str]:
        if self.value is None:
            return 0, 0.0, ""
        return (1, 0.0, self.value) if isinstance(self.value, str) else (0, float(self.value), "")


def keys_of(records: Iterable[Record]) -> dict[str, None]:
    """Every key that some record has, in order."""
    return {key: None for record in records for key in record}
