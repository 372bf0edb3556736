"""What the app does for its screens: going from one to another, opening runs, starting them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import App, ScreenStackError
from textual.filter import LineFilter
from textual.message_pump import MessagePump
from textual.screen import ModalScreen, Screen

from calisr_engine.config.toml_file import MAX_BYTES
from calisr_engine.errors import CalisrError, explain
from calisr_engine.plain_words import shown
from calisr_engine.runs.store import History
from calisr_engine.storage.plain import read_plain
from calisr_tui import late, places
from calisr_tui.dialogs import Reading
from calisr_tui.feed import ReplayFeed, RunFeed
from calisr_tui.keymap import config_dir
from calisr_tui.line_breaks import with_paths_broken
from calisr_tui.started import StartedRuns
from calisr_tui.terminal import over_ssh
from calisr_tui.typed_ahead import Typed, TypedAhead
from calisr_tui.widgets.verbatim import Readable, Unsteered

if TYPE_CHECKING:
    from calisr_engine.forecast.before_start import Checked


class Host(App[int]):
    """The app as its screens know it.

    Args:
        output_dir: the folder of the run directories.
        data_dir: folder of GLUE files for new runs.
        config: folder of the user's keys, theme and lists; None for the usual one.

    Attributes:
        history: the runs of the output folder, for all screens.
        started: the runs and grids that this app started.
        chosen_runs: what the compare screen shows.
        live_back: the place that Escape goes to from the live screen.
    """

    def __init__(self, output_dir: Path, data_dir: Path | None, config: Path | None = None) -> None:
        super().__init__()
        self.VERTICAL_BREAKPOINTS = [(0, "-low"), (22, "-high")]  # classes for app.tcss
        self.output_dir, self.data_dir = output_dir, data_dir
        self.config_dir = config if config is not None else config_dir()
        self.history = History(output_dir)
        self.started = StartedRuns()
        self._looked_at: set[Path] = set()  # runs that are to go on
        self._readable, self._sieve = Readable(), Unsteered()
        self.chosen_runs: list[Path] = []
        self.live_back = "runs"
        self.typed_ahead = TypedAhead(self._at_work, self._in_charge, self.post_message)

    # Keys ----------------------------------------------------------------------------------------

    async def on_event(self, event: events.Event) -> None:
        typed = event if isinstance(event, Typed) and not event.is_forwarded else None
        if typed is None or not self.typed_ahead.holds(typed):
            await super().on_event(event)

    def _at_work(self) -> Iterable[MessagePump]:
        try:
            return [self, *self.screen.walk_children(with_self=True)]
        except ScreenStackError:
            return [self]

    def _in_charge(self) -> Iterable[MessagePump]:
        try:
            return (self.focused or self.screen).ancestors_with_self
        except ScreenStackError:
            return [self]

    @property
    def showing_dialog(self) -> bool:
        return isinstance(self.screen, ModalScreen)

    # What is shown --------------------------------------------------------------------------------

    def notify(self, message: str, *, title: str = "", markup: bool = False, **how: Any) -> None:
        """Show a message for a moment, as it is: whatever `markup` says, brackets are text."""
        room = min(60, self.size.width // 2) - 3  # the width of a toast, without its frame
        text = with_paths_broken(shown(message), max(3, room))
        super().notify(text, title=shown(title), markup=False, **how)

    def get_line_filters(self) -> Sequence[LineFilter]:
        return [self._readable, *super().get_line_filters(), self._sieve]

    # Screens -------------------------------------------------------------------------------------

    def action_jump(self, name: str) -> None:
        """Go to a screen."""
        if self.showing_dialog and self.current_mode == name:
            return
        begin = getattr(places.place(name).load(), "begin", None)
        if begin is None or begin(self, self._mode_screen(name)):
            self.switch_mode(name)

    def _mode_screen(self, mode: str) -> Screen[Any] | None:
        stack = self._screen_stacks.get(mode) or []
        return stack[0] if stack else None

    def open_run(self, run_dir: Path, back: str = "runs") -> None:
        """Show a run on the live screen; Escape goes `back` from there."""
        self.live_back = back

        def own() -> bool:
            return run_dir in self._looked_at or self.started.has(run_dir)

        feed = RunFeed(run_dir, own)
        self._open("live", lambda screen: screen.open(feed))

    def open_replay(self, run_dir: Path) -> None:
        """Replay a recorded run."""
        feed = ReplayFeed(run_dir)
        self._open("replay", lambda screen: screen.open_replay(feed))

    def set_up_like(self, path: Path, keys: Sequence[str] = ()) -> None:
        """To the setup, with the settings of a run or a file; at the first field of `keys`."""
        self._open("setup", lambda screen: late.soon(screen, screen.begin_from, path, keys))

    def open_presets(self) -> None:
        """To the setup, and its list of presets."""
        self._open("setup", lambda screen: screen.action_open_preset())

    def open_grid(self, what: str) -> None:
        """To the grid screen, and a grid: its name, its file, or a folder of its runs."""
        self._open("grid", lambda screen: screen.open(what))

    def open_study(self, folder: Path) -> None:
        """To the study screen, and the study of a folder."""
        self._open("study", lambda screen: screen.open(folder))

    def compare_with_another(self, run_dir: Path) -> None:
        """To the comparison of a run with one that is then chosen."""
        self.chosen_runs = [run_dir]
        self._open("compare", lambda screen: screen.action_add())

    def _open(self, mode: str, then: Callable[[Any], None]) -> None:
        async def go() -> None:
            await self.switch_mode(mode)
            then(self._mode_screen(mode))

        self.call_later(go)

    def action_help(self) -> None:
        """Show the help page, once."""
        page = places.place("help").load()
        if not isinstance(self.screen, page):
            self.push_screen(page())

    def show_settings(self, run_dir: Path) -> None:
        """The config.toml of a run."""
        path = run_dir / "config.toml"
        try:
            text = read_plain(path, MAX_BYTES).decode(errors="replace")
        except OSError as error:
            self.notify(f"{path}: {error.strerror}", severity="error")
            return
        self.push_screen(Reading(str(path), text, copy=text, wide=True))

    def show_error(self, title: str, error: CalisrError) -> None:
        text = "\n".join(
            [error.message, *(f"• {each}" for each in getattr(error, "problems", ()))]
            + ([f"\n{error.hint}"] if error.hint else [])
        )
        self.push_screen(Reading(title, text, copy=text))

    # Training ------------------------------------------------------------------------------------

    @property
    def detaches(self) -> bool:
        """Whether a run trains in a process of its own unless the user wants it otherwise: in a
        browser always, as its tab may be closed, and over SSH, as the connection may end."""
        return self.is_web or over_ssh()

    def start_training(self, run_dir: Path, detached: bool | None = None) -> None:
        """Begin a run that was just looked at, and show it; None leaves it to `detaches`."""
        if self._may_train(detached) and self._start(run_dir, detached, None):
            self.open_run(run_dir)

    def resume_training(self, run_dir: Path) -> None:
        """Show a run and go on with it, once its data and its model are found to be here.

        Where they are not, the run stays what it is, and a dialog says what is missing.
        """
        if run_dir in self._looked_at or not self._may_train(None):
            return
        self._looked_at.add(run_dir)
        self.open_run(run_dir)
        self.run_worker(lambda: self._look(run_dir), thread=True)

    def _look(self, run_dir: Path) -> None:
        from calisr_engine.forecast.before_resume import go_on

        try:
            _, checked = go_on(run_dir)
        except Exception as error:  # whatever it is, the app goes on
            late.from_thread(self, self._looked_at.discard, run_dir)
            title = f"{run_dir.name} cannot go on"
            late.from_thread(self, self.show_error, title, explain(error))
        else:
            late.from_thread(self, self._go_on, run_dir, checked)

    def _go_on(self, run_dir: Path, checked: Checked | None) -> None:
        self._looked_at.discard(run_dir)
        if self._may_train(None):
            self._start(run_dir, None, checked)

    def _detached(self, wanted: bool | None) -> bool:
        return self.is_web or (self.detaches if wanted is None else wanted)

    def _may_train(self, detached: bool | None) -> bool:
        """Whether one more run can begin; says so where it cannot."""
        if self._detached(detached) or not self.started.running:
            return True
        self.notify(
            "a run trains in this app already: stop it, or start this one detached",
            severity="warning",
        )
        return False

    def _start(self, run_dir: Path, detached: bool | None, checked: Checked | None) -> bool:
        try:
            if self._detached(detached):
                self.started.start_detached(run_dir)
            else:
                self.started.start(run_dir, checked)
        except (CalisrError, OSError) as error:
            self.notify(f"the run could not be started: {error}", severity="error")
            return False
        return True
