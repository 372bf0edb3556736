"""Open the terminal app: the one place where the command line reaches Textual."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from calisr_engine.errors import CalisrError
from calisr_engine.plain_words import command
from calisr_tui import notices
from calisr_tui.cli.out import say
from calisr_tui.terminal import own_terminal


def run_app(
    run_dir: Path | None = None,
    replay: Path | None = None,
    output_dir: Path = Path("runs"),
    data_dir: Path | None = None,
) -> int:
    """Open the terminal app; returns its exit status (75 where it stopped its own run).

    Raises:
        ConfigError: CALISR_NOTIFY names what cannot be used.
        AppEndedError: by an error of its own; a run that it trained was stopped and saved.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()) and "TEXTUAL_DRIVER" not in os.environ:
        raise CalisrError(
            "the terminal app needs a terminal",
            "use calisr run, watch, runs or show where there is none",
        )
    notices.ways()  # a mistake there is told before the screen is taken
    from calisr_engine.runs import store
    from calisr_tui.app import CalisrApp

    start = "home" if store.run_ids(output_dir) else None
    app = CalisrApp(
        start if run_dir is None and replay is None else None, run_dir, replay, output_dir, data_dir
    )
    status = None
    ended = False
    with own_terminal() as said:
        try:
            status = app.run()
            ended = not app.return_code
        finally:
            if not ended:
                app.started.save_and_wait()
    for message in app.messages_after:
        say(message)
    if not ended:
        run = app.started.engine
        hint = f"; go on with: {command('resume', run.run_dir)}" if run is not None else ""
        raise AppEndedError("the app ended by an error of its own", f"it is told in {said}{hint}")
    return status or 0


class AppEndedError(CalisrError):
    """The app met an error that it does not know; its output says which."""
