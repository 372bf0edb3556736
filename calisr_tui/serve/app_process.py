"""One terminal app as a process of its own, spoken to in the packets of Textual's web driver.

A packet is a letter (D: what a terminal sends or shows; M: JSON about it), the length of its
payload in four bytes, most significant first, and the payload.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from typing import Any

from calisr_tui.serve.messages import Size
from calisr_tui.terminal import SERVER

READY = b"__GANGLION__\n"
GRACE = 5.0
"""Seconds an app may take to end when it is asked to, before it is told, and then killed."""

POLL = 0.02

LAST_WORDS = 4096
"""Bytes kept of what an app says on stderr."""


class AppProcess:
    """A terminal app that shows itself through a pipe.

    It leads a session and group of its own: Ctrl-C of the server's terminal does not reach it, and
    what it leaves running in its group is ended with it. Detached runs and grids are in groups of
    their own and go on.
    """

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._words = b""
        self._listening = asyncio.create_task(self._listen(process.stderr))

    @classmethod
    async def start(cls, command: Sequence[str], size: Size) -> AppProcess:
        """Start an app with a terminal of this size.

        Raises:
            OSError: the process cannot start.
        """
        environment = {
            **os.environ,
            SERVER: str(os.getpid()),
            "TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver",
            "TEXTUAL_FPS": "60",
            "TEXTUAL_COLOR_SYSTEM": "truecolor",
            "TERM_PROGRAM": "textual",
            "COLUMNS": str(size.columns),
            "ROWS": str(size.rows),
        }
        return cls(
            await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=PIPE,
                env=environment, start_new_session=True,
            )
        )  # fmt: skip

    async def type(self, data: bytes) -> None:
        """Pass on what a terminal sends; waits while the app is behind."""
        await self._send(b"D", data)

    async def tell(self, **facts: Any) -> None:
        """Say something about the terminal, such as its new size."""
        await self._send(b"M", json.dumps(facts).encode())

    async def packets(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """What the app shows, until it ends or says that it will."""
        try:
            while (line := await self._stdout.readline()) != READY:
                if not line:
                    return
            while True:
                kind = await self._stdout.readexactly(1)
                length = int.from_bytes(await self._stdout.readexactly(4), "big")
                yield kind, await self._stdout.readexactly(length)
        except (asyncio.IncompleteReadError, ValueError, ConnectionError):
            return

    async def end(self) -> int:
        """Ask the app to end; then tell it; then kill it. Returns its exit status.

        Call it once, when nobody reads its `packets` any more.
        """
        draining = asyncio.create_task(self._drain())
        try:
            await self._ended_within_grace()
        finally:
            # Whatever happened above: nothing of the group outlives this call.
            self._signal(signal.SIGKILL)
        await self._ended()
        await asyncio.wait({draining, self._listening}, timeout=1)
        return self._process.returncode or 0

    def last_words(self) -> str:
        """The end of what the app said on stderr, without what could steer a terminal."""
        text = self._words.decode(errors="replace")
        return "".join(each if each.isprintable() or each == "\n" else "?" for each in text).strip()

    async def _ended_within_grace(self) -> None:
        if self._process.returncode is not None:
            return
        with contextlib.suppress(OSError, RuntimeError):
            self._stdin.write(_packet(b"M", b'{"type": "quit"}'))
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ended(), GRACE)
                return
            self._signal(number)

    async def _ended(self) -> None:
        while self._process.returncode is None:  # its wait() is also for whoever has its pipes
            await asyncio.sleep(POLL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _send(self, kind: bytes, payload: bytes) -> None:
        with contextlib.suppress(OSError, RuntimeError):  # it has ended, as `packets` will say
            self._stdin.write(_packet(kind, payload))
            await self._stdin.drain()

    async def _drain(self) -> None:
        """Let it write what it still has to show: it cannot end while it waits for a reader."""
        while await self._stdout.read(1 << 16):
            pass

    async def _listen(self, stderr: asyncio.StreamReader) -> None:
        while said := await stderr.read(LAST_WORDS):
            self._words = (self._words + said)[-LAST_WORDS:]


def _packet(kind: bytes, payload: bytes) -> bytes:
    return kind + len(payload).to_bytes(4, "big") + payload
