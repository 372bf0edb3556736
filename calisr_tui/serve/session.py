"""One tab: a websocket and the app behind it, from the first size to the end of both."""

from __future__ import annotations

import asyncio
import json

from aiohttp import WSCloseCode, WSMsgType, web

from calisr_tui.serve.app_process import AppProcess
from calisr_tui.serve.messages import Focus, Ping, Size, Typed, parse

RESIZE_SECONDS = 0.1
"""Least time between two sizes that reach the app; of those in between the last one counts."""

ADDRESSES = ("http://", "https://")
"""What an app may have the page open in a tab."""

ENDED = (WSCloseCode.OK, b"Session ended.")
REFUSED = (WSCloseCode.POLICY_VIOLATION, b"The page sent what is no message.")
LEFT = (WSCloseCode.GOING_AWAY, b"calisr serve has ended.")


class _LatestSize:
    """The size that a page wants now; a flood of sizes is one."""

    def __init__(self) -> None:
        self._size: Size | None = None
        self._news = asyncio.Event()

    def put(self, size: Size) -> None:
        self._size = size
        self._news.set()

    async def pass_on(self, app: AppProcess) -> None:
        """Resize the app now and then, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            if (size := self._size) is not None:
                await app.tell(type="resize", width=size.columns, height=size.rows)
            await asyncio.sleep(RESIZE_SECONDS)


async def converse(socket: web.WebSocketResponse, app: AppProcess, leaving: asyncio.Event) -> None:
    """Let page and app talk until one of them ends; then the socket is closed, with the reason.

    The app may still run after this.

    Args:
        leaving: set when the server ends.
    """
    sizes = _LatestSize()
    parts = (_hear(socket, app, sizes), _show(app, socket), sizes.pass_on(app), leaving.wait())
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        understood, *errors = await asyncio.gather(*tasks, return_exceptions=True)
    code, reason = REFUSED if understood is False else LEFT if leaving.is_set() else ENDED
    await socket.close(code=code, message=reason)
    for error in (understood, *errors):
        if isinstance(error, Exception) and not isinstance(error, ConnectionError):
            raise error


async def _show(app: AppProcess, socket: web.WebSocketResponse) -> None:
    """Pass on what the app shows until it ends."""
    async for kind, payload in app.packets():
        if kind == b"D":
            await socket.send_bytes(payload)
        elif kind == b"M":
            facts = json.loads(payload)
            if facts.get("type") == "exit":
                return
            if facts.get("type") == "open_url" and str(facts["url"]).startswith(ADDRESSES):
                address = {"url": facts["url"], "new_tab": True}
                await socket.send_json(["open_url", address])


async def _hear(socket: web.WebSocketResponse, app: AppProcess, sizes: _LatestSize) -> bool:
    """Pass on what the page says until it closes; False where it said what is no message."""
    async for received in socket:
        if received.type is WSMsgType.ERROR:  # too long; aiohttp has closed the socket with 1009
            return True
        message = parse(received.data) if received.type is WSMsgType.TEXT else None
        match message:
            case Typed(data):
                await app.type(data)
            case Size():
                sizes.put(message)
            case Ping(text):
                await socket.send_json(["pong", text])
            case Focus(here):
                await app.tell(type="focus" if here else "blur")
            case None:
                return False
    return True
