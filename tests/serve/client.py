"""A server with a fake app behind it, and whoever asks it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from calisr_tui.serve.access import Access
from calisr_tui.serve.server import Server

FAKE = Path(__file__).parent / "fake_app.py"


def fake_app(manner: str = "") -> list[str]:
    return [sys.executable, "-S", "-E", str(FAKE), manner]


@contextlib.asynccontextmanager
async def serving(manner: str = "", host: str = "127.0.0.1") -> AsyncIterator[Server]:
    server = Server(fake_app(manner), Access(host), 0)
    async with server.listening():
        yield server


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes


async def ask(server: Server, path: str, *headers: str, method: str = "GET") -> Reply:
    """Send exactly these headers, right or wrong, and read the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        lines = (f"{method} {path} HTTP/1.1", *headers, "", "")
        writer.write("\r\n".join(lines).encode())
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode()
        first, *others = head.strip().split("\r\n")
        found = dict(line.split(": ", 1) for line in others)
        length = 0 if method == "HEAD" else int(found.get("Content-Length", 0))
        body = await reader.readexactly(length)
        return Reply(int(first.split()[1]), found, body)
    finally:
        writer.close()


def name(server: Server) -> str:
    return f"127.0.0.1:{server.port}"


def cookie(server: Server) -> str:
    return f"Cookie: calisr-{server.port}={server.access.cookie}"


UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@contextlib.asynccontextmanager
async def page(
    server: Server, columns: object = 100, rows: object = 30
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """The websocket of a page that may use the server."""
    address = f"http://{name(server)}{server.access.path}/ws?width={columns}&height={rows}"
    kept = cookie(server).partition(": ")
    headers = {"Origin": f"http://{name(server)}", kept[0]: kept[2]}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(address, headers=headers) as socket,
    ):
        yield socket


async def shown(socket: aiohttp.ClientWebSocketResponse) -> str:
    """The next line of the fake app."""
    received = await asyncio.wait_for(socket.receive(), 30)
    assert received.type is aiohttp.WSMsgType.BINARY, received
    return bytes(received.data).decode().strip()


async def closed(socket: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str]:
    """Read until the socket closes: the code and the reason."""
    while True:
        received = await asyncio.wait_for(socket.receive(), 30)
        if received.type is aiohttp.WSMsgType.CLOSE:
            return int(received.data), str(received.extra or "")
        if received.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
            return socket.close_code, ""


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not yet waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until_gone(*pids: int) -> None:
    for _ in range(600):
        if not any(alive(pid) for pid in pids):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"still there: {[pid for pid in pids if alive(pid)]}")
