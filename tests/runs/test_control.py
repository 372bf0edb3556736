"""Requests reach the process that they were made for, and nothing odd in control/ does harm."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calisr_engine.process.execute import execute
from calisr_engine.runs import control, load_view
from calisr_engine.runs.control import Request, forget_requests, request, take_requests
from tests.training.golden import digest, newest_checkpoint
from tests.training.interrupt import after_event, kill_at
from tests.training.tiny_run import events, make_run, save_model


def test_requests_are_taken_once_in_their_order(tmp_path: Path) -> None:
    for kind in ("pause", "evaluate", "resume"):
        request(tmp_path, kind)
    request(tmp_path, "switch", group="query")
    taken, odd = take_requests(tmp_path)
    assert [each.kind for each in taken] == ["pause", "evaluate", "resume", "switch"]
    assert taken[-1] == Request("switch", {"group": "query"})
    assert odd == []
    assert take_requests(tmp_path) == ([], [])


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def deep(path: Path) -> None:
    path.write_text("[" * 30_000 + "]" * 30_000)


def huge(path: Path) -> None:
    path.write_text(json.dumps({"kind": "stop", "args": {"x": "y" * 10**7}}))


def garbage(path: Path) -> None:
    path.write_bytes(b"\x00\xff{")


def other_kind(path: Path) -> None:
    path.write_text('{"kind": "explode"}')


def link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


ODD = [folder, pipe, deep, huge, garbage, other_kind, link]


@pytest.mark.parametrize("make", ODD)
def test_what_is_no_request_is_passed_over(make: Callable[[Path], None], tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    make(tmp_path / "control" / "000.json")
    request(tmp_path, "pause")
    taken, odd = take_requests(tmp_path)
    assert [each.kind for each in taken] == ["pause"]
    assert odd == ["000.json"]


def test_what_cannot_be_removed_is_not_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be obeyed at every look."""
    request(tmp_path, "stop")
    (name,) = os.listdir(tmp_path / "control")

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refused)
    assert take_requests(tmp_path) == ([], [name])


def test_a_run_warns_of_them_once_and_goes_on(model: Path, tmp_path: Path) -> None:
    run = make_run(model, tmp_path, "odd", "method.name=fft", "training.epochs=1")
    (run / "control" / "folder.json").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("calisr_engine.training.requests.POLL_SECONDS", 0.0)
        assert execute(run, raise_errors=True) == 0
    told = [w["message"] for w in events(run, "warning") if "control/" in w["message"]]
    assert told == ["control/folder.json is no request and was passed over"]


@pytest.mark.parametrize("kind", ["stop", "stop_and_save", "pause"])
def test_a_request_left_behind_does_not_reach_the_next_start(
    kind: str, model: Path, tmp_path: Path
) -> None:
    run = make_run(model, tmp_path, "left", "method.name=fft")
    kill_at(run, 8)
    request(run, kind)
    assert execute(run, raise_errors=True) == 0
    assert load_view(run).state == "completed"


def test_a_request_made_while_a_run_starts_is_obeyed(model: Path, tmp_path: Path) -> None:
    run = make_run(model, tmp_path, "early", "method.name=fft")
    since = time.time()
    request(run, "stop_and_save")
    assert execute(run, raise_errors=True, since=since) == 75


def test_forgetting_spares_what_is_newer(tmp_path: Path) -> None:
    request(tmp_path, "stop")
    moment = time.time()
    time.sleep(0.002)
    request(tmp_path, "pause")
    forget_requests(tmp_path, moment)
    assert [each.kind for each in take_requests(tmp_path)[0]] == ["pause"]


@given(st.lists(st.sampled_from(["pause", "resume", "evaluate", "checkpoint"]), max_size=8))
@settings(max_examples=12, derandomize=True, deadline=None)
@pytest.mark.slow
def test_any_order_of_requests_changes_no_weight(kinds: list[str]) -> None:
    """A run ends as if it had not been asked."""
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        torch.set_num_threads(1)
        root = Path(place)
        model = save_model(root / "model")
        sets = ("method.name=lora", "calibration.variant=S", "training.epochs=1")
        calm, asked = (make_run(model, root, name, *sets) for name in ("calm", "asked"))
        assert execute(calm, raise_errors=True) == 0
        done = threading.Event()

        def ask(step: int, event: Any) -> None:
            if event.type == "progress" and step == 3 and not done.is_set():
                done.set()
                for kind in [*kinds, "resume"]:  # a pause must come to its end
                    control.request(asked, kind)

        with after_event(ask), pytest.MonkeyPatch.context() as patch:
            patch.setattr("calisr_engine.training.requests.POLL_SECONDS", 0.0)
            assert execute(asked, raise_errors=True) == 0
        one, two = (digest(newest_checkpoint(r) / "model.safetensors") for r in (calm, asked))
        assert one == two


def remove_run(run: Path) -> None:
    import shutil

    shutil.rmtree(run)


def rename_run(run: Path) -> None:
    run.rename(run.with_name("elsewhere"))


def unlink_log(run: Path) -> None:
    (run / "events.jsonl").unlink()


@pytest.mark.parametrize("harm", [remove_run, rename_run, unlink_log])
def test_a_run_directory_that_goes_in_mid_run_is_noticed(
    harm: Callable[[Path], None], model: Path, tmp_path: Path
) -> None:
    run = make_run(model, tmp_path, "gone", "method.name=fft", "training.epochs=40")

    def act(step: int, event: Any) -> None:
        if event.type == "progress" and step == 3:
            harm(run)

    with after_event(act), pytest.MonkeyPatch.context() as patch:
        patch.setattr("calisr_engine.training.requests.POLL_SECONDS", 0.0)
        assert execute(run) == 1
    if harm is unlink_log:
        assert not (run / "events.jsonl").exists()
        return
    assert not run.exists()
    if harm is rename_run:
        view = load_view(run.with_name("elsewhere"))
        assert view.failure is not None
        assert "was removed, renamed or replaced" in view.failure.message
