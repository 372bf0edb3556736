"""The two tables of the grid screen: its cells, and its runs that train or failed."""

from __future__ import annotations

from typing import Any

from calisr_engine.grid.cells import TableCell, TableRun
from calisr_engine.grid.table import Table
from calisr_tui.charts import grid_text as say
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text
from calisr_tui.widgets.verbatim import DataTable

BORDER = 2
"""Lines of a border."""


class GridCells(DataTable):
    """Rows by columns, as the report has them; only cells that changed are drawn again."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(cursor_type="cell", **kwargs)
        self.table: Table | None = None

    def show(self, table: Table | None) -> None:
        """Show a table, or none."""
        before, self.table = self.table, table
        if table is None:
            self.clear(columns=True)
            return
        styles = colours(self.app.theme)
        if before is None or _shape(before) != _shape(table):
            self._build(table, styles)
            return
        for (row, column), cell in table.cells.items():
            if cell != before.cells[row, column]:
                self.update_cell(row, column, say.cell_text(cell, styles), update_width=True)

    def redraw(self) -> None:
        """Draw all again in the colours of the theme."""
        if self.table is not None:
            self._build(self.table, colours(self.app.theme))

    def _build(self, table: Table, styles: dict[str, str]) -> None:
        place = self.cursor_coordinate
        self.clear(columns=True)
        for column in table.columns:
            metric = table.metrics.get(column, "")
            self.add_column(f"{column} {metric}".strip() or "result", key=column)
        for row in table.rows:
            texts = [say.cell_text(table.cells.get((row, c)), styles) for c in table.columns]
            self.add_row(*texts, height=2, key=row, label=Text(row or "all", "bold"))
        self.move_cursor(row=place.row, column=place.column, animate=False)

    @property
    def chosen(self) -> tuple[tuple[str, str], TableCell | None] | None:
        """Row, column and runs of the cell under the cursor."""
        table, at = self.table, self.cursor_coordinate
        if table is None or at.row >= len(table.rows) or at.column >= len(table.columns):
            return None
        key = (table.rows[at.row], table.columns[at.column])
        return key, table.cells.get(key)


class NotableRuns(DataTable):
    """A line for each run that trains, failed or stopped on the way."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(cursor_type="row", show_header=False, **kwargs)
        self.border_title = "Running and failed"
        self.border_subtitle = "Tab here · Enter opens the run"
        self._runs: list[TableRun] = []

    def on_mount(self) -> None:
        # A bar would take the only line of a run whose name is long; the name is what is cut.
        self.styles.scrollbar_size_horizontal = 0
        for name in ("state", "steps", "metric", "run"):
            self.add_column(name, key=name)

    def show(self, runs: list[TableRun], anew: bool = False) -> None:
        """Show these runs; the cursor stays on its run while one looks at them.

        Args:
            anew: draw again even what has not changed.
        """
        if runs == self._runs and not anew:
            self.display = bool(runs)
            return
        chosen = self.chosen if self.has_focus else None
        self._runs = runs
        styles = colours(self.app.theme)
        self.display = bool(runs)
        self.styles.height = len(runs) + BORDER  # rows are measured too late for an auto height
        self.clear()
        for run in runs:
            self.add_row(
                say.state_text(run.state, styles), say.steps(run), say.value(run), say.name_of(run)
            )
        ids = [run.run_id for run in runs]
        if chosen is not None and chosen.run_id in ids:
            self.move_cursor(row=ids.index(chosen.run_id), animate=False)

    def redraw(self) -> None:
        """Draw all again in the colours of the theme."""
        self.show(self._runs, anew=True)

    @property
    def chosen(self) -> TableRun | None:
        """The run under the cursor."""
        return self._runs[self.cursor_row] if 0 <= self.cursor_row < len(self._runs) else None


def _shape(table: Table) -> tuple[object, ...]:
    return (table.rows, table.columns, dict(table.metrics), table.cells.keys())
