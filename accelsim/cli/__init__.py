"""The command line. Only typer is imported here; each command imports what it needs when it runs."""

from accelsim.cli.entry import main

__all__ = ["main"]
