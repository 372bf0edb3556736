"""A real Chromium, driven through its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

SECONDS = 60.0


class Tab:
    """One tab: what it shows and does."""

    def __init__(self, channel: aiohttp.ClientWebSocketResponse, target: str) -> None:
        self.channel, self.target = channel, target
        self.console: list[str] = []
        self.requests: list[str] = []
        self._number = 0

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command; what is said meanwhile is kept."""
        self._number += 1
        await self.channel.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            answer = await asyncio.wait_for(self.channel.receive_json(), SECONDS)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._keep(answer)

    def _keep(self, event: dict[str, Any]) -> None:
        facts = event.get("params", {})
        if event["method"] == "Log.entryAdded":
            self.console.append(facts["entry"]["text"])
        elif event["method"] == "Network.requestWillBeSent":
            self.requests.append(facts["request"]["url"])
        elif event["method"] == "Network.webSocketCreated":
            self.requests.append(facts["url"])

    async def value(self, script: str) -> Any:
        """What a script gives in the page; a promise is waited for."""
        answer = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def open(self, address: str) -> None:
        await self.call("Page.navigate", url=address)

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for an awaitable condition."""
        for _ in range(int(SECONDS / 0.1)):
            if await condition():
                return
            await asyncio.sleep(0.1)
        raise AssertionError("waited in vain")

    async def classes(self) -> str:
        return str(await self.value("document.body ? document.body.className : ''"))

    async def press(self, key: str, *, code: int = 0, modifiers: int = 0, text: str = "") -> None:
        """A key as the keyboard sends it; `modifiers` 2 is Ctrl."""
        facts = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        more = {"text": text} if text else {}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **facts, **more)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    async def picture(self) -> bytes:
        answer = await self.call("Page.captureScreenshot")
        return base64.b64decode(answer["data"])


class Browser:
    """A running browser."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session, self._address = session, address

    async def tab(self) -> Tab:
        opened = await self._session.put(f"{self._address}/json/new?about:blank")
        facts = await opened.json()
        channel = await self._session.ws_connect(facts["webSocketDebuggerUrl"], max_msg_size=0)
        tab = Tab(channel, facts["id"])
        for domain in ("Page", "Network", "Log", "Runtime"):
            await tab.call(f"{domain}.enable")
        return tab

    async def close(self, tab: Tab) -> None:
        """As a user closes a tab."""
        await tab.channel.close()
        await self._session.get(f"{self._address}/json/close/{tab.target}")


@contextlib.asynccontextmanager
async def browser(*options: str) -> AsyncIterator[Browser]:
    """Start Chromium with an empty profile; the test is skipped where there is none."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory(prefix="calisr-browser-", ignore_cleanup_errors=True) as name:
        process = await asyncio.create_subprocess_exec(
            program,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            f"--user-data-dir={name}",
            "--remote-debugging-port=0",
            "--window-size=1200,800",
            *options,
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            port = await _debugging_port(Path(name) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session:
                yield Browser(session, f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            await process.wait()


async def _debugging_port(file: Path) -> int:
    for _ in range(600):
        with contextlib.suppress(OSError, IndexError, ValueError):
            return int(file.read_text().splitlines()[0])
        await asyncio.sleep(0.1)
    raise AssertionError("the browser did not start")
