"""Options and output that several commands share."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from calisr_engine.errors import NotFoundError

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run directory, a run id, or the start of one.")
]
OutputDir = Annotated[
    Path, typer.Option("--output-dir", help="Folder in which run directories are made and sought.")
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def print_json(value: Any) -> None:
    """Data on stdout, as JSON."""
    print(json.dumps(value, indent=2, default=str))


def say(message: str) -> None:
    """Narration on stderr."""
    print(message, file=sys.stderr, flush=True)


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
            f"`calisr runs --output-dir {output_dir}` lists the runs",
        )
    return found
