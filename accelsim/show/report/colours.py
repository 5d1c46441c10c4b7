"""Colours of figures as classes of the page's style sheet, which holds one shade for light and one for dark screens."""

from accelsim.show.style import (
    BLACK,
    BLUE,
    DARK,
    GREEN,
    LIGHT,
    MIDDLE,
    ORANGE,
    PALETTE,
    PURPLE,
    SKY,
    VERMILLION,
    YELLOW,
)

_CLASSES = {
    BLUE: "blue", ORANGE: "orange", GREEN: "green", VERMILLION: "vermillion", SKY: "sky", PURPLE: "purple",
    YELLOW: "yellow", BLACK: "black", LIGHT: "light", MIDDLE: "middle", DARK: "dark",
}  # fmt: skip

MARKERS = ("circle", "square", "triangle", "diamond", "cross", "bar", "drop", "star")
"""Second sign beside colour."""

HATCHES = {"///": "h1", "\\\\\\": "h2", "...": "h3", "xxx": "h4"}
"""Patterns of the page for those of `accelsim.show.style`."""


def colour_class(colour: str) -> str:
    """Class of a colour of `accelsim.show.style`."""
    return _CLASSES[colour]


def series(index: int) -> tuple[str, str]:
    """Colour's class and marker of the series of that number."""
    return colour_class(PALETTE[index % len(PALETTE)]), MARKERS[(index + index // len(PALETTE)) % len(MARKERS)]
