"""What a report's page is made of: values that templates lay out. No drawing and no HTML here.

Places within a figure are percents of its width and height, so that a page fits any screen without a script and text
keeps its size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Card:
    """One number that a reader looks for first."""

    label: str
    value: str
    unit: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Cards:
    """Cards side by side."""

    cards: Sequence[Card]
    kind: str = "cards"


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a colour's class, and a hatch or marker beside it."""

    label: str
    colour: str
    hatch: str = ""
    marker: str = ""


@dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    at: float
    """Percent of the axis from its start."""
    text: str


@dataclass(frozen=True)
class Piece:
    """A part of a bar."""

    start: float
    width: float
    colour: str
    hatch: str
    tip: str
    text: str = ""


@dataclass(frozen=True)
class Bar:
    """A bar with its name before and its total behind it."""

    label: str
    total: str
    pieces: Sequence[Piece]
    whisker: tuple[float, float] | None = None


@dataclass(frozen=True)
class Bars:
    """Horizontal bars on one axis."""

    bars: Sequence[Bar]
    keys: Sequence[Key]
    ticks: Sequence[Tick]
    axis: str
    label: str
    """What the figure shows, for who cannot see it."""
    kind: str = "bars"


@dataclass(frozen=True)
class Mark:
    """A point of a scatter."""

    x: float
    y: float
    colour: str
    marker: str
    tip: str
    front: bool = False
    label: str = ""
    start: bool = False
    """Whether the label lies before the point, as those near the right edge do."""
    below: bool = False
    """Whether it lies below the point, where another one's label is above."""


@dataclass(frozen=True)
class Line:
    """A line of a scatter as pairs of places."""

    points: Sequence[tuple[float, float]]
    style: str
    label: str = ""

    @property
    def segments(self) -> list[tuple[float, float, float, float]]:
        """Its straight parts: x1, y1, x2, y2."""
        return [(*one, *other) for one, other in zip(self.points, self.points[1:], strict=False)]


@dataclass(frozen=True)
class Scatter:
    """Points between two axes."""

    title: str
    x_axis: str
    y_axis: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    marks: Sequence[Mark]
    lines: Sequence[Line] = ()
    keys: Sequence[Key] = ()
    note: str = ""
    kind: str = "scatter"


@dataclass(frozen=True)
class Charts:
    """Scatters side by side where there is room."""

    charts: Sequence[Scatter]
    kind: str = "charts"


@dataclass(frozen=True)
class HeatMap:
    """A grid of cells coloured by level."""

    title: str
    rows: int
    columns: int
    paths: Sequence[tuple[str, str]]
    """Class of a level, and the outline of its cells."""
    values: str
    """Of each cell as a text, row by row, separated by ``|``; the script's hovering reads it."""
    across: str
    down: str
    unit: str
    high: str
    """Number of the strongest colour; the weakest is 0."""

    @property
    def height(self) -> int:
        """Of the figure in pixels: less for few rows."""
        return min(210, max(44, 16 * self.rows))


@dataclass(frozen=True)
class HeatMaps:
    """Maps of one product side by side."""

    title: str
    maps: Sequence[HeatMap]
    note: str = ""
    kind: str = "heat"


@dataclass(frozen=True)
class Note:
    """Sentences."""

    texts: Sequence[str]
    kind: str = "note"


@dataclass(frozen=True)
class Code:
    """Text as it stands in a file."""

    text: str
    kind: str = "code"


@dataclass(frozen=True)
class Heading:
    """Between blocks of a section."""

    text: str
    kind: str = "heading"


@dataclass(frozen=True)
class Folded:
    """Blocks that are shown on demand."""

    title: str
    blocks: Sequence[object]
    is_open: bool = False
    kind: str = "folded"


@dataclass(frozen=True)
class Section:
    """A part of the page with an entry in its contents."""

    key: str
    title: str
    blocks: Sequence[object]
    lead: str = ""


@dataclass(frozen=True)
class Page:
    """A whole report."""

    title: str
    subject: str
    facts: Sequence[tuple[str, str]]
    """What was run and by which version, as label and text."""
    sections: Sequence[Section] = field(default_factory=tuple)
