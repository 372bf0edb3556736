"""Options and output that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from calisr_engine.errors import NotFoundError
from calisr_engine.plain_words import command
from calisr_tui.cli.complete import names_of_runs

RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run directory, a run id, or the start of one.",
        autocompletion=names_of_runs,
    ),
]
OutputDir = Annotated[
    Path, typer.Option("--output-dir", help="Folder in which run directories are made and sought.")
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def quiet_libraries() -> None:
    """Let libraries draw no bars and tell no news of their own; before they are imported."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def find_run(name: str, output_dir: Path) -> Path:
    """The run directory of that name.

    Raises:
        NotFoundError: there is none.
    """
    from calisr_engine.runs import store

    found = store.find(name, output_dir)
    if not (found / "config.toml").is_file():
        raise NotFoundError(
            f"{found} is not a run directory: it has no config.toml",
            f"`{command('runs', '--output-dir', output_dir)}` lists the runs",
        )
    return found
