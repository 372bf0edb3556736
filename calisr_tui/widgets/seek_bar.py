"""The line under a replay: where it is, and how fast."""

from __future__ import annotations

from typing import Any

from textual import events
from textual.message import Message
from textual.widget import Widget

from calisr_tui import words
from calisr_tui.themes import colours
from calisr_tui.verbatim import Text


class SeekBar(Widget):
    """Where the replay is, its speed, and the switches as marks; a click goes there."""

    DEFAULT_CSS = "SeekBar { height: 1; }"

    class Sought(Message):
        """A place in [0, 1] was clicked."""

        def __init__(self, place: float) -> None:
            super().__init__()
            self.place = place

    def __init__(self) -> None:
        super().__init__(id="seek")
        self._shown: tuple[Any, ...] = (0.0, 0.0, False, 1.0, ())

    def show(
        self,
        position: float,
        duration: float,
        playing: bool,
        speed: float,
        marks: tuple[float, ...],
    ) -> None:
        new = (round(position, 1), duration, playing, speed, marks)
        if new != self._shown:
            self._shown = new
            self.refresh()

    def _parts(self) -> tuple[str, str, int]:
        position, duration, playing, speed, _ = self._shown
        head = f" {'▶' if playing else '‖'} {speed:g}× "
        tail = f" {words.seconds(position)} / {words.seconds(duration)} "
        return head, tail, max(4, self.size.width - len(head) - len(tail))

    def render(self) -> Text:
        position, duration, playing, _, marks = self._shown
        styles = colours(self.app.theme)
        head, tail, cells = self._parts()
        here = round((position / duration if duration else 0.0) * (cells - 1))
        places = {round(mark * (cells - 1)) for mark in marks}
        text = Text(no_wrap=True, overflow="crop")
        text.append(head, f"bold {styles['good' if playing else 'warn']}")
        for cell in range(cells):
            if cell == here:
                text.append("●", f"bold {styles['strong']}")
            elif cell in places:
                text.append("◆", styles["lft"])
            else:
                text.append("━" if cell < here else "─", styles["fft" if cell < here else "axis"])
        text.append(tail, styles["dim"])
        return text

    def on_click(self, event: events.Click) -> None:
        head, _, cells = self._parts()
        self.post_message(self.Sought(max(0.0, min(1.0, (event.x - len(head)) / (cells - 1)))))
