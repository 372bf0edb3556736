"""The one table of panes: layout, keys, palette entries and drawing of the live screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from textual.binding import Binding
from textual.widget import Widget

from calisr_engine.events.view import RunView
from calisr_tui.charts import plots
from calisr_tui.charts.group_map import is_map
from calisr_tui.happening import overfitting
from calisr_tui.widgets.chart import Chart
from calisr_tui.widgets.log_pane import LogPane
from calisr_tui.widgets.score_pane import ScorePane
from calisr_tui.widgets.timeline import Timeline

Column = Literal["left", "right"]

GUTTER = (7, 6)
"""Cells for labels at the axes of every chart: a step stands in one column in all of them."""


@dataclass(frozen=True)
class Look:
    """What is to be seen, and how.

    Attributes:
        smoothing: factor of the moving average, in [0, 1); 0 for none.
        cursor: the step that the cursor is at.
        group: the group that is chosen; None for all of them.
        seen: samples of each group that were drawn before; None where nothing is news.
        anew: whether the view was replaced by an older one.
    """

    view: RunView
    smoothing: float = 0.0
    log_scale: bool = False
    cursor: float | None = None
    group: str | None = None
    seen: dict[str, int] | None = None
    anew: bool = False


@dataclass(frozen=True)
class Pane:
    """One pane.

    Attributes:
        name: its id, and the name of its key (`live.pane_NAME`).
        word: its name in the strip of a small terminal.
        does: its line in the palette.
        kind: class of its widget; only a `Chart` is drawn sparingly while this process trains.
        draw: gives the widget what it shows.
        column: where it stands; in a small terminal the first pane of all is always there.
        row: name of a row that it shares with its neighbours ("" for a row of its own).
        title: of a chart, until it has drawn.
        smooth, log_scale: whether the keys for these concern it.
        grouped: whether it is drawn again when another group is chosen.
    """

    name: str
    word: str
    does: str
    kind: type[Widget]
    draw: Callable[[Any, Look], None]
    column: Column
    row: str = ""
    title: str = ""
    smooth: bool = False
    log_scale: bool = False
    grouped: bool = False

    @property
    def costly(self) -> bool:
        return issubclass(self.kind, Chart)

    def make(self) -> Widget:
        """Its widget."""
        chart = (self.title, GUTTER) if self.costly else ()
        return self.kind(*chart, id=self.name, classes="pane")

    def show(self, widget: Widget, look: Look) -> None:
        """Draw on its widget, without what does not concern it."""
        look = replace(
            look,
            smoothing=look.smoothing if self.smooth else 0.0,
            log_scale=look.log_scale and self.log_scale,
        )
        self.draw(widget, look)


def _score(pane: ScorePane, look: Look) -> None:
    pane.has_cursor_elsewhere = look.cursor is not None
    pane.show(look.view, look.seen)


def _log(widget: LogPane, look: Look) -> None:
    if widget.display:
        widget.show(look.view, look.anew)


def _loss(chart: Chart, look: Look) -> None:
    said = overfitting(look.view)
    scale = " · log" if look.log_scale else ""
    chart.show(
        plots.loss_and_metric(look.view, look.smoothing, look.log_scale, look.cursor),
        title=f"Loss{scale} · {said}"
        if said
        else f"Loss and {look.view.metric or 'metric'}{scale}",
    )


def _rates(chart: Chart, look: Look) -> None:
    chart.show(plots.rates(look.view, look.log_scale, look.cursor))


def _rank(chart: Chart, look: Look) -> None:
    many = is_map(list(look.view.groups))
    small = () if look.group or many else plots.all_stable_ranks(look.view, look.cursor)
    if small:
        chart.show(*small, title="Stable rank of all groups · g: one large")
        return
    group = look.group or next(iter(look.view.groups), None)
    chart.show(
        *plots.stable_rank(look.view, group, look.cursor),
        title=f"Stable rank · {group}" if group else "Stable rank",
    )


PANES: tuple[Pane, ...] = (
    Pane(
        "table",
        "score",
        "the stable rank score of each group",
        ScorePane,
        _score,
        "left",
    ),
    Pane(
        "timeline",
        "timeline",
        "when each group switched, and the share of the model that is trained",
        Timeline,
        lambda timeline, look: timeline.show(look.view),
        "left",
    ),
    Pane(
        "loss",
        "loss",
        "training and validation loss, and the metric",
        Chart,
        _loss,
        "right",
        title="Loss and metric",
        smooth=True,
        log_scale=True,
    ),
    Pane(
        "rates",
        "rates",
        "learning rate and gradient norm",
        Chart,
        _rates,
        "right",
        title="Learning rate and gradient norm",
        log_scale=True,
    ),
    Pane(
        "rank",
        "ranks",
        "stable ranks of all groups, or of the chosen one",
        Chart,
        _rank,
        "right",
        title="Stable rank",
        grouped=True,
    ),
    Pane("log", "log", "what happened", LogPane, _log, "left"),
)
"""In the order of their number keys; a column's rows stand in this order too."""


def rows(column: Column) -> dict[str, list[Pane]]:
    """Row or pane name -> the panes of that row, from top to bottom."""
    found: dict[str, list[Pane]] = {}
    for pane in PANES:
        if pane.column == column:
            found.setdefault(pane.row or pane.name, []).append(pane)
    return found


def bindings() -> list[Binding]:
    """The number keys."""
    return [
        Binding(
            str(number),
            f"pane('{pane.name}')",
            f"Pane {pane.name}",
            show=False,
            id=f"live.pane_{pane.name}",
        )
        for number, pane in enumerate(PANES, start=1)
    ]


def commands() -> list[tuple[str, str, str]]:
    """Palette commands: title, help, action."""
    return [(f"pane: {pane.name}", pane.does, f"pane('{pane.name}')") for pane in PANES]


def kinds() -> tuple[type[Widget], ...]:
    """The classes of the panes' widgets, once each."""
    return tuple(dict.fromkeys(pane.kind for pane in PANES))
