"""The switch timeline as text: a lane a group, full fine-tuning first, then the light method.

Below the lanes stands the trainable share over the same steps. Where there is little height, parts
are left out in this order: space between lanes, the line of the present moment, the axis, the
share; then the lanes scroll, and a line says how many there are above and below.

Groups of a layer and a component each share a lane a component where they are too many: darker
while fewer of them are light.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass

from calisr_engine.events.view import RunView
from calisr_engine.methods.catalog import has_light_phase
from calisr_engine.models.grouping import by_layer_and_component
from calisr_tui.charts.axes import tick_labels, ticks
from calisr_tui.charts.drawing import append_cells
from calisr_tui.charts.group_map import is_map
from calisr_tui.charts.plot import Piece
from calisr_tui.charts.signs import BARS, FULL, LIGHT, SWITCH
from calisr_tui.verbatim import Text

AHEAD, NOW, DECISION = "·", "▼", "┊"
MOST_FULL, MOST_LIGHT = "▓", "▒"


@dataclass(frozen=True)
class Lane:
    """One group's lane, or that of several.

    Attributes:
        switched_at: None while it is in full fine-tuning; of several, when the last one switched.
        members: the groups of a lane of several.
        switches: the steps at which some of them switched, in order, one for each.
    """

    name: str
    phase: str
    switched_at: int | None
    members: tuple[str, ...] = ()
    switches: tuple[int, ...] = ()

    @property
    def note(self) -> str:
        """What stands at its end."""
        if self.members:
            return f"{len(self.switches)}/{len(self.members)} light"
        return "" if self.switched_at is None else f"{SWITCH} {self.switched_at}"


@dataclass(frozen=True)
class Picture:
    """All that the timeline draws; `share` has (step, trainable share in [0, 1]) at each change."""

    lanes: tuple[Lane, ...] = ()
    step: int = 0
    total: int = 0
    decisions: tuple[int, ...] = ()
    share: tuple[tuple[float, float], ...] = ()

    @property
    def decisions_drawn(self) -> bool:
        """Whether a decision is ahead: its sign stands in the lanes, where no step is yet."""
        return any(step > self.step for step in self.decisions)


def picture(view: RunView) -> Picture:
    """The timeline of a run; a run whose groups cannot switch has one lane."""
    lanes = _of_components(view) or tuple(
        Lane(g.name, g.phase, g.switch.step if g.switch is not None else None)
        for g in view.groups.values()
    )
    if not lanes and view.total_steps:
        phase = "lft" if has_light_phase(view.method) else "fft"
        lanes = (Lane("model", phase, None),)
    return Picture(
        lanes=lanes,
        step=view.step,
        total=max(view.total_steps, view.step),
        decisions=tuple(view.decision_steps),
        share=tuple(zip(view.trainable_share.x, view.trainable_share.y, strict=True)),
    )


def _of_components(view: RunView) -> tuple[Lane, ...]:
    """A lane a component; none where the groups are few, or of no layer and component each."""
    groups = tuple(view.groups)
    found = by_layer_and_component(groups) if is_map(groups) else None
    if found is None:
        return ()
    lanes = []
    for component in found[1]:
        own = [g for g, (_, each) in zip(groups, found[2], strict=True) if each == component]
        switches = [s for g in own if (s := view.groups[g].switch) is not None]
        steps = tuple(sorted(switch.step for switch in switches))
        last = steps[-1] if len(steps) == len(own) else None
        phase = "fft" if last is None else "lft"
        lanes.append(Lane(component, phase, last, tuple(own), steps))
    return tuple(lanes)


def cell_of(step: float, total: int, width: int) -> int:
    """The cell, 0 to width - 1, that stands for a step."""
    if total <= 0:
        return 0
    return max(0, min(width - 1, round(step / total * (width - 1))))


@dataclass(frozen=True)
class Arrangement:
    """Which lines a timeline of some height has.

    Attributes:
        lanes: which of the lanes are seen.
        each: lines of a lane.
        head, share, axis: whether these are seen.
        sign: whether a line says that there are more lanes.
    """

    lanes: range
    each: int = 1
    head: bool = True
    share: bool = True
    axis: bool = True
    sign: bool = False

    def lane_at(self, line: int) -> int | None:
        """The lane that a line shows."""
        at = self.lanes.start + (line - self.head) // self.each
        return at if line >= self.head and at in self.lanes else None


def arrange(shown: Picture, height: int, chosen: int) -> Arrangement:
    """The lines for `height`; lane `chosen` is always among them."""
    count = len(shown.lanes)
    lanes, room, share = range(count), height - count, bool(shown.share)
    if room >= 2 + share + count - 1:
        return Arrangement(lanes, each=2, share=share)
    if room >= share:
        return Arrangement(lanes, head=room >= share + 2, share=share, axis=room >= share + 1)
    if room >= 0:
        return Arrangement(lanes, head=False, share=False, axis=False)
    seen = max(1, height - 1)
    first = max(0, min(chosen - seen // 2, count - seen))
    return Arrangement(
        range(first, first + seen), head=False, share=False, axis=False, sign=height > 1
    )


def timeline_text(
    shown: Picture,
    width: int,
    height: int,
    chosen: int | None,
    styles: Mapping[str, str],
    at: int = 0,
) -> Text:
    """The timeline as text: the present moment, the lanes, the trainable share, the axis.

    Args:
        chosen: the lane that is marked; None for none. `at`: the lane that must be seen.
    """
    if not shown.lanes or not shown.total:
        return Text("Waiting for the first step …", style=styles["dim"])
    seen = arrange(shown, height, at if chosen is None else chosen)
    name = min(16, max(len(lane.name) for lane in (*shown.lanes, Lane("trainable", "", None)))) + 2
    words = [lane.note for lane in shown.lanes if lane.note]
    words += [_percent(shown)] if shown.share else []
    note = max(map(len, words), default=0) + 1
    cells = max(8, width - name - note)
    now = cell_of(shown.step, shown.total, cells)
    windows = {cell_of(step, shown.total, cells) for step in shown.decisions}

    lines: list[Text] = []
    if seen.head:
        lines.append(_head(shown, name, cells, now, styles))
    for index in seen.lanes:
        lane = shown.lanes[index]
        lines.append(_lane(lane, index == chosen, name, cells, now, windows, shown, styles))
        if seen.each == 2 and index < len(shown.lanes) - 1:
            between = (DECISION if cell in windows else " " for cell in range(cells))
            lines.append(Text(" " * name).append("".join(between), styles["axis"]))
    if seen.sign:
        above, below = seen.lanes.start, len(shown.lanes) - seen.lanes.stop
        words = [f"↑ {above}"] * bool(above) + [f"↓ {below}"] * bool(below)
        lines.append(Text(f" {' '.join(words)} more: up and down", style=styles["dim"]))
    if seen.share:
        lines.append(_share(shown, name, cells, now, styles))
    if seen.axis:
        lines.append(_axis(shown, name, cells, styles))
    return Text("\n", no_wrap=True, overflow="crop").join(lines)


def _head(shown: Picture, name: int, cells: int, now: int, styles: Mapping[str, str]) -> Text:
    label = f"end {shown.step}" if shown.step >= shown.total else f"step {shown.step}"
    head = [" "] * cells
    head[now] = NOW
    start = now - len(label) - 1 if now + len(label) + 2 > cells else now + 2
    for offset, sign in enumerate(label):
        if 0 <= start + offset < cells:
            head[start + offset] = sign
    return Text(" " * name).append("".join(head), f"bold {styles['strong']}")


def _lane(
    lane: Lane,
    chosen: bool,
    name: int,
    cells: int,
    now: int,
    windows: set[int],
    shown: Picture,
    styles: Mapping[str, str],
) -> Text:
    line = Text(no_wrap=True)
    line.append(_name(lane.name, name, chosen), "bold" if chosen else "")
    switch = None if lane.switched_at is None else cell_of(lane.switched_at, shown.total, cells)
    switches = [cell_of(step, shown.total, cells) for step in lane.switches]

    def sign(cell: int) -> Piece:
        if cell == switch or cell in switches:
            return SWITCH, f"bold {styles['strong']}"
        if cell > now or (cell == now and shown.step == 0):
            return DECISION if cell in windows else AHEAD, styles["axis"]
        if switches and cell > switches[0] and not (switch is not None and cell > switch):
            gone = bisect.bisect_left(switches, cell)
            half = MOST_LIGHT if 2 * gone >= len(lane.members) else MOST_FULL
            return half, styles["lft" if half == MOST_LIGHT else "fft"]
        light = lane.phase == "lft" and (switch is None or cell > switch)
        return LIGHT if light else FULL, styles["lft" if light else "fft"]

    append_cells(line, map(sign, range(cells)))
    if lane.note:
        line.append(f" {lane.note}", styles["strong"])
    return line


def _name(text: str, wide: int, chosen: bool = False) -> str:
    text = text if len(text) < wide - 1 else f"{text[: wide - 3]}…"
    return f"{'▸' if chosen else ' '}{text:<{wide - 1}}"


def _share(shown: Picture, name: int, cells: int, now: int, styles: Mapping[str, str]) -> Text:
    """The trainable share as a bar a cell, from nothing to all."""
    line = Text(_name("trainable", name), style="", no_wrap=True)
    steps = [step for step, _ in shown.share]

    def sign(cell: int) -> Piece:
        if cell > now or (cell == now and shown.step == 0):
            return AHEAD, styles["axis"]
        step = cell / max(1, cells - 1) * shown.total
        value = shown.share[max(0, bisect.bisect_right(steps, step) - 1)][1]
        return BARS[max(0, min(7, round(8 * value) - 1))], styles["share"]

    append_cells(line, map(sign, range(cells)))
    return line.append(f" {_percent(shown)}", styles["share"])


def _percent(shown: Picture) -> str:
    percent = 100 * shown.share[-1][1]
    return f"{percent:.0f}%" if percent >= 10 else f"{percent:.1f}%"


def _axis(shown: Picture, name: int, cells: int, styles: Mapping[str, str]) -> Text:
    row = [" "] * (cells + 8)
    places = ticks(0, shown.total, max(3, cells // 10))
    free = 0
    for place, label in zip(places, tick_labels(places), strict=True):
        start = cell_of(place, shown.total, cells)
        start = min(start, cells - len(label))
        if start < free:
            continue
        for offset, sign in enumerate(label):
            row[start + offset] = sign
        free = start + len(label) + 1
    return Text(f"{'step':>{name - 1}} " + "".join(row)[:cells], style=styles["dim"], no_wrap=True)
