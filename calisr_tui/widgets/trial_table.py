"""The runs of a study as a table: its trials, and the further seeds of the best one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from calisr_engine.tune.reading import StudyReading, StudyRun
from calisr_tui.charts import study_text as say
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text
from calisr_tui.widgets.verbatim import DataTable


class TrialTable(DataTable):
    """A line for each run; only cells that changed are drawn again."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(cursor_type="row", **kwargs)
        self._runs: list[StudyRun] = []
        self._cells: list[list[Text]] = []
        self._titles: list[str] = []

    def forget(self) -> None:
        """Draw all again the next time, in the colours of the theme."""
        self._titles = []

    def show(self, study: StudyReading, marked: Collection[str], by_score: bool) -> None:
        """Show the runs of a study; the cursor stays on its run."""
        trials = list(study.trials)
        if by_score:
            trials.sort(key=lambda run: (run.score is None, -(run.score or 0.0), run.number))
        runs = [*trials, *study.seeds]
        styles = colours(self.app.theme)
        cells = [say.row(study, run, marked, styles) for run in runs]
        titles = say.columns(study)
        chosen = self.chosen
        before, self._runs = self._runs, runs
        if titles == self._titles and [r.name for r in before] == [r.name for r in runs]:
            for run, old, new in zip(runs, self._cells, cells, strict=True):
                for at, (was, now) in enumerate(zip(old, new, strict=True)):
                    if was != now:
                        self.update_cell(run.name, str(at), now, update_width=True)
            self._cells = cells
            return
        self._titles, self._cells = titles, cells
        self.clear(columns=True)
        for at, title in enumerate(titles):
            self.add_column(title, key=str(at))
        for run, row in zip(runs, cells, strict=True):
            self.add_row(*row, key=run.name)
        if chosen is not None:
            self.go_to(chosen.name)

    def go_to(self, name: str) -> None:
        """Put the cursor on a run, if it is there."""
        names = [run.name for run in self._runs]
        if name in names:
            self.move_cursor(row=names.index(name), animate=False)

    @property
    def chosen(self) -> StudyRun | None:
        """The run under the cursor."""
        return self._runs[self.cursor_row] if 0 <= self.cursor_row < len(self._runs) else None
