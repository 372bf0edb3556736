"""What the grid screen does to a grid: start it in a process of its own, ask it to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from calisr_engine.errors import EXIT_STOPPED, CalisrError
from calisr_engine.plain_words import command, counted
from calisr_tui import late
from calisr_tui.dialogs import Answer, Question, Reading
from calisr_tui.grid_source import GridReading, grid_argument, process_words, run_words
from calisr_tui.host import Host
from calisr_tui.screens.grid_start import StartGrid, StartOptions
from calisr_tui.started import GridProcess


def start(
    app: Host,
    reading: GridReading,
    retry_failed: bool,
    then: Callable[[], None],
    otherwise: Callable[[], None] = lambda: None,
) -> None:
    """Ask how, and train what is not complete; `then` is called once it has begun, `otherwise`
    when nobody wants it."""
    grid, counts = reading.grid, reading.table.counts
    left = sum(n for state, n in counts.items() if state not in ("completed", "failed"))
    left += counts["failed"] if retry_failed else 0
    if reading.worker:
        app.notify(f"{reading.worker} works on this grid already", severity="warning")
        return
    if retry_failed and not counts["failed"]:
        app.notify("no run of this grid has failed")
        return
    if not left:
        failed = f"; r begins the {counts['failed']} failed again" if counts["failed"] else ""
        app.notify(f"nothing is left to train{failed}")
        return
    try:
        run_words(grid, 1)
    except CalisrError as error:
        app.show_error("The grid cannot be started", error)
        return

    def go(options: StartOptions | None) -> None:
        if options is None:
            otherwise()
            return
        words = run_words(grid, options.jobs, options.data_dir, options.devices, retry_failed)
        try:
            app.started.start_grid(grid_argument(grid), grid.folder, process_words(words))
        except OSError as error:
            app.notify(f"the grid could not be started: {error}", severity="error")
            return
        app.notify(f"started: {counted(left, 'run')}, {options.jobs} at a time")
        then()

    data_dir = grid.data_dir or app.data_dir
    app.push_screen(StartGrid(grid, left, str(data_dir or ""), retry_failed), go)


def ask_stop(app: Host, reading: GridReading, then: Callable[[], None]) -> None:
    """Ask the runs of the grid, whoever trains them, to stop and save."""
    running = reading.table.counts["running"] + reading.table.counts["paused"]
    if not reading.worker and not running:
        app.notify("nothing of this grid is in training")
        return

    def cancel() -> int:
        from calisr_engine.grid.train import cancel_grid

        return cancel_grid(reading.grid)

    ask_to_stop(app, "grid", running, "starting the grid again", cancel, then)


def ask_to_stop(
    app: Host,
    what: str,
    running: int,
    again: str,
    cancel: Callable[[], int],
    then: Callable[[], None],
) -> None:
    """Ask whether the runs of a grid or a search shall stop, and do it in the background.

    Args:
        running: how many train; again: what goes on with them.
        cancel: asks them to stop and save, and says how many it asked.
        then: called afterwards.
    """

    def ask() -> None:
        try:
            asked = cancel()
        except (CalisrError, OSError) as error:
            message, severity = str(error), "warning"
        else:
            message, severity = (
                f"asked {counted(asked, 'run')} to stop and save",
                "information",
            )
        late.from_thread(app, partial(app.notify, severity=severity), message)
        late.from_thread(app, then)

    def answered(answer: str | None) -> None:
        if answer == "stop":
            threading.Thread(target=ask, daemon=True).start()

    app.push_screen(
        Question(
            f"Stop this {what}?",
            (
                "1 run is in training. It is asked to stop and save"
                if running == 1
                else f"{running} runs are in training. They are asked to stop and save"
            )
            + f"; {again} goes on from there.",
            [Answer("keep", "Keep training"), Answer("stop", "Stop and save", variant="error")],
        ),
        answered,
    )


def copy_command(app: Host, reading: GridReading) -> None:
    """Copy the command line that trains the grid."""
    data_dir = reading.grid.data_dir or app.data_dir
    try:
        line = command(*run_words(reading.grid, 1, str(data_dir or "")))
    except CalisrError as error:
        app.notify(error.message, severity="warning")
        return
    app.copy_to_clipboard(line)
    app.notify(f"copied: {line}")


def tell_end(app: Host, ended: GridProcess) -> None:
    """Say how the process that this app started for a grid has ended."""
    say_end(app, ended, "all runs are complete")


def say_end(app: Host, ended: GridProcess, complete: str) -> None:
    """Say how a process of many runs has ended; `complete`: what to say where it did all."""
    name, status, output = ended.name, ended.process.returncode, ended.output()
    if status == 0:
        app.notify(f"{name}: {complete}")
    elif status == EXIT_STOPPED:
        app.notify(f"{name} has stopped; s goes on with it")
    elif ended.kind == "grid" and "] failed:" in output:
        app.notify(f"{name}: it has ended, and some runs have failed", severity="warning")
    else:
        text = "\n".join(output.splitlines()[-30:]) or f"its process ended with status {status}"
        app.push_screen(Reading(f"{name} has ended", text, copy=text))
