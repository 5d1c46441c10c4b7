"""A group of commands that suggests the nearest name for a mistyped one."""

import difflib
from typing import Any

from typer.core import TyperGroup

from accelsim.errors import UserError


class SuggestingGroup(TyperGroup):
    """Names near matches and all commands when a command does not exist."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As typer does, with a message of our own for an unknown name."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            known = self.list_commands(ctx)
            raise UserError(suggest("command", args[0], known))
        return super().resolve_command(ctx, args)


def suggest(what: str, word: str, known: list[str]) -> str:
    """``unknown <what> '<word>'``, near matches among `known`, and all that are allowed."""
    matches = difflib.get_close_matches(word, known, n=2, cutoff=0.5)
    question = f"; did you mean {' or '.join(map(repr, matches))}?" if matches else ";"
    return f"unknown {what} {word!r}{question} allowed: {', '.join(known)}"
