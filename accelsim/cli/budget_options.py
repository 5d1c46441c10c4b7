"""Options that commands about budgets of accuracy share, and checks of them."""

from typing import Annotated

import typer

from accelsim.cli.group import suggest
from accelsim.errors import UserError

JUDGES = ("auto", "labels", "top1", "cosine", "rank")

Minimise = Annotated[str, typer.Option(help="kept (share of multiply-accumulates still done), latency or energy.")]
Judge = Annotated[
    str,
    typer.Option(
        help="labels, or agreement with dense outputs: top1, cosine or rank; auto takes labels where there are any."
    ),
]
KeepMargin = Annotated[
    float,
    typer.Option(
        help="An answer is lost when wrong or when less than this share of its dense margin is left; 0: wrong."
    ),
]
Count = Annotated[
    int | None,
    typer.Option("--inputs", min=1, show_default=False, help="Only so many inputs of a split, from the first."),
]


def share(option: str, text: str) -> float:
    """A share given as ``1%`` or ``0.01``.

    Raises
    ------
    UserError
        For anything else, and for shares below 0 or from 1 on.
    """
    word = text.strip()
    try:
        value = float(word.removesuffix("%").strip()) / (100 if word.endswith("%") else 1)
    except ValueError:
        value = float("nan")
    if not 0 <= value < 1:
        raise UserError(f"{option} {text}: allowed: a share from 0 up to but without 1, such as 1% or 0.01")
    return value


def check_judge(word: str) -> str:
    """`word` if it names a judge; else a UserError with near matches."""
    if word not in JUDGES:
        raise UserError(suggest("judge", word, list(JUDGES)))
    return word


def numbers(option: str, text: str | None) -> list[float] | None:
    """Numbers of a list such as ``0.25,0.5``; None for no list.

    Raises
    ------
    UserError
        For a word that is no finite number, and for an empty list.
    """
    if text is None:
        return None
    found = []
    for word in text.split(","):
        try:
            found.append(float(word))
        except ValueError:
            raise UserError(f"{option} {text}: {word.strip()!r} is no number; give a list such as 0.25,0.5") from None
    return found
