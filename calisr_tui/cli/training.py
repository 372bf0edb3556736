"""Commands that train or follow a run: run, demo, resume, watch."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calisr_engine.errors import EXIT_INTERRUPTED, EXIT_STOPPED
from calisr_engine.plain_words import command
from calisr_tui import notices
from calisr_tui.cli import complete, notify, own_data
from calisr_tui.cli.options import (
    Calibration,
    DataDir,
    Json,
    Method,
    Model,
    OutputDir,
    RunArgument,
    Sets,
    Task,
    find_run,
)
from calisr_tui.cli.out import put, put_json, say

if TYPE_CHECKING:
    from calisr_engine.config.load import ResolvedConfig
    from calisr_engine.forecast.before_start import Checked
    from calisr_engine.preview.look import Look

Processes = Annotated[
    int,
    typer.Option(
        "--processes",
        min=1,
        help="Train in this many processes, each with a slice of every batch (a GPU each, if any).",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No narration.")]


def add_to(app: typer.Typer) -> None:
    app.command(
        "run",
        epilog="Examples: calisr run demo · calisr run --train reviews.csv · calisr run my.toml "
        "-s training.seed=7",
    )(run)
    app.command("demo", epilog="Example: calisr demo --output-dir /tmp/runs")(demo)
    app.command("resume", epilog="Example: calisr resume demo-bert-lora")(resume)
    app.command("watch", epilog="Example: calisr watch runs/my-run")(watch)


@own_data.with_options(after="data_dir")
def run(
    ctx: typer.Context,
    name_or_file: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME_OR_FILE]",
            help="A preset's name or a TOML file.",
            autocompletion=complete.names_of_presets,
        ),
    ] = None,
    sets: Sets = None,
    model: Model = None,
    task: Task = None,
    method: Method = None,
    calibration: Calibration = None,
    delta: Annotated[
        float | None, typer.Option(help="Short for --set calibration.delta=...")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Short for --set training.seed=...")] = None,
    data_dir: DataDir = None,
    output_dir: Annotated[
        Path | None, typer.Option("--output-dir", help="Folder in which run directories are made.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show settings, counts and steps; train nothing.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Train in a process of its own and return at once.")
    ] = False,
    processes: Processes = 1,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train one run and show its progress."""
    from calisr_engine.forecast.before_start import require
    from calisr_engine.runs.create import create_run

    overrides: dict[str, Any] = {
        "model.name": model,
        "method.name": method,
        "calibration.variant": calibration,
        "calibration.delta": delta,
        "training.seed": seed,
        "task.data_dir": data_dir,
        "output.dir": output_dir,
        **own_data.task_options(ctx),
    }
    resolved, seen = _load(name_or_file, sets or [], overrides)
    for warning in resolved.warnings:
        say(f"note: {warning}")
    checked = require(resolved.config, source=None if seen is None else seen.source)
    if dry_run:
        return _dry_run(resolved, checked, as_json)
    if resolved.reasons and not quiet:
        training = resolved.config.training
        names = [key.partition(".")[2] for key in resolved.reasons]
        fits = ", ".join(f"{name} {getattr(training, name)}" for name in names)
        say(f"fitted: {fits} (--dry-run says why)")
    run_dir = create_run(resolved, processes=processes)
    if detach:
        return _detach(run_dir, as_json, processes)
    return _train(run_dir, as_json, quiet, processes, checked)


