"""The command line. Only typer is imported here; each command imports what it needs when it runs."""

from accelsim.cli.main import main

__all__ = ["main"]
