"""`calisr tail`: the story of a run as lines on stdout, from its last ones on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from calisr_engine.errors import DamagedError
from calisr_tui import notices
from calisr_tui.cli import notify
from calisr_tui.cli.options import OutputDir, RunArgument, find_run
from calisr_tui.cli.out import put_json_line, put_now, say

POLL_SECONDS = 0.2


def add_to(app: typer.Typer) -> None:
    app.command("tail", epilog="Examples: calisr tail my-run · calisr tail my-run -n 0 --json")(
        tail
    )


def tail(
    name: RunArgument,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="Begin with so many of the last lines.")
    ] = 10,
    output_dir: OutputDir = Path("runs"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the log's events, one JSON object a line.")
    ] = False,
) -> int:
    """Print a run's lines as they come, until it ends; the exit status says how it ended.

    Ctrl-C ends this command and leaves the run alone. 0: complete, 75: stopped and can be resumed,
    1: failed.
    """
    from calisr_engine.runs.layout import RunPaths
    from calisr_engine.runs.lock import is_locked
    from calisr_tui.cli.live_text import status_of_end

    paths = RunPaths(find_run(name, output_dir))
    chosen = notices.ways()
    follower = Follower(paths.events, as_json)
    trained = is_locked(paths)  # asked before the log, whose last line comes before its release
    follower.begin(lines)
    told = False
    while True:
        if follower.damage and not trained:
            raise DamagedError(f"{paths.events}: {follower.damage}")
        if not trained:
            status = status_of_end(follower.view, paths.root)
            if status is not None:
                if follower.view.failure is not None and status == 1:
                    say(follower.view.failure.hint or "see it with: calisr show")
                notify.tell_end(follower.view, paths.root, chosen)
                return status
            if not told:
                told = True
                say("waiting for a process to train it; Ctrl-C ends this command")
        time.sleep(POLL_SECONDS)
        trained = is_locked(paths)
        follower.go_on()


class Follower:
    """Prints what is new in a log.

    Attributes:
        view: the run, as far as the log was read.
    """

    def __init__(self, log: Path, as_json: bool) -> None:
        from calisr_engine.events.log import EventReader
        from calisr_engine.events.view import RunView

        self.view = RunView()
        self._reader = EventReader(log)
        self._as_json = as_json
        self._last_status = time.monotonic()

    @property
    def damage(self) -> str:
        """Why nothing can be said of the run ("" where something can)."""
        from calisr_engine.runs import damage_of

        return damage_of(self.view, self._reader)

    def begin(self, lines: int) -> None:
        """Read what there is and print the last `lines` lines of it."""
        from calisr_engine.events.decode import parse
        from calisr_engine.events.fold import fold_blocks
        from calisr_tui.cli.live_text import TOLD, line_text

        newest: deque[bytes] = deque(maxlen=lines)

        def blocks() -> Iterator[bytes]:
            for block in self._reader.blocks():
                if self._as_json and lines:
                    newest.extend(block.split(b"\n")[:-1][-lines:])
                yield block

        fold_blocks(self.view, blocks())
        if self._as_json:
            for record in map(parse, newest):
                if record is not None:
                    put_json_line(record)
            return
        told = [each for each in self.view.messages if each.kind in TOLD]
        for line in told[len(told) - min(lines, len(told)) :]:
            put_now(line_text(line))

    def go_on(self) -> None:
        """Print what was written since, and now and then where the run is."""
        from calisr_engine.events.view import RunView
        from calisr_tui.cli.live_text import (
            PLAIN_PROGRESS_SECONDS,
            line_text,
            status_line,
            take_in,
        )

        records, replaced = self._reader.poll()
        if replaced:
            self.view = RunView()
        for record in records:
            lines = take_in(self.view, record)
            if self._as_json:
                put_json_line(record)
                continue
            for line in lines:
                put_now(line_text(line))
        due = time.monotonic() - self._last_status > PLAIN_PROGRESS_SECONDS
        if records and due and not self._as_json and self.view.loss.last is not None:
            self._last_status = time.monotonic()
            put_now(status_line(self.view))
