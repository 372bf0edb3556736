"""Two lines on top of the live screen: what runs, and how far it is."""

from __future__ import annotations

from calisr_engine.events.view import RunView
from calisr_engine.methods.catalog import has_light_phase
from calisr_tui import words
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text
from calisr_tui.widgets.lines import Lines


def status_text(view: RunView, width: int, notes: list[str], styles: dict[str, str]) -> Text:
    """State, run and settings in the first line; bar, step and speed in the second."""
    glyph, word, role = words.STATES.get(view.state, ("?", view.state.upper(), "dim"))
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
    while len(facts) > 1 and len(first) + len(" · ".join(facts)) > width:
        facts.pop()
    first.append(" · ".join(facts))
    first.truncate(width, overflow="ellipsis")
    if len(first) + len(view.run_id) + 3 <= width:
        first.append(" " * (width - len(first) - len(view.run_id) - 1))
        first.append(view.run_id, styles["dim"])

    tail = "  ".join(_pieces(view, width - 19))
    bar = max(4, min(30, width - len(tail) - 9))
    fraction = view.step / view.total_steps if view.total_steps else 0.0
    second = Text(no_wrap=True, overflow="ellipsis")
    second.append(" ")
    second.append(words.eighths(fraction, bar), f"{styles['fft']} on {styles['raw']}")
    second.append(f" {100 * fraction:3.0f}%  ", "bold")
    second.append(tail)
    return Text("\n").join([first, second])


def _pieces(view: RunView, room: int) -> list[str]:
    """Progress in words: what matters most as far as there is room, in a steady order."""
    ended = view.state not in ("running", "paused")
    duration = words.seconds(view.duration if ended else view.eta_seconds)
    load = view.resources
    device = ""
    if load.get("gpu_percent") is not None:
        device = f"GPU {load['gpu_percent']:.0f}% {words.size(load['gpu_memory_bytes'])}"
    elif load.get("cpu_percent") is not None:
        device = f"CPU {load['cpu_percent']:.0f}% {words.size(load['memory_bytes'])}"
    short = "" if view.last is None else f"{view.metric} {view.last:.4f}"
    metric = short and f"{short} best {view.best:.4f}"
    speed = f"{view.examples_per_second:.0f} ex/s" if view.examples_per_second else ""
    ranked = [  # place in the line, in the order of importance
        (0, f"step {view.step}/{view.total_steps}" if view.total_steps else "no step yet"),
        (2, f"{'took' if ended else 'ETA'} {duration}"),
        (3, f"trains {words.share(view.share)}"),
        (5, metric),
        (5, short),
        (4, f"loss {view.loss.last:.3f}" if len(view.loss) else ""),
        (1, f"epoch {view.epoch:.2f}/{view.epochs}" if view.epochs else ""),
        (6, speed),
        (7, device),
    ]
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

    def show(self, view: RunView, notes: list[str]) -> None:
        self._view, self._notes = view, list(notes)
        self.update_lines()

    def text(self) -> Text:
        styles = colours(self.app.theme)
        return status_text(self._view, self.size.width, self._notes, styles)
