"""What is drawn again and again below the lines of a command, where stderr is a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.live import Live

from calisr_tui.cli.out import PlainConsole


class OnTerminal:
    """Draws on a terminal as long as it is entered; elsewhere it does not. On stderr."""

    def __init__(self, console: PlainConsole) -> None:
        self._console = console
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
