"""stop, pause and continue: what they ask of runs, what they say came of it, and their status."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.process.thread import EngineThread
from calisr_engine.runs.control import take_requests
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_tui.cli.app import run_command_line
from tests.runs.trainer import FIRST_VERSION, Trainer, new_run
from tests.training.tiny_run import events, make_run, save_model


def calisr(capsys: pytest.CaptureFixture[str], root: Path, *words: str) -> tuple[int, str, str]:
    status = run_command_line([*words, "--output-dir", str(root)])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return status, out, err


def answers(capsys: pytest.CaptureFixture[str], root: Path, *words: str) -> list[dict[str, Any]]:
    return list(json.loads(calisr(capsys, root, *words, "--json")[1]))


def test_a_real_run_is_paused_goes_on_and_stops_with_its_last_step_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(save_model(tmp_path / "model"), tmp_path, "real", "training.epochs=1000")
    engine = EngineThread(run)
    engine.start()
    try:
        status, out, _ = calisr(capsys, tmp_path, "pause", "real")  # asked while it still begins
        assert (status, "real: paused at step" in out) == (0, True), out
        assert "calisr continue" in out
        assert calisr(capsys, tmp_path, "pause", "real")[1].startswith("real: paused already")
        assert "goes on at step" in calisr(capsys, tmp_path, "continue", "real")[1]
        assert "not paused" in calisr(capsys, tmp_path, "continue", "real")[1]
        status, out, _ = calisr(capsys, tmp_path, "stop", "re")
        assert (status, "stopped and saved at step" in out) == (0, True), out
        assert "calisr resume" in out
    finally:
        engine.abandon()
        engine.stop_and_save()
        engine.join(20)
    stopped = events(run, "stopped")[-1]
    assert stopped["saved"]
    assert events(run, "checkpoint_saved")[-1]["step"] == stopped["step"]
    assert [len(events(run, kind)) for kind in ("paused", "resumed", "stopped")] == [1, 1, 1]


@pytest.mark.parametrize(("words", "kind"), [((), "stop_and_save"), (("--discard",), "stop")])
def test_stop_asks_all_runs_and_waits_for_all(
    words: tuple[str, ...], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Trainer(new_run(tmp_path / "one")) as one, Trainer(new_run(tmp_path / "two")) as two:
        found = answers(capsys, tmp_path, "stop", "one", "two", "one", *words)
    assert one.heard == two.heard == [kind]
    assert [(each["run_id"], each["outcome"], each["state"]) for each in found] == [
        ("one", "done", "stopped"),
        ("two", "done", "stopped"),
    ]


def test_a_run_of_a_grid_that_trains_would_begin_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        with Trainer(new_run(tmp_path / name)), contextlib.ExitStack() as grid:
            if name == "two":
                grid.enter_context(RunLock(RunPaths(tmp_path)))
            status, _, err = calisr(capsys, tmp_path, "stop", name)
        assert status == 0
        assert ("calisr grid cancel" in err) == (name == "two")


def test_no_run_is_asked_where_a_name_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Trainer(new_run(tmp_path / "one")) as one:
        status, out, err = calisr(capsys, tmp_path, "stop", "one", "twoo")
        assert (status, out) == (4, "")
        assert "no run 'twoo'" in err
        assert one.heard == []
        assert take_requests(one.run_dir) == ([], [])


@pytest.mark.parametrize(
    ("heeds", "command", "status", "said"),
    [
        ("end", "stop", 0, "complete before it could do so"),
        ("end", "pause", 4, "complete before it could do so"),
        ("fail", "stop", 1, "failed at step 5/12: the disk broke"),
        ("die", "stop", 1, "its process ended at step"),
        ("none", "stop", 4, "has not obeyed in 0.3 s; the request stands"),
        ("none", "pause", 4, "has not obeyed"),
    ],
)
def test_a_run_that_does_something_else(
    heeds: str,
    command: str,
    status: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wait = "0.3" if heeds == "none" else "20"
    with Trainer(new_run(tmp_path / "one"), heeds):
        found, out, _ = calisr(capsys, tmp_path, command, "one", "--wait", wait)
    assert said in out
    assert found == status


def test_without_waiting_it_is_only_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Trainer(new_run(tmp_path / "one"), "none") as one:
        status, out, _ = calisr(capsys, tmp_path, "stop", "one", "--wait", "0")
        assert [each.kind for each in take_requests(one.run_dir)[0]] == ["stop_and_save"]
    assert status == 0
    assert "asked to stop and save" in out


@pytest.mark.parametrize(
    ("run", "state", "said"),
    [
        ("completed-lora", "completed", "complete already"),
        ("killed-lora", "interrupted", "it was interrupted"),
        ("stopped-child-tuning-d", "stopped", "calisr resume"),
    ],
)
def test_a_run_that_nobody_trains_is_not_asked(
    run: str, state: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = calisr(capsys, FIRST_VERSION, "stop", run)
    assert (status, said in out) == (0, True), out
    assert calisr(capsys, FIRST_VERSION, "pause", run)[0] == 4
    (found,) = answers(capsys, FIRST_VERSION, "continue", run)
    assert (found["outcome"], found["state"]) == ("not training", state)
    assert not (FIRST_VERSION / run / "control").exists()


def test_a_lock_of_another_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = new_run(tmp_path / "one")
    with Trainer(run, host="far-away") as far:  # its lock is seen here: asked like any other
        (found,) = answers(capsys, tmp_path, "pause", "one")
        assert (found["outcome"], far.heard) == ("done", ["pause"])
        assert found["holder"].endswith("on far-away")
        kept = (run / "lock").read_bytes()
    (run / "lock").write_bytes(kept)  # its lock is not seen here, or it was killed there
    status, out, _ = calisr(capsys, tmp_path, "stop", "one", "--wait", "0.2")
    assert status == 4
    assert "on far-away" in out
    assert "on that machine" in out
    assert [each.kind for each in take_requests(run)[0]] == ["stop_and_save"]
    (run / "lock").write_bytes(kept.replace(b"far-away", socket.gethostname().encode()))
    status, out, _ = calisr(capsys, tmp_path, "stop", "one")
    assert (status, "no process trains it" in out) == (0, True), out


def test_a_damaged_run_keeps_no_other_from_its_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (new_run(tmp_path / "bad") / "events.jsonl").write_bytes(b"\xff\n\n")
    with Trainer(new_run(tmp_path / "one")) as one:
        status, out, err = calisr(capsys, tmp_path, "stop", "bad", "one")
    assert one.heard == ["stop_and_save"]
    assert status == 1
    assert "one: stopped and saved" in out
    assert "bad: " in err
    assert "damaged" in err
