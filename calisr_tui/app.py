"""The terminal app: its screens, its one timer, the run that it trains, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual import work
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from calisr_engine.errors import EXIT_STOPPED, CalisrError
from calisr_engine.plain_words import command, shown
from calisr_engine.runs import load_view
from calisr_engine.storage.whole import write_text
from calisr_tui import keymap, late, notices, palette, places, themes
from calisr_tui.dialogs import Answer, Question, Reading
from calisr_tui.host import Host
from calisr_tui.terminal import SERVER

TICK = 0.25
"""Seconds between two looks at the log."""

PRELOAD_AFTER = 1.0
"""Seconds after the first paint at which the engine's libraries begin to load."""


class CalisrApp(Host):
    """Setup, live, runs, compare, replay and grid, over a folder of run directories.

    Args:
        start: the first screen; setup where nothing else is asked for.
        run_dir: a run to watch.
        replay: a run to replay.
        output_dir: the folder of the run directories.
        data_dir: folder of GLUE files for new runs.
        preload: load the engine's libraries in the background while the user chooses.
        config: folder of the user's keys and theme; None for the usual one.
        clock: seconds, for the replay.
    """

    TITLE = "calisr"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    MODES: ClassVar[dict[str, Any]] = {place.name: place.make for place in places.modes()}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1,question_mark", "help", "Help", key_display="F1", id="app.help"),
        *(place.binding for place in places.modes()),
        Binding("q", "ask_quit", "Quit", id="app.quit"),
        Binding("ctrl+c,ctrl+q", "ask_quit", "Quit", show=False, priority=True, id="app.quit_now"),
        Binding("T", "next_theme", "Theme", show=False, id="app.theme"),
        Binding("P", "picture", "Screenshot", show=False, id="app.screenshot"),
    ]

    def __init__(
        self,
        start: str | None = None,
        run_dir: Path | None = None,
        replay: Path | None = None,
        output_dir: Path = Path("runs"),
        data_dir: Path | None = None,
        *,
        preload: bool = True,
        config: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(output_dir, data_dir, config)
        self.messages_after: list[str] = []
        self._run_dir, self._replay = run_dir, replay
        self._first = start or ("replay" if replay else "live" if run_dir else "setup")
        self._preload, self._clock, self._last_tick = preload, clock, clock()
        self._server: str | None = None
        self._leaving = False
        self._told_error: object = None
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.theme = self._saved_theme()

    # Beginning -----------------------------------------------------------------------------------

    def on_mount(self) -> None:
        own_keys = self.config_dir / "keymap.toml"
        if own_keys.exists():  # naming every binding takes importing every screen
            used, problems = keymap.read_keymap(own_keys, self.binding_ids())
            self.set_keymap(used)
            problems += keymap.clashes(used, places.together(type(self)))
            for problem in problems:
                self.notify(problem, severity="warning", timeout=8)
        if self._replay is not None:
            self.open_replay(self._replay)
        elif self._run_dir is not None:
            self.open_run(self._run_dir)
        elif not self.is_web or not self._open_training():
            self.action_jump(self._first)
        if self.is_web:
            self._server = os.environ.get(SERVER)
        self.set_interval(TICK, self._tick)
        if self._preload and self._run_dir is None and self._replay is None and not self.is_web:
            self.set_timer(PRELOAD_AFTER, self._load_engine)
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, self._terminal_closed)
            loop.add_signal_handler(signal.SIGTERM, self._terminated)

    def _open_training(self) -> bool:
        """Show a run that trains, if any does: the page was loaded again, or its tab was closed."""
        from calisr_engine.runs.store import newest_in_training

        run_dir = newest_in_training(self.output_dir)
        if run_dir is not None:
            self.open_run(run_dir)
        return run_dir is not None

    def _load_engine(self) -> None:
        from calisr_engine.process.thread import preload

        preload()

    def binding_ids(self) -> dict[str, str]:
        """Id of every binding -> what it does."""
        return {each.id: each.description for each in places.every_binding(type(self)) if each.id}

    # The one timer -------------------------------------------------------------------------------

    def _tick(self) -> None:
        now = self._clock()
        elapsed, self._last_tick = max(0.0, now - self._last_tick), now
        for screen in reversed(self.screen_stack):
            on_tick = getattr(screen, "on_tick", None)
            if on_tick is not None:
                if screen.is_mounted and late.is_here(screen):
                    on_tick(elapsed)
                break
        engine = self.started.engine
        if engine is not None and engine.error is not None and engine.error is not self._told_error:
            self._told_error = engine.error
            self.show_error("The run could not go on", engine.error)
        for run_dir in self.started.ended():
            self._tell_end(run_dir)
        for ended in self.started.ended_grids():
            from calisr_tui.screens import grid_training, study_training

            (study_training if ended.kind == "study" else grid_training).tell_end(self, ended)
            if reload := getattr(self._mode_screen(ended.kind), "action_reload", None):
                reload()
        for export in self.started.ended_exports():
            if export.failed:
                self.push_screen(Reading("The export failed", export.said, copy=export.said))
            else:
                self.notify(f"exported: {export.folder}")
        server_gone = self._server is not None and str(os.getppid()) != self._server
        if server_gone or (self._leaving and not self.started.running):
            self._end()

    @work(thread=True)
    def _tell_end(self, run_dir: Path) -> None:
        """Tell that a run of this app ended: on other screens, and where CALISR_NOTIFY says."""
        try:
            view = load_view(run_dir)
        except CalisrError:  # what is wrong with its log, its own screen tells
            return
        if not notices.is_news(view):
            return
        facts = notices.facts_of(view, run_dir)
        feed = getattr(self.screen, "feed", None)
        if feed is None or feed.run_dir != run_dir:
            bad = facts["state"] != "completed"
            tell = partial(self.notify, severity="warning" if bad else "information", timeout=8)
            late.from_thread(self, tell, facts["text"])
        for each in notices.ways():
            if each == "bell":
                late.from_thread(self, self.bell)
            elif each == "osc9":
                late.from_thread(self, self._desktop_notice, facts["text"])
            elif problem := notices.post(each, facts):
                late.from_thread(self, partial(self.notify, severity="warning"), problem)

    def _desktop_notice(self, text: str) -> None:
        if self._driver is not None and not self.is_headless:
            self._driver.write(f"\x1b]9;{shown(text)}\x1b\\")

    # Ending --------------------------------------------------------------------------------------

    def action_ask_quit(self) -> None:
        """End; ask first where a run of this app would be touched."""
        if self._leaving:
            self._end()
            return
        detached = self.started.detached_running()
        if not self.started.running and not detached:
            self._end()
            return
        if any(isinstance(each, Question) and each.id == "quit" for each in self.screen_stack):
            return
        own = self.started.running
        keep = "" if not own else "only a detached run goes on without this app"
        told = ["A run trains in this app."] if own else []
        if len(detached) == 1:
            told.append("1 detached run of this app goes on training.")
        elif detached:
            told.append(f"{len(detached)} detached runs of this app go on training.")
        answers = [
            Answer("save", "Stop and save", variant="primary"),
            Answer("stop", "Stop", variant="error"),
            Answer("keep", "Keep training", keep),
            Answer("cancel", "Cancel"),
        ]
        if not own:
            answers = [answers[2], answers[0], answers[1], answers[3]]
        question = Question("Quit while training?", " ".join(told), answers)
        question.id = "quit"
        self.push_screen(question, self._leave)

    def _leave(self, answer: str | None) -> None:
        from calisr_engine.runs import control

        if answer in (None, "cancel"):
            return
        if answer in ("save", "stop"):
            engine = self.started.engine
            if engine is not None and engine.running:
                if answer == "save":
                    engine.stop_and_save()
                else:
                    try:
                        engine.stop()
                    except CalisrError as error:  # a full disk takes no request
                        self.notify(str(error), severity="error")
                        return
                self._leaving = True
                self.messages_after.append(
                    f"stopped; go on with: {command('resume', engine.run_dir)}"
                )
            else:
                kind = "stop_and_save" if answer == "save" else "stop"
                for run_dir in self.started.detached_running():
                    try:
                        control.request(run_dir, kind)
                        self.messages_after.append(f"asked to stop: {run_dir}")
                    except CalisrError as error:
                        self.messages_after.append(f"goes on, for it could not be asked: {error}")
        else:
            for run_dir in self.started.detached_running():
                self.messages_after.append(f"goes on: calisr watch {run_dir}")
        if self._leaving:
            self.notify("stopping after this step … (q again leaves at once)", timeout=60)
        else:
            self._end()

    def _end(self) -> None:
        engine = self.started.engine
        status = engine.status if engine is not None else 0
        self.messages_after += self.started.grid_messages()
        self.messages_after += self.started.export_messages()
        self.exit(EXIT_STOPPED if status == EXIT_STOPPED else 0)

    def _terminated(self) -> None:
        """SIGTERM: the run of this app is stopped and saved; detached ones go on."""
        self._leave("save" if self.started.running else "keep")

    def _terminal_closed(self) -> None:
        """SIGHUP: nobody is there to ask, so the run of this app is stopped and saved."""
        self.started.save_and_wait()
        os._exit(128 + signal.SIGHUP)

    # Look ----------------------------------------------------------------------------------------

    def action_next_theme(self) -> None:
        names = themes.NAMES
        at = names.index(self.theme) if self.theme in names else -1
        self.action_use_theme(names[(at + 1) % len(names)])

    def action_use_theme(self, name: str) -> None:
        """Change the theme and remember it."""
        self.theme = name
        self.notify(f"theme {name}", timeout=1.5)
        with contextlib.suppress(CalisrError):
            write_text(self.config_dir / "theme", name + "\n", "the theme")

    def watch_theme(self, name: str) -> None:
        for screen in self.screen_stack if self._screen_stacks.get(self._current_mode) else []:
            redraw = getattr(screen, "redraw", None)
            if redraw is not None:
                late.soon(screen, redraw)

    def _saved_theme(self) -> str:
        name = os.environ.get("CALISR_THEME", "")
        if not name:
            with contextlib.suppress(OSError):
                name = (self.config_dir / "theme").read_text().strip()
        return name if name in themes.NAMES else themes.NAMES[0]

    def action_picture(self) -> None:
        """Save the screen as an SVG picture in the current folder."""
        try:
            path = Path.cwd() / f"calisr-{time.strftime('%y%m%d-%H%M%S')}.svg"
            write_text(path, self.export_screenshot(), "the picture")
        except (CalisrError, OSError) as error:
            self.notify(str(error), severity="error")
        else:
            self.notify(f"saved {path}")

    def get_key_display(self, binding: Binding) -> str:
        """A key as the help page calls it: F9, Esc, Space; with Ctrl as ^L."""
        shown = super().get_key_display(binding)
        known = re.fullmatch(r"esc|space|enter|tab|f\d+|\^[a-z]", shown)
        return shown.title() if known else shown

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The command palette."""
        return palette.commands(self, screen)