def demo(
    sets: Sets = None,
    output_dir: Annotated[
        Path | None, typer.Option("--output-dir", help="Folder in which run directories are made.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """CaliSr-S with LoRA on a tiny BERT and a built-in task: offline, about a minute."""
    from calisr_engine.forecast.before_start import require
    from calisr_engine.runs.create import create_run

    resolved, _ = _load("demo", sets or [], {"output.dir": output_dir})
    checked = require(resolved.config)
    run_dir = create_run(resolved)
    status = _train(run_dir, as_json, quiet, checked=checked)
    if status == 0 and not as_json and not quiet:
        from calisr_tui.cli.epilogue import what_just_happened

        put(what_just_happened(run_dir))
    return status


def resume(
    name: RunArgument,
    output_dir: OutputDir = Path("runs"),
    detach: Annotated[
        bool, typer.Option("--detach", help="Train in a process of its own and return at once.")
    ] = False,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            help="Change a setting that may: where things lie, device, threads, epochs to add, "
            "output. The run records it.",
            autocompletion=complete.settings,
        ),
    ] = None,
    processes: Processes = 1,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Go on with a run that was stopped or killed, from its newest good checkpoint."""
    from calisr_engine.forecast.before_resume import go_on

    run_dir = find_run(name, output_dir)
    notices.ways()
    changes, checked = go_on(run_dir, sets or [])
    for key, (before, after) in changes.items():
        say(f"{key}: {before} -> {after}")
    if detach:
        return _detach(run_dir, as_json, processes)
    return _train(run_dir, as_json, quiet, processes, checked)


def watch(
    name: RunArgument,
    output_dir: OutputDir = Path("runs"),
    tui: Annotated[bool, typer.Option("--tui", help="Watch in the terminal app.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each event as one JSON line.")
    ] = False,
) -> int:
    """Follow a run of any process until it ends. Ctrl-C leaves the run alone."""
    run_dir = find_run(name, output_dir)
    if tui:
        from calisr_tui.cli.open_app import run_app

        return run_app(run_dir=run_dir, output_dir=output_dir)
    from calisr_tui.cli.live_text import follow

    return follow(run_dir, as_json=as_json)


def _load(
    name_or_file: str | None, sets: list[str], overrides: dict[str, Any]
) -> tuple[ResolvedConfig, Look | None]:
    """Settings from all that was given, and what is guessed about own data; tells the guesses, and
    gives the look at that data.

    Raises:
        CalisrError: a mistake in the settings, or own data that training would refuse.
    """
    from calisr_engine.config.own_data import resolve

    notices.ways()  # a mistake there is told before there is a run
    given = {key: value for key, value in overrides.items() if value is not None}
    resolved, found = resolve(name_or_file, sets, given)
    if found is None:
        return resolved, None
    seen = own_data.check(resolved, found)
    own_data.say_guesses(found, seen)
    return resolved, seen


def _dry_run(resolved: ResolvedConfig, checked: Checked, as_json: bool) -> int:
    from calisr_engine.forecast.dry_run import plan_run
    from calisr_engine.runs.matching import with_switch_steps

    resolved = with_switch_steps(resolved, resolved.config.output.dir)
    plan = plan_run(resolved.config, checked.data)
    if as_json:
        config = resolved.config.model_dump(mode="json")
        put_json({"config": config, "reasons": resolved.reasons, "plan": plan})
        return 0
    put(resolved.to_toml())
    for key, reason in resolved.reasons.items():
        put(f"# {key.partition('.')[2]}: {reason}")
    for key, value in plan.items():
        put(f"# {key.replace('_', ' ')}: {_named(value) if key == 'groups' else value}")
    return 0


def _named(groups: list[str]) -> str | list[str]:
    """The groups; of many how many there are, and the ends of the list."""
    if len(groups) <= 12:
        return groups
    return f"{len(groups)}: {', '.join(groups[:3])} ... {groups[-1]}"


def _detach(run_dir: Path, as_json: bool, processes: int) -> int:
    from calisr_engine.process.spawn import start_worker

    process = start_worker(run_dir, detached=True, processes=processes)
    if as_json:
        put_json({"run_dir": str(run_dir), "pid": process.pid})
    else:
        put(run_dir)
        say(f"training in process {process.pid}; follow it with: calisr watch {run_dir}")
    return 0


def _train(
    run_dir: Path, as_json: bool, quiet: bool, processes: int = 1, checked: Checked | None = None
) -> int:
    """Train in this process, or in several; the main thread shows what the log says."""
    from calisr_engine.process.spawn import WorkerProcess
    from calisr_engine.process.thread import EngineThread
    from calisr_engine.runs import load_view
    from calisr_tui.cli.live_text import LiveText

    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    say(f"run directory: {run_dir}")
    engine: EngineThread | WorkerProcess
    data = None if checked is None else checked.data  # which then is not read again
    engine = EngineThread(run_dir, data) if processes == 1 else WorkerProcess(run_dir, processes)
    interrupts = 0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal interrupts
        if number == signal.SIGINT:
            interrupts += 1
            if interrupts > 1:
                engine.abandon()
                say(f"stopped without saving; go on with: {command('resume', run_dir)}")
                os._exit(EXIT_INTERRUPTED)
            say("stopping after this step and saving (Ctrl-C again stops at once) ...")
        engine.stop_and_save()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with LiveText(run_dir, quiet=quiet) as live:
        engine.start()
        while engine.running:
            live.update()
            time.sleep(0.1)
        live.update(final=True)
    if engine.error is not None:
        raise engine.error
    view = load_view(run_dir)
    notify.tell_end(view, run_dir, notices.ways())
    if as_json:
        put_json(view.to_dict())
    else:
        put(run_dir)
    status = engine.status if engine.status is not None else 1
    if status == EXIT_STOPPED:
        say(f"stopped at step {view.step}; go on with: {command('resume', run_dir)}")
        return EXIT_INTERRUPTED if interrupts else EXIT_STOPPED
    if status != 0 and view.failure is not None:
        raise view.failure.error(status)
    return status
