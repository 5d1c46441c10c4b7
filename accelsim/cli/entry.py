"""Entry of the command line: runs a command and turns whatever goes wrong into a message and an exit status.

=== =====================================================
0   done
1   our mistake: one line, the traceback with ``--debug``
2   the user's mistake: what, where, what is allowed
130 interrupted
=== =====================================================
"""

import atexit
import errno
import gc
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from accelsim.cli import (
    accuracy,
    attention,
    breakeven,
    calibrate,
    calibrate_model,
    diff,
    explain,
    hardware,
    html_report,
    import_model,
    output,
    prune,
    results,
    run,
    serve,
    study,
    sweep,
    tradeoff,
    tune,
    validate,
    watch,
    workload,
)
from accelsim.cli.group import SuggestingGroup
from accelsim.errors import UserError

DONE, INTERNAL, USER, INTERRUPTED = 0, 1, 2, 130

_SELDOM = (50_000, 20, 20)
"""When Python looks for unreachable cycles: a command makes many small objects that stay, which by default (700) are
looked through again and again, for a tenth of a short command's time."""
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

_CLICK_ERROR = typer.BadParameter.__mro__[2]
"""What typer's own usage errors derive from; typer carries click under a private name, hence this way to it."""

app = typer.Typer(
    cls=SuggestingGroup,
    help="Simulate sparse transformer inference on tensor-core GPUs and attention co-processors.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("compare")(run.compare)
app.command("explain")(explain.explain)
app.command("diff")(diff.diff)
app.command("report")(html_report.report)
app.command("sweep")(sweep.sweep)
app.command("results")(results.results)
app.command("tune")(tune.tune)
app.command("breakeven")(breakeven.breakeven)
app.command("serve")(serve.serve)
app.command("validate")(validate.validate)
app.command("study")(study.study)
app.command("watch")(watch.watch)
app.command("calibrate")(calibrate_model.calibrate)
app.command("tradeoff")(tradeoff.tradeoff)
app.command("prune")(prune.prune)
app.command("import")(import_model.import_model)
app.command("calibrate-hw")(calibrate.calibrate_hw)
app.command("accuracy-hw")(accuracy.accuracy_hw)
app.add_typer(attention.app, name="attention")
app.add_typer(hardware.app, name="hw")
app.add_typer(workload.app, name="workload")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"accelsim {version('accelsim')}")
        except PackageNotFoundError:
            typer.echo("accelsim (not installed)")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Anywhere: show the traceback of an internal error.")] = False,
) -> None:
    """Options of every command; `main` takes ``--debug`` out before this sees it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; those of the process when left out.
    """
    if arguments is None:  # the process is ours
        gc.set_threshold(*_SELDOM)
        atexit.register(gc.freeze)  # what is left goes with the process; to look through it takes 0.3 s
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        status = app(args=[word for word in given if word != "--debug"], prog_name="accelsim", standalone_mode=False)
    except UserError as error:
        output.message(f"error: {error}")
        return USER
    except MemoryError as error:
        output.message(f"error: not enough memory ({error}); take smaller sizes or --no-values")
        return USER
    except OSError as error:
        return _full(error) if error.errno in _NO_SPACE else _internal(error, debug)
    except (typer.Abort, KeyboardInterrupt):
        output.message("interrupted")
        return INTERRUPTED
    except Exception as error:
        return _usage(error) if isinstance(error, _CLICK_ERROR) else _internal(error, debug)
    if status == INTERRUPTED:  # newer typers answer an interrupt with this status, older ones raise Abort
        output.message("interrupted")
    return status if isinstance(status, int) else DONE


def _usage(error: Exception) -> int:
    """Report a mistake that typer found. Help asked for by giving no arguments is none, but asks for arguments too."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    output.message(message if type(error).__name__ == "NoArgsIsHelpError" else f"error: {message}")
    if context is not None:
        output.message(f"see: {context.command_path} --help")
    return USER


def _full(error: OSError) -> int:
    """Report that there is no room for what was to be written, which is not our mistake."""
    where = f"{error.filename}: " if error.filename else ""
    output.message(f"error: {where}cannot be written, {error.strerror}")
    return USER


def _internal(error: Exception, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    text = " ".join(str(error).split())
    hint = "" if debug else "; --debug shows the traceback"
    output.message(f"internal error: {type(error).__name__}: {text}{hint}. Please report it.")
    return INTERNAL
