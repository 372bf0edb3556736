"""`calisr serve`: its link, its end, and runs that outlive their tab and the server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from calisr_engine.runs import control, load_view
from calisr_tui.cli.app import run_command_line
from tests.serve.client import alive
from tests.slow import quick_where
from tests.training.tiny_run import save_model
from tests.tui.test_real_runs import PRESET


class Program:
    """`calisr serve` as a process, and its link."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "calisr_tui", "serve", "--port", "0", *arguments],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.said = ""
        while "open http" not in self.said:
            line = self.process.stderr.readline()
            assert line, self.said
            self.said += line
        self.link = re.findall(r"http\S+", self.said)[0]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        self.said += said
        return self.process.returncode


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Program]]:
    monkeypatch.chdir(tmp_path)
    begun: list[Program] = []

    def begin(*arguments: str) -> Program:
        begun.append(Program(*arguments))
        return begun[-1]

    yield begin
    for program in begun:
        if program.process.poll() is None:
            program.process.kill()
            program.process.communicate()


class Page:
    """What a browser's tab says and gets, without a browser."""

    def __init__(self, channel: aiohttp.ClientWebSocketResponse) -> None:
        self.channel, self.output = channel, b""

    async def press(self, keys: str) -> None:
        await self.channel.send_json(["stdin", keys])

    async def until(self, condition: Callable[[], object]) -> None:
        for _ in range(1200):
            if condition():
                return
            with contextlib.suppress(asyncio.TimeoutError):
                received = await self.channel.receive(0.05)
                assert received.type is aiohttp.WSMsgType.BINARY, received
                self.output += received.data
        raise AssertionError(self.output[-2000:])

    async def settle(self) -> None:
        """Read until nothing new comes."""
        with contextlib.suppress(asyncio.TimeoutError):
            while True:
                self.output += (await self.channel.receive(0.4)).data


@contextlib.asynccontextmanager
async def page(link: str) -> AsyncIterator[Page]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        text = await (await session.get(link)).text()
        folder = re.findall(r"url=([^\"]+)", text)[0]
        origin = link.partition("/?")[0]
        address = f"{origin}{folder}ws?width=120&height=40"
        async with session.ws_connect(address, headers={"Origin": origin}) as channel:
            yield Page(channel)


def only_child(pid: int) -> int:
    (child,) = psutil.Process(pid).children()
    return child.pid


@pytest.mark.parametrize(
    "name", quick_where(["SIGTERM", "SIGINT", "SIGHUP"], lambda name: name == "SIGTERM")
)
async def test_a_signal_ends_the_server_and_its_apps(
    programs: Callable[..., Program], name: str
) -> None:
    program = programs()
    async with page(program.link) as tab:
        await tab.until(lambda: b"of 5" in tab.output)
        app = only_child(program.process.pid)
        ending = asyncio.to_thread(program.end, getattr(signal, name))
        ended = asyncio.create_task(ending)
        await tab.channel.close()
        assert await ended == 0
        assert not alive(app)
    assert "Traceback" not in program.said


@pytest.mark.slow
async def test_a_run_outlives_its_tab_and_the_server(
    programs: Callable[..., Program], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "presets"
    folder.mkdir()
    text = PRESET.format(model=save_model(tmp_path / "model"), epochs=900, rate=1e-3)
    (folder / "longrun.toml").write_text(text)
    monkeypatch.setenv("CALISR_PRESETS_DIR", str(folder))
    program = programs()
    async with page(program.link) as tab:
        await tab.until(lambda: b"of 5" in tab.output)
        await tab.press("\x0f")  # Ctrl-O
        await tab.settle()
        await tab.press("longrun")
        await tab.settle()
        await tab.press("\r")
        await tab.settle()
        await tab.press("\x12")  # Ctrl-R
        await tab.until(lambda: any(Path("runs").glob("*/events.jsonl")))
        (run_dir,) = Path("runs").iterdir()
        await tab.until(lambda: load_view(run_dir).step > 3)
        app = only_child(program.process.pid)
    try:
        while alive(app):
            await asyncio.sleep(0.05)
        assert load_view(run_dir).state == "running"
        async with page(program.link) as again:  # as when the page is loaded again
            await again.until(lambda: b"RUNNING" in again.output)
            reached = load_view(run_dir).step
            assert await asyncio.to_thread(program.end) == 0
        while load_view(run_dir).step <= reached:
            await asyncio.sleep(0.05)
        assert load_view(run_dir).state == "running"
    finally:
        control.request(run_dir, "stop")
        while load_view(run_dir).state == "running":
            await asyncio.sleep(0.05)
    assert load_view(run_dir).state == "stopped"


def test_a_token_file_keeps_the_token_out_of_the_output(
    programs: Callable[..., Program], tmp_path: Path
) -> None:
    program = programs("--token-file", "token")
    token = (tmp_path / "token").read_text().strip()
    program.end()
    assert token not in program.said
    assert "with the token in token" in program.said


def test_a_file_that_others_may_read_is_warned_of(tmp_path: Path) -> None:
    code = "from calisr_tui.cli.serve import _others_read_stderr as asked; print(asked())"
    for mode, warned in ((0o600, "False"), (0o644, "True")):
        descriptor = os.open(tmp_path / f"log{mode}", os.O_CREAT | os.O_WRONLY, mode)
        done = subprocess.run(
            [sys.executable, "-c", code], stderr=descriptor, stdout=subprocess.PIPE, text=True
        )
        os.close(descriptor)
        assert done.stdout.strip() == warned


def test_mistakes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert run_command_line(["serve", "--port", port]) == 1
    assert "choose another with --port" in capsys.readouterr().err
    (tmp_path / "token").write_text("x")
    (tmp_path / "token").chmod(0o600)
    assert run_command_line(["serve", "--token-file", str(tmp_path / "token")]) == 1
    assert "holds no token" in capsys.readouterr().err
    assert run_command_line(["serve", "--host", "no.such.host.invalid"]) == 1
    told = capsys.readouterr().err
    assert "there is no TLS" in told
    assert "cannot be listened on" in told
