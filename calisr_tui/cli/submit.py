"""`calisr submit`: the zip for the GLUE server from one run a task."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calisr_engine.errors import ConfigError, UnavailableError
from calisr_tui.cli.options import Json, OutputDir, quiet_libraries
from calisr_tui.cli.out import put, put_json, say, say_again

if TYPE_CHECKING:
    from calisr_engine.submission.build import Entry

EXAMPLE = "Example: calisr submit runs --data-dir GLUE --out glue.zip"


def add_to(app: typer.Typer) -> None:
    app.command("submit", epilog=EXAMPLE)(submit)


def submit(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FOLDER_OR_RUN]...",
            help="Folders of runs (a grid's, say), or runs; --output-dir if none is given.",
        ),
    ] = None,
    runs: Annotated[
        list[str] | None,
        typer.Option(
            "--run", "-r", metavar="TASK=RUN", help="Take this run for a task; may be repeated."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The zip to write.")
    ] = Path("glue-submission.zip"),
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Folder with the official GLUE files, if they moved."),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, mps, cuda or cuda:N; where the models predict.")
    ] = "auto",
    fill_missing: Annotated[
        bool,
        typer.Option(
            "--fill-missing", help="Put constant stand-ins where predictions are missing."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be in it; predict nothing.")
    ] = False,
    output_dir: OutputDir = Path("runs"),
    as_json: Json = False,
) -> int:
    """Predict the GLUE test sets with the best run of each task, as the GLUE server wants them.

    The best run is the complete one with the best value of the task's metric on the validation set.
    The server wants all files: without --fill-missing, status 3 says that some are missing.
    """
    from calisr_engine.submission import build as building
    from calisr_engine.submission.files import check_out

    if not dry_run:
        check_out(out)
    planned = building.plan(folders or [output_dir], _named(runs or []), data_dir)
    for entry in (entry for entry, _ in planned):
        if entry.choice is not None:
            run = entry.choice.run
            value = "" if run.value is None else f", {run.metric} {run.value:.4f}"
            say(f"{entry.file.title}: {run.path} ({entry.choice.why}{value})")
    if dry_run:
        entries = [entry for entry, _ in planned]
        _show(building.fill(entries) if fill_missing else entries, None, as_json)
        return 0
    quiet_libraries()
    from calisr_engine.submission.predict import Predictor

    progress = _Progress()
    try:
        entries = building.build(
            planned, out, lambda run: Predictor(run, device), fill_missing, progress
        )
    finally:
        progress.close()
    _show(entries, out, as_json)
    return 0 if all(entry.state != "missing" for entry in entries) else UnavailableError.exit_code


def _named(texts: Sequence[str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for text in texts:
        task, equals, run = text.partition("=")
        if not equals or not task or not run:
            raise ConfigError(f"--run {text}: expected TASK=RUN", "such as --run rte=my-rte-run")
        if task in named:
            raise ConfigError(f"--run: {task} is named twice", "keep one of them")
        named[task] = run
    return named


class _Progress:
    """One line on stderr that is rewritten; nothing where stderr is no terminal."""

    def __init__(self) -> None:
        self._width = 0

    def __call__(self, entry: Entry, done: int, total: int) -> None:
        if sys.stderr.isatty():
            text = f"{entry.file.title}: {done:,} of {total:,} rows"
            say_again(text, self._width)
            self._width = len(text)

    def close(self) -> None:
        if self._width:
            say_again("", self._width)
            say_again("", 0)


def _show(entries: Sequence[Entry], out: Path | None, as_json: bool) -> None:
    missing = [entry for entry in entries if entry.state == "missing"]
    filled = [entry for entry in entries if entry.state == "filled"]
    if as_json:
        put_json(
            {
                "out": None if out is None else str(out),
                "complete": not missing and not filled,
                "files": [entry.to_dict() for entry in entries],
            }
        )
    else:
        for entry in entries:
            put(_line(entry, planned=out is None))
        if out is not None:
            put(out)
    if filled:
        say(f"{len(filled)} of {len(entries)} files hold a constant instead of predictions")
    if missing:
        say(
            f"{len(missing)} of {len(entries)} files are missing; the server wants all "
            "(--fill-missing puts constant stand-ins there)"
        )


def _line(entry: Entry, planned: bool) -> str:
    name = f"{entry.file.name:<12}"
    if entry.state == "missing":
        return f"{name} missing: {entry.missing}"
    if entry.state == "filled":
        return f"{name} {entry.file.rows:,} rows, CONSTANT, not predicted: {entry.missing}"
    return f"{name} {entry.rows:,} rows" + (" to predict" if planned else "")
