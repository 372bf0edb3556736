"""`calisr serve`: the app in a browser."""

from __future__ import annotations

import asyncio
import base64
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from calisr_tui.cli.serve import is_local


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("192.168.1.5", False),
        ("example.org", False),
    ],
)
def test_which_addresses_are_local(host: str, local: bool) -> None:
    assert is_local(host) is local


async def picture_size(browser: str, address: str, profile: Path) -> int:
    """Bytes of a screenshot of the page once the app has painted; the splash alone has few."""
    import aiohttp

    port = free_port()
    process = subprocess.Popen(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={profile}",
            f"--remote-debugging-port={port}",
            "--window-size=1200,800",
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as session:
            for _ in range(200):
                try:
                    opened = await session.put(f"http://127.0.0.1:{port}/json/new?{address}")
                    page = await opened.json()
                    break
                except (OSError, aiohttp.ClientError):
                    await asyncio.sleep(0.1)
            else:
                pytest.fail("the browser did not start")
            size = 0
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as channel:
                for number in range(60):
                    await asyncio.sleep(0.5)
                    await channel.send_json({"id": number, "method": "Page.captureScreenshot"})
                    answer = await channel.receive_json()
                    size = len(base64.b64decode(answer["result"]["data"]))
                    if size > 20_000:
                        break
            return size
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_browser_shows_the_app(tmp_path: Path) -> None:
    pytest.importorskip("textual_serve", reason="the extra `serve` is not installed")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine")
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "calisr_tui", "serve", "--host", "127.0.0.1", "--port", str(port)],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(100):
            try:
                with urllib.request.urlopen(address, timeout=2) as answer:
                    page = answer.read().decode()
                break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail("the server did not answer")
        assert "calisr" in page
        assert asyncio.run(picture_size(browser, address, tmp_path / "profile")) > 20_000
    finally:
        server.terminate()
        server.wait(10)
