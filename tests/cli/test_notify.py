"""Who hears of a run's end, and what: nobody unless asked for, and no secret on the screen."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.events.log import EventWriter
from calisr_engine.events.types import Failed
from calisr_tui.app import CalisrApp
from calisr_tui.cli.app import run_command_line
from tests.runs.trainer import FIRST_VERSION


class Hook(HTTPServer):
    """A server that keeps what it is sent, and answers /moved with a redirect, /no with a 500."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append((self.path, json.loads(body)))
                self.send_response({"/moved": 302, "/no": 500}.get(self.path, 204))
                self.send_header("Location", "/ok")
                self.end_headers()

            def do_GET(self) -> None:
                hook.got.append((f"GET {self.path}", {}))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture(scope="module")
def server() -> Iterator[Hook]:
    hook = Hook()
    threading.Thread(target=hook.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield hook
    hook.shutdown()
    hook.server_close()


@pytest.fixture
def hook(server: Hook, monkeypatch: pytest.MonkeyPatch) -> Hook:
    server.got.clear()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return server


@pytest.fixture
def failed(tmp_path: Path) -> Path:
    run = tmp_path / "nan"
    shutil.copytree(FIRST_VERSION / "killed-lora", run)
    with EventWriter(run / "events.jsonl", 1) as writer:
        writer.write(7, Failed(message="the loss is not a number\x1b]0;x\x07", hint="a lower rate"))
    return run


@pytest.mark.parametrize("command", ["tail", "watch"])
def test_an_address_hears_how_a_run_ended(
    command: str, failed: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALISR_NOTIFY", f"{hook.address}/a {hook.address}/b")
    assert run_command_line([command, str(failed)]) == 1
    assert run_command_line([command, str(FIRST_VERSION / "completed-lora")]) == 0
    assert run_command_line([command, str(FIRST_VERSION / "killed-lora")]) == 75
    assert run_command_line([command, str(FIRST_VERSION / "stopped-child-tuning-d")]) == 75
    assert [path for path, _ in hook.got] == ["/a", "/b"] * 3
    first, second, third = (said for _, said in hook.got[::2])
    assert (first["state"], first["run"]) == ("failed", "nan")
    assert "the loss is not a number" in first["text"]
    assert (second["state"], "best" in second["text"]) == ("completed", True)
    assert third["state"] == "interrupted"


@pytest.mark.parametrize("asked", ["", "bell", "osc9", "bell,osc9"])
@pytest.mark.parametrize("terminal", [True, False])
def test_the_terminal_is_told_where_there_is_one(
    asked: str,
    terminal: bool,
    failed: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CALISR_NOTIFY", asked)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert run_command_line(["tail", str(failed)]) == 1
    out, err = capsys.readouterr()
    assert "\a" not in out
    assert err.count("\a") == (terminal and "bell" in asked)
    assert err.count("\x1b]") == (terminal and "osc9" in asked)
    assert ("\x1b]9;CaliSr: nan failed" in err) == (terminal and "osc9" in asked)


def test_an_address_that_does_not_hear_changes_nothing_and_stays_secret(
    failed: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = "http://127.0.0.1:1/secret"
    addresses = (f"{hook.address}/moved", f"{hook.address}/no", closed, f"{hook.address}/ok")
    monkeypatch.setenv("CALISR_NOTIFY", ",".join(addresses))
    assert run_command_line(["tail", str(failed)]) == 1
    err = capsys.readouterr()[1]
    assert [path for path, _ in hook.got] == ["/moved", "/no", "/ok"]
    assert err.count("could not be told") == 3
    assert not any(word in err for word in ("secret", "/moved", "/no", "Traceback"))


@pytest.mark.parametrize("bad", ["ring", "file:///etc/passwd", "ftp://x/secret", "https://"])
@pytest.mark.parametrize("words", [("tail", "{}"), ("resume", "{}"), ("run", "demo")])
def test_a_mistake_is_told_before_anything_begins(
    bad: str,
    words: tuple[str, ...],
    failed: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CALISR_NOTIFY", f"bell,{bad}")
    before = sorted(failed.parent.rglob("*"))
    arguments = [word.format(failed) for word in words]
    assert run_command_line([*arguments, "--output-dir", str(failed.parent)]) == 2
    err = capsys.readouterr()[1]
    assert "CALISR_NOTIFY" in err
    assert "secret" not in err
    assert sorted(failed.parent.rglob("*")) == before


async def test_the_app_tells_of_the_runs_that_it_started(
    failed: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setenv("CALISR_NOTIFY", f"bell,osc9,{hook.address}/no,{hook.address}/app")
    monkeypatch.setattr("calisr_tui.started.start_worker", lambda *_, **__: Gone())
    app = CalisrApp("runs", output_dir=failed.parent, preload=False, config=failed.parent / "own")
    async with app.run_test() as pilot:
        app.bell = lambda: written.append("bell")  # type: ignore[method-assign]
        app._desktop_notice = written.append  # type: ignore[method-assign]
        for run in (failed, FIRST_VERSION / "stopped-child-tuning-d"):
            app.started.start_detached(run)
        app._tick()
        await app.workers.wait_for_complete()
        app._tick()
        await pilot.pause()
        told = [each.message for each in app._notifications]
    assert [path for path, _ in hook.got] == ["/no", "/app"]
    assert [each[:6] for each in written] == ["bell", "CaliSr"]
    assert any("nan failed" in each for each in told)
    assert any("could not be told" in each for each in told)


class Gone:
    """A process that has ended."""

    def poll(self) -> int:
        return 1
