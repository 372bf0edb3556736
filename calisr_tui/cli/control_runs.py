"""Commands that ask runs in training for something: stop, pause, continue."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calisr_engine.errors import LockedError, NotFoundError, RunFailedError
from calisr_engine.plain_words import command
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked
from calisr_tui.cli.complete import names_of_runs_in_training
from calisr_tui.cli.options import Json, OutputDir, find_run
from calisr_tui.cli.out import put, put_json, say

if TYPE_CHECKING:
    from calisr_engine.runs.ask import Answer, Asking, Outcome

POLL_SECONDS = 0.1

Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...",
        help="Run directories, run ids, or the starts of some.",
        autocompletion=names_of_runs_in_training,
    ),
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait", metavar="SECONDS", min=0, help="How long to wait for the runs; 0 only asks."
    ),
]
DONE = {"pause": "paused", "resume": "goes on", "stop": "stopped without saving"}
ALREADY = {"pause": "paused already", "resume": "in training and not paused"}
VERBS = {"pause": "pause", "resume": "go on", "stop": "stop", "stop_and_save": "stop and save"}


def add_to(app: typer.Typer) -> None:
    app.command("stop", epilog="Examples: calisr stop my-run · calisr stop a b --wait 300")(stop)
    app.command("pause", epilog="Example: calisr pause my-run")(pause)
    app.command("continue", epilog="Example: calisr continue my-run")(go_on)


def stop(
    names: Runs,
    discard: Annotated[
        bool,
        typer.Option(
            "--discard", help="Save nothing; a resume goes on from the last checkpoint there is."
        ),
    ] = False,
    wait: Wait = 60.0,
    output_dir: OutputDir = Path("runs"),
    as_json: Json = False,
) -> int:
    """Stop runs after their present step, saved so that `calisr resume` goes on with them.

    Exit status 0: none of them trains any more; 4: one does, though it was asked; 1: one failed.
    """
    return _ask(names, "stop" if discard else "stop_and_save", wait, output_dir, as_json)


def pause(
    names: Runs, wait: Wait = 60.0, output_dir: OutputDir = Path("runs"), as_json: Json = False
) -> int:
    """Hold runs after their present step; their processes wait and keep their memory."""
    return _ask(names, "pause", wait, output_dir, as_json)


def go_on(
    names: Runs, wait: Wait = 60.0, output_dir: OutputDir = Path("runs"), as_json: Json = False
) -> int:
    """Let paused runs go on. (A run that was stopped goes on with `calisr resume`.)"""
    return _ask(names, "resume", wait, output_dir, as_json)


def _ask(names: list[str], kind: str, wait: float, output_dir: Path, as_json: bool) -> int:
    """Ask all, then wait for all; no run is asked where one of the names is none."""
    from calisr_engine.errors import CalisrError
    from calisr_engine.runs.ask import Asking

    folders = list(dict.fromkeys(find_run(name, output_dir) for name in names))
    asked: list[Asking] = []
    status = 0
    for folder in folders:
        try:
            asked.append(Asking(folder, kind))
        except CalisrError as error:  # the others shall be asked all the same
            say(f"{folder.name}: {error}")
            status = status or error.exit_code
    if wait and any(each.made for each in asked):
        say(f"asked to {VERBS[kind]}; waiting for an answer (Ctrl-C ends the waiting) ...")
    answers = _wait_for(asked, wait)
    if as_json:
        put_json([asdict(each) for each in answers])
    for each, asking in zip(answers, asked, strict=True):
        if not as_json:
            put(f"{each.run_id}: {words_for(each, wait, asking.elsewhere)}")
        if each.state == "stopped" and each.outcome == "done" and is_locked(_folder_of(each)):
            say("  its grid is being trained and begins it again; `calisr grid cancel` stops all")
        status = status or status_for(each)
    return status


def _folder_of(answer: Answer) -> RunPaths:
    """The folder of the run, which `calisr grid run` locks as runs are locked."""
    return RunPaths(Path(answer.path).parent)


def _wait_for(asked: list[Asking], wait: float) -> list[Answer]:
    until = time.monotonic() + wait
    answers = {number: each.look() for number, each in enumerate(asked)}
    while None in answers.values() and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
        answers |= {n: asked[n].look() for n, answer in answers.items() if answer is None}
    given_up: Outcome = "no answer" if wait else "asked"
    return [answers[n] or each.give_up(given_up) for n, each in enumerate(asked)]


def status_for(answer: Answer) -> int:
    """Exit status of a command that ends with this answer."""
    stopping = answer.request in ("stop", "stop_and_save")
    if answer.outcome == "no answer":
        return LockedError.exit_code
    if answer.outcome == "ended":
        if answer.state in ("failed", "interrupted"):
            return RunFailedError.exit_code
        return 0 if stopping else NotFoundError.exit_code
    if answer.outcome == "not training":
        return 0 if stopping else NotFoundError.exit_code
    return 0


def words_for(answer: Answer, wait: float, elsewhere: bool = False) -> str:
    """What came of a request, as a sentence that begins after the run's name and a colon."""
    at = f"at step {answer.step}/{answer.total_steps}" if answer.total_steps else "before it began"
    go_on_with = f"go on with: {command('resume', answer.path)}"
    who = answer.holder or "a process"
    if answer.outcome == "done":
        if answer.request == "resume":
            return f"goes on {at}"
        done = DONE.get(answer.request, "stopped and saved")
        hint = command("continue", answer.path) if answer.request == "pause" else ""
        return f"{done} {at}; " + (f"go on with: {hint}" if hint else go_on_with)
    if answer.outcome == "already":
        return f"{ALREADY[answer.request]}, {at}"
    if answer.outcome == "asked":
        return f"asked to {VERBS[answer.request]}; {who} obeys after its present step"
    if answer.outcome == "no answer" and elsewhere:
        return (
            f"no answer in {wait:g} s from {who}, which its lock names: it was killed there, or "
            "does not see this folder; give the command on that machine"
        )
    if answer.outcome == "no answer":
        return f"{who} has not obeyed in {wait:g} s; the request stands until it does or ends"
    if answer.state == "completed":
        first = "before it could do so" if answer.outcome == "ended" else "already"
        return f"complete {first}; see it with: {command('show', answer.path)}"
    because = f": {answer.message}" if answer.message else ""
    if answer.state == "created":
        begin_with = command("resume", answer.path)
        return f"no process trains it, and none has so far; begin with: {begin_with}"
    if answer.outcome == "not training":
        return f"no process trains it, it was {answer.state} {at}{because}; {go_on_with}"
    if answer.state == "interrupted":
        return f"its process ended {at} without a word; {go_on_with}"
    return f"{answer.state} {at}{because}; {go_on_with}"
