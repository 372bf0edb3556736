"""tail: the last lines of a run, then those that come, then how it ended."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from calisr_engine.runs.control import request
from calisr_tui.cli import tail as module
from calisr_tui.cli.app import run_command_line
from tests.runs.trainer import FIRST_VERSION, Trainer, new_run

Tail = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def tail(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tail:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)

    def call(root: Path, *words: str) -> tuple[int, list[str], str]:
        status = run_command_line(["tail", *words, "--output-dir", str(root)])
        out, err = capsys.readouterr()
        return status, out.splitlines(), err

    return call


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once the command has looked at the log for the first time."""
    seen, begin = threading.Event(), module.Follower.begin

    def began(self: module.Follower, lines: int) -> None:
        begin(self, lines)
        seen.set()

    monkeypatch.setattr(module.Follower, "begin", began)
    return seen


@pytest.mark.parametrize(
    ("run", "status", "end"),
    [
        ("completed-lora", 0, "completed"),
        ("stopped-child-tuning-d", 75, "stopped"),
        ("killed-lora", 75, ""),
    ],
)
def test_a_run_that_is_over(run: str, status: int, end: str, tail: Tail) -> None:
    found, lines, err = tail(FIRST_VERSION, run, "-n", "3")
    assert found == status
    assert len(lines) == 3
    assert all(each.startswith("step ") for each in lines)
    assert end in lines[-1]
    assert ("calisr resume" in err) == (not end)
    log = (FIRST_VERSION / run / "events.jsonl").read_text().splitlines()
    records = [json.loads(each) for each in log]
    for count in (0, 1, 7, 10_000):
        found, lines, _ = tail(FIRST_VERSION, run, "--json", "-n", str(count))
        assert found == status
        assert [json.loads(each) for each in lines] == records[max(0, len(records) - count) :]


def test_the_lines_are_those_that_watch_prints(
    tail: Tail, capsys: pytest.CaptureFixture[str]
) -> None:
    run_command_line(["watch", "completed-lora", "--output-dir", str(FIRST_VERSION)])
    watched = [each for each in capsys.readouterr()[1].splitlines() if each.startswith("step  ")]
    assert watched
    assert tail(FIRST_VERSION, "completed-lora", "-n", "1000")[1] == watched


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(("heeds", "status"), [("all", 75), ("end", 0), ("fail", 1)])
def test_a_run_that_goes_on(
    heeds: str, status: int, as_json: bool, tmp_path: Path, tail: Tail, looks: threading.Event
) -> None:
    run = new_run(tmp_path / "one")

    def stop() -> None:
        looks.wait(60)
        request(run, "stop")

    with Trainer(run, heeds):
        later = threading.Thread(target=stop)
        later.start()
        found, lines, err = tail(tmp_path, "one", "-n", "0", *(["--json"] if as_json else []))
    later.join()
    assert found == status
    (line,) = lines  # what was there before is not shown, what came since is
    if as_json:
        kinds = {"all": "stopped", "end": "completed", "fail": "failed"}
        assert json.loads(line)["type"] == kinds[heeds]
    assert ("buy another" in err) == (heeds == "fail")


def test_it_waits_for_a_run_that_nobody_has_begun(
    tmp_path: Path, tail: Tail, looks: threading.Event
) -> None:
    run = new_run(tmp_path / "one")

    def train() -> None:
        looks.wait(60)
        with Trainer(run, "end") as trainer:
            request(run, "stop")
            trainer._thread.join(10)

    later = threading.Thread(target=train)
    later.start()
    status, lines, err = tail(tmp_path, "one")
    later.join()
    assert status == 0
    assert "completed" in lines[-1]
    assert err.count("waiting for a process") == 1


def test_ctrl_c_ends_it_quietly_and_leaves_the_run_alone(
    tmp_path: Path, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Impatient:
        monotonic = staticmethod(time.monotonic)

        @staticmethod
        def sleep(seconds: float) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "time", Impatient)
    with Trainer(new_run(tmp_path / "one")) as one:
        status, _, err = tail(tmp_path, "one")
    assert status == 130
    assert err == ""
    assert one.heard == []


def test_a_message_from_outside_is_shown_and_not_obeyed(tmp_path: Path, tail: Tail) -> None:
    run = new_run(tmp_path / "one")
    with Trainer(run, "end"):
        request(run, "stop")
    nasty = {"v": 1, "seq": 9, "attempt": 1, "time": 1.0, "step": 3, "type": "warning"}
    log = run / "events.jsonl"
    log.write_text(log.read_text() + json.dumps(nasty | {"message": "[red]\x1b]0;x\x07"}) + "\n")
    _, lines, _ = tail(tmp_path, "one")
    assert "[red]" in lines[-1]
    assert "\x1b" not in "".join(lines)
