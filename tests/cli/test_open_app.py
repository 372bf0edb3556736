"""The real process of the app, in a terminal of its own, when a screen meets an error."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import sys
from calisr_tui.screens.runs import RunsScreen

def broken(self):
    raise {error}

RunsScreen.{where} = broken
sys.argv = ["calisr", "--output-dir", {runs!r}]
from calisr_tui.__main__ import main
main()
"""


def in_terminal(script: str, keys: str) -> tuple[int, str]:
    """(exit status, what the terminal got) of Python with a script, keys typed once it draws."""
    pid, descriptor = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="100", LINES="30")
        os.execv(sys.executable, [sys.executable, "-c", script])
    output, typed, limit = b"", False, time.monotonic() + 90
    while time.monotonic() < limit:
        if select.select([descriptor], [], [], 0.5)[0]:
            try:
                read = os.read(descriptor, 1 << 16)
            except OSError:
                read = b""
            if not read:
                break
            output += read
        elif not typed and output:
            os.write(descriptor, keys.encode())
            typed = True
    _, status = os.waitpid(pid, 0)
    os.close(descriptor)
    return os.waitstatus_to_exitcode(status), output.decode(errors="replace")


@pytest.mark.parametrize(
    ("where", "error"),
    [("on_mount", 'ValueError("odd log")'), ("compose", 'RecursionError("deep")')],
)
def test_an_app_that_ends_by_an_error_says_so_and_fails(
    where: str, error: str, tmp_path: Path
) -> None:
    script = SCRIPT.format(where=where, error=error, runs=str(tmp_path))
    status, output = in_terminal(script, "\x1bOS")  # F4: the runs
    assert status == 1, output[-2000:]
    restored, _, after = output.rpartition("\x1b[?1049l")
    assert restored, "the terminal was left on the app's screen"
    assert "calisr: the app ended by an error of its own" in after
    assert "Traceback" not in after
    log = re.search(r"it is told in (\S+)", after)
    assert log is not None
    assert error.partition("(")[0] in Path(log[1]).read_text()
    Path(log[1]).unlink()
