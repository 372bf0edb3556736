"""An app as a process: it ends when it is asked, told or killed, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from calisr_tui.serve import app_process
from calisr_tui.serve.app_process import AppProcess
from calisr_tui.serve.messages import Size
from tests.serve.client import alive, fake_app, until_gone

SIZE = Size(100, 30)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_process, "GRACE", 0.3)


async def begin(manner: str) -> tuple[AppProcess, list[int]]:
    app = await AppProcess.start(fake_app(manner), SIZE)
    kind, payload = await anext(app.packets())
    assert kind == b"D"
    return app, [int(each) for each in payload.split() if int(each)]


@pytest.mark.parametrize(
    ("manner", "status"),
    [
        ("", 0),
        ("deaf", -signal.SIGTERM),
        ("stubborn", -signal.SIGKILL),
        ("parent", 0),
        ("talkative", 0),
        ("flood", -signal.SIGTERM),
    ],
)
async def test_nothing_is_left(manner: str, status: int) -> None:
    app, numbers = await begin(manner)
    assert len(numbers) == 1 + (manner == "parent")
    assert all(alive(each) for each in numbers)
    assert await app.end() == status
    await until_gone(*numbers)


@pytest.mark.parametrize("manner", ["parent", "stubborn"])
async def test_nothing_is_left_when_ending_is_broken_off(manner: str) -> None:
    app, numbers = await begin(manner)
    ending = asyncio.create_task(app.end())
    await asyncio.sleep(0.02)
    ending.cancel()
    await asyncio.gather(ending, return_exceptions=True)
    await until_gone(*numbers)
    await app.end()  # close its pipes


async def test_last_words_cannot_steer_a_terminal() -> None:
    app = await AppProcess.start(fake_app("broken"), SIZE)
    assert [packet async for packet in app.packets()] == []
    assert await app.end() == 1
    assert app.last_words() == "no terminal ?[31mhere"


async def test_an_app_is_not_in_the_group_of_the_server() -> None:
    app, (number,) = await begin("")
    assert os.getsid(number) == os.getpgid(number) == number
    await app.end()


def test_a_killed_server_leaves_no_app() -> None:
    """SIGKILL of a server: the real app notices that its parent is gone."""
    code = (
        "import asyncio, sys\n"
        "from calisr_tui.serve.app_process import AppProcess\n"
        "from calisr_tui.serve.messages import Size\n"
        "async def main():\n"
        "    app = await AppProcess.start([sys.executable, '-m', 'calisr_tui'], Size(80, 24))\n"
        "    await anext(app.packets())\n"
        "    print(app._process.pid, flush=True)\n"
        "    async for _ in app.packets(): pass\n"
        "asyncio.run(main())\n"
    )
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    number = int(server.stdout.readline())
    assert alive(number)
    server.kill()
    server.wait()
    asyncio.run(until_gone(number))
