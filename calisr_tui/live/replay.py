"""A recorded run, played at any speed."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from calisr_tui.feed import EXAMPLE, SPEEDS, ReplayFeed
from calisr_tui.host import Host
from calisr_tui.live.screen import LiveScreen
from calisr_tui.widgets.seek_bar import SeekBar


class ReplayScreen(LiveScreen):
    """The live screen on a recorded log, with a seek bar."""

    FOOTER: ClassVar[dict[str, dict[str, str]]] = {}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,p", "play", "Play", key_display="space", id="replay.play"),
        Binding("left", "step_back", "Back", key_display="←", id="replay.back"),
        Binding("right", "step_on", "On", key_display="→", id="replay.forward"),
        Binding("plus,equals_sign", "faster", "Fast", key_display="+", id="replay.faster"),
        Binding("minus", "slower", "Slower", show=False, id="replay.slower"),
        Binding("home", "start", "To start", show=False, id="replay.start"),
        Binding("end", "finish", "To end", show=False, id="replay.end"),
        Binding("n", "next_switch", "Switch", id="replay.next_switch"),
        Binding("s,x,e,k,w,z,r", "not_here", "Not in a replay", show=False, id="replay.not_here"),
        Binding("i", "explain", "Explain", show=False, id="live.explain"),
    ]

    def __init__(self, feed: ReplayFeed | None = None) -> None:
        super().__init__(feed)
        self.playing = True
        self.speed = feed.usual_speed if feed is not None else 1.0
        self._marks: tuple[float, ...] | None = None

    @classmethod
    def begin(cls, app: Host, shown: LiveScreen | None) -> bool:
        """Asked before a jump here: where no recording is open, the example is opened."""
        if shown is not None and shown.feed is not None:
            return True
        app.open_replay(EXAMPLE)
        return False

    def compose_bottom(self) -> ComposeResult:
        yield SeekBar()

    def open_replay(self, feed: ReplayFeed) -> None:
        self.playing, self.speed, self._marks = True, feed.usual_speed, None
        self.open(feed)

    @property
    def recording(self) -> ReplayFeed | None:
        return self.feed if isinstance(self.feed, ReplayFeed) else None

    def on_tick(self, elapsed: float) -> None:
        feed = self.recording
        if feed is None or not self._composed:
            return
        moved = False
        if self.playing and not self.app.showing_dialog:
            moved = feed.advance(elapsed * self.speed)
            if feed.ended:
                self.playing = False
        if moved:
            self._dirty = True
        super().on_tick(elapsed)
        self._show_bar()

    @property
    def _composed(self) -> bool:
        return super()._composed and bool(self.query(SeekBar))

    def _show_bar(self) -> None:
        feed = self.recording
        if feed is None or not self._composed:
            return
        if self._marks is None or len(self._marks) != len(self.view.switches):
            duration = feed.duration or 1.0
            self._marks = tuple(feed.moment_of_step(s.step) / duration for s in self.view.switches)
        self.query_one(SeekBar).show(
            feed.position, feed.duration, self.playing, self.speed, self._marks
        )

    def notes(self) -> list[str]:
        return ["REPLAY", *super().notes()]

    def seek(self, position: float) -> None:
        """Go to a moment of the recording, in its seconds."""
        if self.recording is not None:
            self.recording.seek(position)
            self._seen = None  # a jump is no news: no row lights up
            self._dirty = True
            self.on_tick(0.0)

    def action_play(self) -> None:
        feed = self.recording
        if feed is not None and not self.playing and feed.ended:
            self.seek(0.0)
        self.playing = not self.playing
        self._show_bar()

    def _stride(self) -> float:
        return max(1.0, self.recording.duration / 50) if self.recording is not None else 1.0

    def action_step_back(self) -> None:
        if self.cursor is not None:
            self.action_move_cursor(-1)
        elif self.recording is not None:
            self.seek(self.recording.position - self._stride())

    def action_step_on(self) -> None:
        if self.cursor is not None:
            self.action_move_cursor(1)
        elif self.recording is not None:
            self.seek(self.recording.position + self._stride())

    def action_start(self) -> None:
        self.seek(0.0)

    def action_finish(self) -> None:
        if self.recording is not None:
            self.seek(self.recording.duration)

    def action_faster(self) -> None:
        self.speed = next((s for s in SPEEDS if s > self.speed), SPEEDS[-1])
        self._show_bar()

    def action_slower(self) -> None:
        self.speed = next((s for s in reversed(SPEEDS) if s < self.speed), SPEEDS[0])
        self._show_bar()

    def action_next_switch(self) -> None:
        feed = self.recording
        if feed is None:
            return
        known = len(self.view.switches)
        while not feed.ended and len(self.view.switches) == known:
            feed.advance(max(0.05, feed.duration / 2000))
        self._dirty = True
        self.playing = False
        self.on_tick(0.0)

    def action_not_here(self) -> None:
        self.app.notify("this is a recording: it can be looked at, not steered", timeout=2)

    def on_seek_bar_sought(self, event: SeekBar.Sought) -> None:
        if self.recording is not None:
            self.seek(event.place * self.recording.duration)

    def commands(self) -> list[tuple[str, str, str]]:
        return [
            ("replay: play or pause", "", "play"),
            ("replay: to the next switch", "", "next_switch"),
            ("replay: to start", "", "start"),
            ("replay: to end", "", "finish"),
            *self.looking(),
        ]
