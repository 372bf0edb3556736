"""The switch timeline as a widget: its lanes can be chosen and explained."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive

from calisr_engine.events.view import RunView
from calisr_tui.charts.signs import FULL, LIGHT, SWITCH
from calisr_tui.charts.timeline import (
    DECISION,
    MOST_FULL,
    MOST_LIGHT,
    NOW,
    Lane,
    Picture,
    arrange,
    picture,
    timeline_text,
)
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text
from calisr_tui.widgets.height import lay_out_anew
from calisr_tui.widgets.lines import Lines


class Timeline(Lines, can_focus=True):
    """Lanes with the switch of each group, the windows' ends and the present moment."""

    DEFAULT_CSS = "Timeline { height: auto; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False, id="timeline.up"),
        Binding("down", "move(1)", "Down", show=False, id="timeline.down"),
        Binding("enter", "explain", "Explain", show=False, id="timeline.explain"),
    ]
    lane = reactive(0, repaint=False)

    class Chosen(Message):
        """A lane was chosen; `explain` where the user asked what it means."""

        def __init__(self, group: str, explain: bool) -> None:
            super().__init__()
            self.group = group
            self.explain = explain

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.border_title = "Switch timeline"
        self._picture = Picture()
        self._place = 0

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, self._recolour)

    def _recolour(self, theme: object) -> None:
        self.border_subtitle = self._legend()
        self.refresh()

    def on_resize(self) -> None:
        self.border_subtitle = self._legend()

    def show(self, view: RunView) -> None:
        new = picture(view)
        if new == self._picture:
            return
        grown = len(new.lanes) != len(self._picture.lanes)
        self._picture = new
        self.lane = min(self.lane, max(0, len(new.lanes) - 1))
        self.border_subtitle = self._legend()
        self.update_lines()
        if grown:
            lay_out_anew(self)

    def watch_lane(self) -> None:
        self.update_lines()

    def choose(self, group: str) -> None:
        for index, lane in enumerate(self._picture.lanes):
            if group in lane.members:
                self._place = lane.members.index(group)
            if group in (lane.name, *lane.members):
                self.lane = index

    def _group(self, lane: Lane) -> str:
        """The group that a lane stands for; of several the one in the place of that chosen last."""
        return lane.members[min(self._place, len(lane.members) - 1)] if lane.members else lane.name

    def _legend(self) -> Text:
        """The signs that are drawn, as many as there is room for; the field's abbreviations stand
        here once."""
        if not self._picture.lanes:
            return Text()
        styles = colours(self.app.theme)
        signs = [
            ((FULL, styles["fft"]), " full (FFT)"),
            ((LIGHT, styles["lft"]), " light (LFT)"),
            ((SWITCH, styles["strong"]), " switch"),
        ]
        seen = arrange(self._picture, self.content_size.height, self.lane)
        if self._picture.decisions_drawn or seen.each > 1:
            signs.append(((DECISION, styles["axis"]), " decision"))
        if seen.head:
            signs.append(((NOW, styles["strong"]), " now"))
        if any(lane.members for lane in self._picture.lanes):
            signs.insert(1, ((MOST_FULL + MOST_LIGHT, styles["lft"]), " some light"))
        entries = [Text.assemble(sign, word) for sign, word in signs]
        while len(entries) > 2 and len(Text("  ").join(entries)) > self.outer_size.width - 6:
            entries.pop()
        return Text("  ").join(entries)

    def get_content_height(self, container: Any, viewport: Any, width: int) -> int:
        return max(3, len(self._picture.lanes) + 3)

    def text(self) -> Text:
        styles = colours(self.app.theme)
        size = self.content_size
        chosen = self.lane if self.has_focus else None
        return timeline_text(self._picture, size.width, size.height, chosen, styles, self.lane)

    def action_move(self, by: int) -> None:
        if self._picture.lanes:
            self.lane = max(0, min(len(self._picture.lanes) - 1, self.lane + by))
            self.post_message(
                self.Chosen(self._group(self._picture.lanes[self.lane]), explain=False)
            )

    def action_explain(self) -> None:
        if self._picture.lanes:
            self.post_message(
                self.Chosen(self._group(self._picture.lanes[self.lane]), explain=True)
            )

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        lane = arrange(self._picture, self.content_size.height, self.lane).lane_at(offset.y)
        if lane is not None:
            self.lane = lane
            self.action_explain()
