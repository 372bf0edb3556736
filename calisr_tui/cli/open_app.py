"""Open the terminal app: the one place where the command line reaches Textual."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from calisr_engine.errors import CalisrError
from calisr_tui.cli.out import say
from calisr_tui.terminal import own_terminal


def run_app(
    run_dir: Path | None = None,
    replay: Path | None = None,
    output_dir: Path = Path("runs"),
    data_dir: Path | None = None,
) -> int:
    """Open the terminal app; returns its exit status (75 where it stopped its own run)."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) and "TEXTUAL_DRIVER" not in os.environ:
        raise CalisrError(
            "the terminal app needs a terminal",
            "use calisr run, watch, runs or show where there is none",
        )
    from calisr_tui.app import CalisrApp

    app = CalisrApp(None, run_dir, replay, output_dir, data_dir)
    with own_terminal():
        status = app.run()
    for message in app.messages_after:
        say(message)
    return status or 0
