"""A run's log as live text: a bar with ETA, the SRS table, a line for each decision.

On a terminal the bar and the table stay at the bottom and are redrawn; elsewhere lines are printed
as things happen. All of it is narration, on stderr.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.text import Text

from calisr_engine.analysis.outlook import next_decision
from calisr_engine.errors import EXIT_STOPPED, DamagedError
from calisr_engine.events.fold import fold
from calisr_engine.events.log import EventReader
from calisr_engine.events.view import Message, RunView
from calisr_engine.plain_words import command
from calisr_engine.runs import damage_of
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked
from calisr_tui import notices
from calisr_tui.charts.group_map import arrange, is_map, map_text, natural_height, said_lengths
from calisr_tui.charts.roles import ROLES
from calisr_tui.charts.srs_table import rows, table_text, title
from calisr_tui.cli import notify
from calisr_tui.cli.on_terminal import OnTerminal
from calisr_tui.cli.out import PlainConsole, put_json_line, say

PLAIN_PROGRESS_SECONDS = 10.0
TOLD = {
    "run_started",
    "srs_evaluated",
    "group_switched",
    "evaluated",
    "warning",
    "noted",
    "paused",
    "resumed",
    "stopped",
    "failed",
    "completed",
}


class LiveText(OnTerminal):
    """Shows a run while it goes on; call `update` now and then."""

    def __init__(self, run_dir: Path, quiet: bool = False) -> None:
        super().__init__(PlainConsole(stderr=True, quiet=quiet))
        self.view = RunView()
        self.records: list[dict[str, Any]] = []
        self._reader = EventReader(RunPaths(run_dir).events)
        self._last_plain = 0.0

    def update(self, final: bool = False) -> list[dict[str, Any]]:
        """Read what is new, print its lines, redraw. Returns the new records."""
        records, replaced = self._reader.poll()
        if replaced:
            self.view = RunView()
        for record in records:
            self._tell(take_in(self.view, record))
        if self._live is not None:
            if records or final:
                self._live.update(render(self.view, self._console.width), refresh=True)
        elif final or time.monotonic() - self._last_plain > PLAIN_PROGRESS_SECONDS:
            self._last_plain = time.monotonic()
            if records and self.view.loss.last is not None:
                self._console.print(status_line(self.view), soft_wrap=True)
        return records

    @property
    def damage(self) -> str:
        """Why nothing can be said of the run ("" where something can)."""
        return damage_of(self.view, self._reader)

    def _tell(self, lines: list[Message]) -> None:
        for line in lines:
            style = {"group_switched": "bold", "failed": "bold red", "warning": "yellow"}
            self._console.print(
                Text(line_text(line), style=style.get(line.kind, "")), soft_wrap=True
            )


def take_in(view: RunView, record: dict[str, Any]) -> list[Message]:
    """Fold a record; returns the lines that it has to tell."""
    before = view.messages[-1] if view.messages else None
    fold(view, record)
    newest = reversed(view.messages)
    new = list(itertools.takewhile(lambda line: line is not before, newest))[::-1]
    return [line for line in new if line.kind in TOLD]


def line_text(line: Message) -> str:
    """A line of the story, with its step."""
    return f"step {line.step:>6}  {line.text}"


STYLES = dict.fromkeys((*ROLES, "row"), "") | {
    "fft": "yellow",
    "lft": "cyan",
    "good": "green",
    "bad": "red",
    "dim": "dim",
    "strong": "bold",
}
"""Role -> style in a terminal without the app."""


def render(view: RunView, width: int = 80) -> RenderableType:
    """Status line, bar and, set apart, the table of stable rank scores in `width` cells."""
    parts: list[RenderableType] = [
        Text(status_line(view), no_wrap=True, overflow="ellipsis"),
        ProgressBar(total=max(1, view.total_steps), completed=view.step, width=min(60, width)),
    ]
    if view.groups and view.variant != "off":
        delta = view.threshold
        names = tuple(view.groups)
        if is_map(names):
            shown = rows(view)
            said = said_lengths(shown)
            height = natural_height(names, width - 1, said)
            seen = arrange(names, width - 1, height, 0, said)
            table = map_text(shown, seen, delta, width - 1, None, False, STYLES)
        else:
            table = table_text(rows(view), delta, width - 1, None, -1, {}, STYLES)
        # the bar does not end its line
        parts += [Text("\n"), Text(title(delta, width - 1, view.votes)), table]
        if (step := next_decision(view)) is not None:
            parts.append(Text(f"  next decision at step {step}", style=STYLES["dim"]))
    return Group(*parts)


def status_line(view: RunView) -> str:
    """Where a run is, in one line."""
    parts = [f"step {view.step}/{view.total_steps}", f"epoch {view.epoch:.2f}/{view.epochs}"]
    if view.loss.last is not None:
        parts.append(f"loss {view.loss.last:.4f}")
    if view.last is not None:
        parts.append(f"{view.metric} {view.last:.4f} (best {view.best:.4f})")
    if view.share is not None:
        parts.append(f"trainable {view.share:.2%}")
    if view.examples_per_second:
        parts.append(f"{view.examples_per_second:.0f} examples/s")
    if view.eta_seconds is not None:
        parts.append(f"ETA {format_seconds(view.eta_seconds)}")
    return " · ".join(parts)


def format_seconds(seconds: float) -> str:
    """Hours, minutes and seconds in short form: 1h02m, 3m05s, 12s."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def follow(run_dir: Path, as_json: bool = False) -> int:
    """Follow a run of any process until it ends or nobody trains it any more."""
    chosen = notices.ways()
    live = LiveText(run_dir, quiet=as_json)
    with live:
        while True:
            trained = is_locked(RunPaths(run_dir))
            for record in live.update():
                if as_json:
                    put_json_line(record)
            if live.damage and not trained:
                raise DamagedError(f"{RunPaths(run_dir).events}: {live.damage}")
            status = None if trained else status_of_end(live.view, run_dir)
            if status is not None:
                break
            time.sleep(0.25)
    notify.tell_end(live.view, run_dir, chosen)
    return status


def status_of_end(view: RunView, run_dir: Path) -> int | None:
    """Exit status for a run that nobody trains; None for one that has never begun."""
    if view.state in ("running", "paused"):
        say("no process trains this run any more; go on with: " + command("resume", run_dir))
        return EXIT_STOPPED
    return {"completed": 0, "stopped": EXIT_STOPPED, "failed": 1}.get(view.state)
