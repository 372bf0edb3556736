"""The door of the command line: whatever a command prints goes through here.

Names, labels, paths, log fields and messages come from files of others. They are shown, never
obeyed: control characters as visible escapes, brackets as typed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from calisr_engine.errors import ConfigError
from calisr_engine.plain_words import one_line, shown

if TYPE_CHECKING:
    from calisr_engine.figures.data import Figure


def put(text: object = "") -> None:
    """A line of the answer, on stdout."""
    print(shown(str(text)))


def put_now(text: object) -> None:
    """A line of an answer that goes on, on stdout, at once."""
    print(shown(str(text)), flush=True)


def put_json(value: Any) -> None:
    """Data on stdout, as JSON (whose escapes leave no control character)."""
    print(json.dumps(value, indent=2, default=str))


def put_json_line(value: Any) -> None:
    """One record of a stream on stdout, at once."""
    print(json.dumps(value), flush=True)


def check_one_form(as_csv: bool, as_json: bool) -> None:
    """Refuse an answer in two forms at once.

    Raises:
        ConfigError: both are asked for.
    """
    if as_csv and as_json:
        raise ConfigError("--csv and --json exclude each other", "leave one of them out")


def say(message: object) -> None:
    """Narration and errors, on stderr; nobody who listens is no error."""
    with contextlib.suppress(OSError, ValueError):
        print(shown(str(message)), file=sys.stderr, flush=True)


def say_again(message: str, width: int) -> None:
    """Narration in place of the last such line, padded to `width` cells."""
    with contextlib.suppress(OSError, ValueError):
        print(f"\r{shown(message):<{width}}", end="", file=sys.stderr, flush=True)


def terminal_width() -> int | None:
    """Cells of a line on stdout; None where that is no terminal and lines are of any length."""
    return shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else None


def ring() -> None:
    """The terminal's bell; nothing where there is no terminal."""
    _to_terminal("\a")


def notice(text: str) -> None:
    """A desktop notice by the terminal (OSC 9); nothing where there is no terminal."""
    _to_terminal(f"\x1b]9;{shown(text)}\x1b\\")


def _to_terminal(code: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr.isatty():
            print(code, end="", file=sys.stderr, flush=True)


class PlainConsole(Console):
    """A Rich console that takes strings as they are.

    No markup, no emoji codes, no highlighting; and no control character of a text reaches the
    terminal, wherever in a table, line or chart that text stands.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None, quiet: bool = False):
        super().__init__(
            stderr=stderr, width=width, quiet=quiet, markup=False, emoji=False, highlight=False
        )

    def render_str(self, text: str, **options: Any) -> Text:
        """Text measured as it will be shown."""
        return super().render_str(shown(text), **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """What is printed; only Rich's own codes (cursor, clearing) stay codes."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else shown(segment.text)
            yield segment if text is segment.text else Segment(text, segment.style)


LEAST_NAMED = 16
"""Cells that the first column of a folded table has at least."""


def print_whole(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout of which nothing is cut: names to the left, figures to the right of them.

    Where a terminal is too narrow the names fold, and figures that have no room beside them follow
    below, beside the names again. Elsewhere lines are as long as they are.
    """
    from rich.cells import cell_len
    from rich.table import Table

    rows = [list(map(one_line, row)) for row in rows]
    widths = [max(map(cell_len, texts)) for texts in zip(titles, *rows, strict=True)]
    room = terminal_width() or sum(widths) + len(widths)
    named = min(widths[0], max(LEAST_NAMED, room - sum(widths[1:]) - len(widths)))
    parts, used = [list[int]()], named
    for column, width in enumerate(widths[1:], 1):
        if parts[-1] and used + 1 + width > room:
            parts.append([])
            used = named
        parts[-1].append(column)
        used += 1 + width
    console = PlainConsole(width=max(room, named + 2 + max(widths[1:], default=0)))
    for part in parts:
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column(titles[0], overflow="fold", width=named)
        for column in part:
            table.add_column(titles[column], justify="right", no_wrap=True, width=widths[column])
        for row in rows:
            table.add_row(row[0], *(row[column] for column in part))
        console.print(table)


def print_figure(figure: Figure) -> None:
    """A figure on stdout, its panels one below the other."""
    from calisr_tui.charts.figure_text import figure_text

    width = min(100, shutil.get_terminal_size((80, 24)).columns)
    PlainConsole(width=width).print(figure_text(figure, width))


def replace_what_cannot_be_written() -> None:
    """Let a terminal that knows fewer characters show "?" for one, not end the command."""
    for stream in (sys.stdout, sys.stderr):
        if callable(reconfigure := getattr(stream, "reconfigure", None)):
            reconfigure(errors="replace")


def close_stdout() -> None:
    """Send what is still buffered nowhere: its reader is gone, or its disk is full."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
