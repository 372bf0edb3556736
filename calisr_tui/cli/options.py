"""Options and output that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from calisr_engine.errors import NotFoundError
from calisr_engine.plain_words import command
from calisr_tui.cli import complete

RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run directory, a run id, or the start of one.",
        autocompletion=complete.names_of_runs,
    ),
]
OutputDir = Annotated[
    Path, typer.Option("--output-dir", help="Folder in which run directories are made and sought.")
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]

Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="KEY=VALUE",
        help="Change one setting: calibration.delta=0.55.",
        autocompletion=complete.settings,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder with the official GLUE files, one folder a task."),
]
Model = Annotated[str | None, typer.Option("--model", help="Short for --set model.name=...")]
Task = Annotated[
    str | None,
    typer.Option(
        "--task", help="Short for --set task.name=...", autocompletion=complete.names_of_tasks
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        "--method", help="Short for --set method.name=...", autocompletion=complete.names_of_methods
    ),
]
Calibration = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        help="off, D, S, S3, L, LC or own; short for --set calibration.variant=...",
        autocompletion=complete.variants,
    ),
]

# Where many runs train.
Jobs = Annotated[
    str | None,
    typer.Option("--jobs", "-j", help="Runs at a time (1); auto: what cores and memory allow."),
]
Devices = Annotated[
    str | None,
    typer.Option("--devices", help="CUDA devices, such as 0,1; each takes jobs / devices runs."),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="CPU threads of each run; none shares the cores."),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray", metavar="ADDRESS", help="Train on a Ray cluster: auto, local or an address."
    ),
]
Gpus = Annotated[
    float,
    typer.Option("--gpus", help="GPUs one run takes on Ray (0.5: two share one) or SLURM."),
]


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
