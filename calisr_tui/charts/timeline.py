"""The switch timeline as text: a lane a group, full fine-tuning first, then the light method."""

from __future__ import annotations

from dataclasses import dataclass

from calisr_engine.events.view import RunView
from calisr_engine.methods.catalog import has_light_phase
from calisr_tui.charts.drawing import Piece, append_cells, tick_label, ticks
from calisr_tui.verbatim import Text

FULL, LIGHT, AHEAD, SWITCH, NOW, DECISION = "█", "░", "·", "◆", "▼", "┊"


@dataclass(frozen=True)
class Lane:
    """One group's lane; `switched_at` is None while it is in full fine-tuning."""

    name: str
    phase: str
    switched_at: int | None


@dataclass(frozen=True)
class Picture:
    """All that the timeline draws."""

    lanes: tuple[Lane, ...] = ()
    step: int = 0
    total: int = 0
    decisions: tuple[int, ...] = ()
    evaluations: tuple[int, ...] = ()


def picture(view: RunView) -> Picture:
    """The timeline of a run; a run whose groups cannot switch has one lane."""
    lanes = tuple(
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
        evaluations=tuple(e.step for e in view.evaluations),
    )


def cell_of(step: float, total: int, width: int) -> int:
    """The cell, 0 to width - 1, that stands for a step."""
    if total <= 0:
        return 0
    return max(0, min(width - 1, round(step / total * (width - 1))))


def lane_height(shown: Picture, height: int) -> int:
    """Lines of one lane where the timeline has `height` of them."""
    lanes = max(1, len(shown.lanes))
    return 2 if height - 2 >= 2 * lanes else 1


def timeline_text(
    shown: Picture, width: int, height: int, chosen: int | None, styles: dict[str, str]
) -> Text:
    """The timeline as text: the present moment, the lanes, the axis."""
    if not shown.lanes or not shown.total:
        return Text("Waiting for the first step …", style=styles["dim"])
    name = min(16, max(len(lane.name) for lane in shown.lanes)) + 2
    cells = max(10, width - name - 1)
    now = cell_of(shown.step, shown.total, cells)
    windows = {cell_of(step, shown.total, cells) for step in shown.decisions}
    each = lane_height(shown, height)

    text = Text(no_wrap=True, overflow="crop")
    ended = shown.step >= shown.total
    label = f"end {shown.step}" if ended else f"step {shown.step}"
    head = [" "] * cells
    head[now] = NOW
    start = now - len(label) - 1 if now + len(label) + 2 > cells else now + 2
    for offset, sign in enumerate(label):
        if 0 <= start + offset < cells:
            head[start + offset] = sign
    text.append(" " * name)
    text.append("".join(head), f"bold {styles['strong']}")
    for index, lane in enumerate(shown.lanes):
        text.append("\n")
        line = _lane(lane, index == chosen, name, cells, now, windows, shown, styles)
        text.append_text(line)
        if each == 2 and index < len(shown.lanes) - 1:
            between = (DECISION if cell in windows else " " for cell in range(cells))
            text.append("\n" + " " * name)
            text.append("".join(between), styles["axis"])
    text.append("\n")
    text.append_text(_axis(shown, name, cells, windows, styles))
    return text


def _lane(
    lane: Lane,
    chosen: bool,
    name: int,
    cells: int,
    now: int,
    windows: set[int],
    shown: Picture,
    styles: dict[str, str],
) -> Text:
    line = Text(no_wrap=True)
    line.append(f"{'▸' if chosen else ' '}{lane.name:<{name - 1}}", "bold" if chosen else "")
    switch = None if lane.switched_at is None else cell_of(lane.switched_at, shown.total, cells)
    ended = shown.step >= shown.total
    label = "" if lane.switched_at is None else f" {lane.switched_at} "
    label_at = -1
    if switch is not None:
        fits = switch + 1 + len(label) <= cells
        label_at = switch + 1 if fits else switch - len(label)

    def sign(cell: int) -> Piece:
        if switch is not None and cell == switch:
            return SWITCH, f"bold {styles['strong']}"
        if label_at >= 0 and label_at <= cell < label_at + len(label):
            return label[cell - label_at], f"bold {styles['strong']}"
        if cell > now or (cell == now and not ended and shown.step == 0):
            return DECISION if cell in windows else AHEAD, styles["axis"]
        light = lane.phase == "lft" and (switch is None or cell > switch)
        return LIGHT if light else FULL, styles["lft" if light else "fft"]

    append_cells(line, map(sign, range(cells)))
    return line


def _axis(shown: Picture, name: int, cells: int, windows: set[int], styles: dict[str, str]) -> Text:
    row = [" "] * (cells + 8)
    places = ticks(0, shown.total, max(2, cells // 10))
    step = places[1] - places[0] if len(places) > 1 else 1
    free = 0
    for place in places:
        label = tick_label(place, step)
        start = cell_of(place, shown.total, cells)
        start = min(start, cells - len(label))
        if start < free:
            continue
        for offset, sign in enumerate(label):
            row[start + offset] = sign
        free = start + len(label) + 1
    line = Text(no_wrap=True)
    line.append(f"{'step':>{name - 1}} ", styles["dim"])
    line.append("".join(row)[:cells], styles["dim"])
    return line
