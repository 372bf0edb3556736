"""The root command: global options, error messages and exit codes."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from calisr_engine.errors import EXIT_INTERRUPTED, CalisrError, explain
from calisr_engine.plain_words import a_sentence
from calisr_tui.cli import (
    analyze,
    control_runs,
    errors,
    export,
    figure,
    grid,
    inspect_runs,
    listings,
    own_data,
    predict,
    serve,
    submit,
    tail,
    training,
    tune,
)
from calisr_tui.cli.out import close_stdout, put, replace_what_cannot_be_written, say

app = typer.Typer(
    name="calisr",
    help="Guided fine-tuning of text encoders: full fine-tuning first, the light method when the "
    "stable rank says so.",
    epilog="Without a command the terminal app opens. Try: calisr demo",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
training.add_to(app)
control_runs.add_to(app)
tail.add_to(app)
inspect_runs.add_to(app)
own_data.add_to(app)
listings.add_to(app)
grid.add_to(app)
tune.add_to(app)
figure.add_to(app)
analyze.add_to(app)
predict.add_to(app)
errors.add_to(app)
export.add_to(app)
submit.add_to(app)
serve.add_to(app)

_DEBUG = {"on": False}

# typer carries a click of its own and exports only some of its exceptions.
_UsageMistake: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def _print_version(wanted: bool) -> None:
    if wanted:
        from calisr_engine import __version__

        put(f"calisr {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
    output_dir: Annotated[
        Path, typer.Option("--output-dir", help="Folder with run directories (terminal app).")
    ] = Path("runs"),
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Folder of GLUE files (terminal app).")
    ] = None,
) -> None:
    """Open the terminal app when no command is given."""
    _DEBUG["on"] = debug or bool(os.environ.get("CALISR_DEBUG"))
    if context.invoked_subcommand is None:
        from calisr_tui.cli.open_app import run_app

        raise typer.Exit(run_app(output_dir=output_dir, data_dir=data_dir))


def run_command_line(arguments: list[str]) -> int:
    """Run one command; returns its exit status. A user's mistake never shows a traceback."""
    replace_what_cannot_be_written()
    try:
        result = app(arguments, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except typer.Abort:
        return EXIT_INTERRUPTED
    except _UsageMistake as error:
        error.message = a_sentence(error.message)
        error.show()
        return int(error.exit_code)
    except CalisrError as error:
        if _DEBUG["on"]:
            raise
        say(f"calisr: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        # The reader of our output went away (`calisr runs | head`); typer takes it for a failure.
        close_stdout()
        return 0
    except Exception as error:
        if _DEBUG["on"]:
            raise
        if isinstance(error, OSError) and error.filename is None and error.errno == errno.ENOSPC:
            return _output_lost(error)
        failure = explain(error)
        say(f"calisr: {failure}")
        return failure.exit_code


def flush_output(status: int) -> int:
    """Write what is still buffered; returns `status`, or 1 where it cannot be written."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        close_stdout()
    except (OSError, ValueError) as error:  # a full disk, a closed descriptor
        status = status or _output_lost(error)
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    return status


def _output_lost(error: Exception) -> int:
    close_stdout()
    say(f"calisr: the output cannot be written: {error}")
    return 1
