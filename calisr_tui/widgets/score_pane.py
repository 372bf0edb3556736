"""The stable rank scores of a run: few groups as a table, many as a map."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.strip import Strip
from textual.widget import Widget

from calisr_engine.analysis.outlook import next_decision
from calisr_engine.events.view import GroupView, RunView
from calisr_tui import happening
from calisr_tui.charts import group_map
from calisr_tui.charts.group_map import Arrangement
from calisr_tui.charts.signs import FULL, LIGHT, SWITCH
from calisr_tui.charts.srs_table import HIT, MISS, caption, row_of
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text
from calisr_tui.widgets.height import lay_out_anew
from calisr_tui.widgets.lines import Lines
from calisr_tui.widgets.srs_table import SrsTable


class ScorePane(SrsTable, Lines):
    """A table of up to `group_map.MOST_ROWS` groups; of more a map, of which the cells that changed
    are drawn again."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *SrsTable.BINDINGS,
        Binding("left", "across(-1)", "Left", show=False, id="table.left"),
        Binding("right", "across(1)", "Right", show=False, id="table.right"),
    ]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.is_map = False
        self.has_cursor_elsewhere = False
        """Whether left and right belong to the cursor of the charts."""
        self._names: tuple[str, ...] = ()
        self._view = RunView()
        self._states: dict[str, tuple[object, ...]] = {}
        self._caption: tuple[str, ...] = ()
        self._lengths: tuple[int, ...] = (3,)
        """Cells of what the cells say; it only grows, or they would jump."""

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _: self._entitle())

    def show(self, view: RunView, seen: dict[str, int] | None = None) -> None:
        """Take over the newest view; draws what changed."""
        before, self.is_map = self.is_map, group_map.is_map(list(view.groups))
        if before != self.is_map:
            self._names, self._states = (), {}
            self.set_class(self.is_map, "map")
            self._rows, self._flash, self._strips, self.row = [], {}, [], 0
            lay_out_anew(self)
        if not self.is_map:
            super().show(view, seen)
            return
        names = tuple(view.groups)
        grown, self._names = names != self._names, names
        self._delta = view.delta if view.variant != "off" else None
        step = next_decision(view)
        if step != self._next or grown:
            self._next = step
            self._entitle()
        self.row = min(self.row, len(names) - 1)
        if self._take_over(view) or grown:
            new = group_map.said_lengths(self._rows)
            ends = {max(self._lengths[0], new[0]), max(self._lengths[-1], new[-1])}
            self._lengths = tuple(sorted(ends, reverse=True))
            if grown:
                lay_out_anew(self)
            self.update_lines()

    def _take_over(self, view: RunView) -> bool:
        """Make the rows of the groups that are not as they were; whether there is news."""
        states = {name: _state(group) for name, group in view.groups.items()}
        news = [name for name in states if states[name] != self._states.get(name)]
        known = {row.name: row for row in self._rows}
        known |= {name: row_of(view, view.groups[name]) for name in news}
        self._rows = [known[name] for name in states]
        said = self._say(view)
        changed = bool(news) or said != self._caption
        self._view, self._states, self._caption = view, states, said
        return changed

    def _say(self, view: RunView) -> tuple[str, ...]:
        """What stands under the map, about the chosen group."""
        group = view.groups[self._names[self.row]]
        return *happening.now(view, group, self._next), *happening.notes(view, group)

    def _entitle(self) -> None:
        super()._entitle()
        if self.is_map:
            self.border_subtitle = self._legend()

    def _legend(self) -> Text:
        """The signs, as many as there is room for, and the next decision."""
        styles = colours(self.app.theme)
        signs = [
            ((FULL, styles["fft"]), " full"),
            ((LIGHT, styles["lft"]), " light"),
            ((HIT, styles["good"]), " hit"),
            ((MISS, styles["bad"]), " no hit"),
            ((SWITCH, styles["strong"]), " switch"),
        ]
        entries = [Text.assemble(sign, word) for sign, word in signs]
        if self._delta is not None and self._next is not None:
            entries.insert(0, Text(f"next decision at step {self._next} "))
        while len(entries) > 1 and len(Text("  ").join(entries)) > self.outer_size.width - 6:
            entries.pop()
        return Text("  ").join(entries)

    # Drawing -------------------------------------------------------------------------------------

    def _arrange(self, height: int) -> Arrangement:
        width = self.content_size.width
        return group_map.arrange(self._names, width, height, self.row, self._lengths)

    def _map_height(self) -> int:
        return max(2, self.content_size.height - self._lines)

    def get_content_height(self, container: Any, viewport: Any, width: int) -> int:
        if not self.is_map:
            return super().get_content_height(container, viewport, width)
        return group_map.natural_height(self._names, width, self._lengths) + self._lines

    def text(self) -> Text:
        if not self._names or self.content_size.width < 1:
            return Text()
        styles, width = colours(self.app.theme), self.content_size.width
        text = group_map.map_text(
            self._rows,
            self._arrange(self._map_height()),
            self._delta,
            width,
            self.row,
            self.has_focus,
            styles,
        )
        name, said = self._names[self.row], self._say(self._view)
        for line, role in caption(name, said, width, self._lines):
            text.append(f"\n{line}", styles[role])
        return text

    def render_line(self, y: int) -> Strip:
        return Lines.render_line(self, y) if self.is_map else Widget.render_line(self, y)

    def give_lines(self, lines: int) -> None:
        super().give_lines(lines)
        if self.is_map:
            self.update_lines()

    # Keys and mouse ------------------------------------------------------------------------------

    def watch_row(self) -> None:
        if self.is_map:
            self.update_lines()
        super().watch_row()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "across":
            return self.is_map and not self.has_cursor_elsewhere
        return super().check_action(action, parameters)

    def action_move(self, by: int) -> None:
        if self.is_map:
            self._go(by, 0)
        else:
            super().action_move(by)

    def action_across(self, by: int) -> None:
        self._go(0, by)

    def _go(self, down: int, right: int) -> None:
        if self._names:
            places = self._arrange(self._map_height()).places
            self.row = places.beside(self.row, down, right)

    def on_click(self, event: events.Click) -> None:
        if not self.is_map:
            super().on_click(event)
            return
        offset = event.get_content_offset(self)
        found = None
        if offset is not None:
            found = self._arrange(self._map_height()).at(offset.x, offset.y)
        if found is None:
            return
        if self.row == found:
            self.action_explain()
        self.row = found


def _state(group: GroupView) -> tuple[object, ...]:
    """All that a group's cell is made of."""
    decided = group.decisions[-1] if group.decisions else None
    return group.phase, group.hits, group.samples, group.latest, decided, group.switch
