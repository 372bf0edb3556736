"""The runs of a grid that train now, as one live table, wherever they train."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from calisr_engine.events.fold import fold_blocks
from calisr_engine.events.log import EventReader
from calisr_engine.events.view import RunView
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import holder_of
from calisr_tui.cli.live_text import format_seconds
from calisr_tui.cli.on_terminal import OnTerminal
from calisr_tui.cli.out import PlainConsole

DRAW_SECONDS = 0.5


class GridLive(OnTerminal):
    """Redraws on a terminal; elsewhere only the lines of `say` are printed. All on stderr."""

    def __init__(self, total: int, done: int, console: PlainConsole | None = None) -> None:
        super().__init__(console or PlainConsole(stderr=True))
        self._total, self._done = total, done
        self._readers: dict[Path, EventReader] = {}
        self._views: dict[Path, RunView] = {}
        self._drawn = 0.0

    def say(self, line: str) -> None:
        """A line above the table."""
        self._console.print(Text(line), soft_wrap=True)

    def change(self, run_dir: Path, what: str) -> None:
        """Tell what became of a run."""
        if what.startswith("be"):  # began, begins again
            self._readers.setdefault(run_dir, EventReader(RunPaths(run_dir).events))
            self._views.setdefault(run_dir, RunView())
        else:
            self._readers.pop(run_dir, None)
            self._views.pop(run_dir, None)
            self._done += what == "completed"

    def update(self) -> None:
        """Read what is new in the logs and redraw, now and then."""
        if self._live is None or time.monotonic() - self._drawn < DRAW_SECONDS:
            return
        self._drawn = time.monotonic()
        for run_dir, reader in self._readers.items():
            for block in reader.blocks():
                if reader.replaced:
                    self._views[run_dir], reader.replaced = RunView(), False
                fold_blocks(self._views[run_dir], [block])
        self._live.update(self.render(), refresh=True)

    def render(self) -> RenderableType:
        """A bar of the whole grid, and a row for each run in training."""
        table = Table(box=None, pad_edge=False)
        for column in ("run", "host", "step", "metric", "ETA"):
            table.add_column(column, justify="left" if column in ("run", "host") else "right")
        part = 0.0
        for run_dir, view in self._views.items():
            part += view.fraction
            holder = holder_of(RunPaths(run_dir))
            table.add_row(
                run_dir.name,
                str(holder["host"]) if holder else "waiting",
                f"{view.step}/{view.total_steps}" if view.total_steps else "",
                "" if view.last is None else f"{view.last:.4f}",
                "" if view.eta_seconds is None else format_seconds(view.eta_seconds),
            )
        bar = ProgressBar(total=max(1, self._total), completed=self._done + part, width=60)
        return Group(Text(f"{self._done} of {self._total} runs complete"), bar, table)
