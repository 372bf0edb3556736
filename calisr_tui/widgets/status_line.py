"""Two lines on top of the live screen: what runs, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping

from calisr_engine.analysis.outlook import next_decision
from calisr_engine.events.view import RunView
from calisr_engine.methods.catalog import has_light_phase
from calisr_tui import words
from calisr_tui.charts.signs import BARS
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text
from calisr_tui.widgets.lines import Lines


def status_text(
    view: RunView, width: int, notes: list[str], styles: Mapping[str, str], state: str = ""
) -> Text:
    """State, run, settings and load in the first line; bar, step and speed in the second.

    Args:
        state: what to show in the place of the log's.
    """
    state = state or view.state
    glyph, word, role = words.STATES.get(state, ("?", state.upper(), "dim"))
    first = Text(no_wrap=True, overflow="ellipsis")
    first.append(f" {glyph} {word} ", f"bold reverse {styles[role]}")
    method = view.method if has_light_phase(view.method) else "full fine-tuning"
    calibration = words.calibration(view.variant, view.delta, view.control)
    facts = [view.task, view.model, method, calibration, f"seed {view.seed}"]
    if view.device:
        facts.append(f"{view.device} {view.precision}".strip())
    for note in notes:
        first.append(f" {note} ", f"bold {styles['warn']}")
    first.append(" ")
    load = device_load(view, with_memory=width >= 100)
    room = width - len(load) - 2 if load else width
    while len(facts) > 1 and len(first) + len(" · ".join(facts)) > room:
        facts.pop()
    first.append(" · ".join(facts))
    first.truncate(room, overflow="ellipsis")
    if len(first) + len(view.run_id) + 4 <= room:
        first.append(f"  {view.run_id}", styles["dim"])
    if load:
        first.append(" " * (width - len(first) - len(load) - 1))
        first.append(load, styles["load"])

    tail = "  ".join(_pieces(view, width - 19))
    bar = max(4, min(30, width - len(tail) - 9))
    fraction = view.step / view.total_steps if view.total_steps else 0.0
    second = Text(no_wrap=True, overflow="ellipsis")
    second.append(" ")
    second.append(words.eighths(fraction, bar), f"{styles['fft']} on {styles['raw']}")
    second.append(f" {100 * fraction:3.0f}%  ", "bold")
    second.append(tail)
    return Text("\n").join([first, second])


def device_load(view: RunView, with_memory: bool = True) -> str:
    """What the device does, now and before: GPU ▂▅▇█ 93% 12.1 GB; "" where nothing is known."""
    load = view.resources
    if load.get("gpu_percent") is not None:
        name, series, now, memory = "GPU", view.gpu, load["gpu_percent"], "gpu_memory_bytes"
    elif load.get("cpu_percent") is not None:
        name, series, now, memory = "CPU", view.cpu, load["cpu_percent"], "memory_bytes"
    else:
        return ""
    bars = "".join(BARS[max(0, min(7, round(each / 100 * 8) - 1))] for each in series.y[-8:])
    said = f"{name} {bars} {now:.0f}%"
    return f"{said} {words.size(load.get(memory))}" if with_memory else said


def _pieces(view: RunView, room: int) -> list[str]:
    """Progress in words: what matters most as far as there is room, in a steady order."""
    ended = view.state not in ("running", "paused")
    duration = words.seconds(view.duration if ended else view.eta_seconds)
    share = f"trains {words.share(view.share)}"
    light = sum(group.phase == "lft" for group in view.groups.values())
    decision = None if ended else next_decision(view)
    decides = "" if decision is None else f"decides at {decision}"
    soon = ""
    if decision is not None and view.seconds_per_step:
        soon = f"{decides} in {words.seconds((decision - view.step) * view.seconds_per_step)}"
    short = "" if view.last is None else f"{view.metric} {view.last:.4f}"
    metric = short and f"{short} best {view.best:.4f}"
    speed = f"{view.examples_per_second:.0f} ex/s" if view.examples_per_second else ""
    ranked = [  # place in the line, in the order of importance
        (0, f"step {view.step}/{view.total_steps}" if view.total_steps else "no step yet"),
        (2, f"{'took' if ended else 'ETA'} {duration}"),
        (3, share),
        (6, metric),
        (6, short),
        (5, f"loss {view.loss.last:.3f}" if len(view.loss) else ""),
        (4, soon),
        (4, decides),
        (1, f"epoch {view.epoch:.2f}/{view.epochs}" if view.epochs else ""),
        (7, speed),
    ]
    if view.groups:  # what is trained, in groups, too
        ranked.insert(2, (3, f"{share}, {light} of {len(view.groups)} light"))
    taken: list[tuple[int, str]] = []
    for place, piece in ranked:
        if not piece or place in (each for each, _ in taken):
            continue
        if not taken or sum(len(p) + 2 for _, p in taken) + len(piece) <= room:
            taken.append((place, piece))
    return [piece for _, piece in sorted(taken)]


class StatusLine(Lines):
    """Shows `status_text` of the newest view."""

    DEFAULT_CSS = "StatusLine { height: 2; }"

    def __init__(self) -> None:
        super().__init__(id="status")
        self._view = RunView()
        self._notes: list[str] = []
        self._state = ""

    def show(self, view: RunView, notes: list[str], state: str = "") -> None:
        self._view, self._notes, self._state = view, list(notes), state
        self.update_lines()

    def text(self) -> Text:
        styles = colours(self.app.theme)
        return status_text(self._view, self.size.width, self._notes, styles, self._state)
