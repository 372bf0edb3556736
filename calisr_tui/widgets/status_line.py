"""Two lines on top of the live screen: what runs, and how far it is."""

from __future__ import annotations

from rich.text import Text
from textual.widget import Widget

from calisr_engine.events.view import RunView
from calisr_tui import words
from calisr_tui.themes import colours


def status_text(view: RunView, width: int, notes: list[str], styles: dict[str, str]) -> Text:
    """State, run and settings in the first line; bar, step and speed in the second."""
    glyph, word, role = words.STATES.get(view.state, ("?", view.state.upper(), "dim"))
    first = Text(no_wrap=True, overflow="ellipsis")
    first.append(f" {glyph} {word} ", f"bold reverse {styles[role]}")
    method = "full fine-tuning" if view.method == "fft" else view.method
    facts = [view.task, view.model, method, words.calibration(view.variant, view.delta)]
    facts.append(f"seed {view.seed}")
    if view.device:
        facts.append(f"{view.device} {view.precision}".strip())
    for note in notes:
        first.append(f" {note} ", f"bold {styles['warn']}")
    first.append(" ")
    while len(facts) > 1 and len(first) + len(" · ".join(facts)) > width:
        facts.pop()
    first.append(" · ".join(facts))
    first.truncate(width, overflow="ellipsis")
    if len(first) + len(view.run_id) + 3 <= width:
        first.append(" " * (width - len(first) - len(view.run_id) - 1))
        first.append(view.run_id, styles["dim"])

    pieces = [f"step {view.step}/{view.total_steps}"] if view.total_steps else ["no step yet"]
    if view.epochs:
        pieces.append(f"epoch {view.epoch:.2f}/{view.epochs}")
    if view.state in ("running", "paused"):
        pieces.append(f"ETA {words.seconds(view.eta_seconds)}")
    else:
        pieces.append(f"took {words.seconds(view.duration)}")
    optional = [f"trains {words.share(view.share)}"]
    if view.last is not None:
        optional.append(f"{view.metric} {view.last:.4f} best {view.best:.4f}")
    if view.examples_per_second:
        optional.append(f"{view.examples_per_second:.0f} ex/s")
    load = view.resources
    if load.get("gpu_percent") is not None:
        optional.append(f"GPU {load['gpu_percent']:.0f}% {words.size(load['gpu_memory_bytes'])}")
    elif load.get("cpu_percent") is not None:
        optional.append(f"CPU {load['cpu_percent']:.0f}% {words.size(load['memory_bytes'])}")
    if len(view.loss):
        optional.insert(1, f"loss {view.loss.last:.3f}")
    least_bar = 10
    for piece in optional:
        if len("  ".join([*pieces, piece])) + least_bar + 9 <= width:
            pieces.append(piece)
    tail = "  ".join(pieces)
    bar = max(4, min(30, width - len(tail) - 9))
    fraction = view.step / view.total_steps if view.total_steps else 0.0
    second = Text(no_wrap=True, overflow="ellipsis")
    second.append(" ")
    second.append(words.eighths(fraction, bar), f"{styles['fft']} on {styles['raw']}")
    second.append(f" {100 * fraction:3.0f}%  ", "bold")
    second.append(tail)
    return Text("\n").join([first, second])


class StatusLine(Widget):
    """Shows `status_text` of the newest view."""

    DEFAULT_CSS = "StatusLine { height: 2; }"

    def __init__(self) -> None:
        super().__init__(id="status")
        self._view = RunView()
        self._notes: list[str] = []

    def show(self, view: RunView, notes: list[str]) -> None:
        self._view, self._notes = view, list(notes)
        self.refresh()

    def render(self) -> Text:
        styles = colours(self.app.theme)
        return status_text(self._view, self.size.width, self._notes, styles)
