"""The index of runs: used where it holds, made anew where it does not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.runs import store
from calisr_engine.runs.index import INDEX
from calisr_tui.feed import EXAMPLE
from tests.events.damage import STRANGE


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("done", "killed"):
        (tmp_path / name).mkdir()
    log = (EXAMPLE / "events.jsonl").read_bytes()
    (tmp_path / "done" / "events.jsonl").write_bytes(log)
    (tmp_path / "killed" / "events.jsonl").write_bytes(log[: log[:-1].rindex(b"\n") + 1])
    return tmp_path


def test_unchanged_logs_are_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = store.list_runs(root)
    assert {run.state for run in first} == {"completed", "interrupted"}
    made = os.stat(root / INDEX).st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(store, "summarise", lambda run_dir: pytest.fail(f"read {run_dir}"))
        assert store.list_runs(root) == first
    assert os.stat(root / INDEX).st_mtime_ns == made


def test_a_changed_log_is_read_again(root: Path) -> None:
    store.list_runs(root)
    log = root / "done" / "events.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]))
    assert {run.state for run in store.list_runs(root)} == {"interrupted"}


@pytest.mark.parametrize("what", STRANGE)
def test_a_damaged_index_is_made_anew(what: str, root: Path) -> None:
    wanted = store.list_runs(root)
    (root / INDEX).unlink()
    STRANGE[what](root / INDEX)
    assert store.list_runs(root) == wanted
    if what != "folder":
        assert json.loads((root / INDEX).read_bytes())["runs"].keys() == {"done", "killed"}


def _version(content: dict[str, Any]) -> None:
    content["version"] = 2


def _of_other_types(content: dict[str, Any]) -> None:
    content["runs"]["done"]["summary"] |= {"best": "0.9", "step": "5"}


def _out_of_range(content: dict[str, Any]) -> None:
    content["runs"]["done"]["summary"] |= {"created": 1e300, "step": -5}


def _of_another_log(content: dict[str, Any]) -> None:
    content["runs"]["done"] = content["runs"]["killed"]


def _fields_missing(content: dict[str, Any]) -> None:
    del content["runs"]["done"]["summary"]["state"]


@pytest.mark.parametrize(
    "change", [_version, _of_other_types, _out_of_range, _of_another_log, _fields_missing]
)
def test_an_index_of_other_content_is_made_anew(
    change: Callable[[dict[str, Any]], None], root: Path
) -> None:
    wanted = store.list_runs(root)
    content = json.loads((root / INDEX).read_bytes())
    change(content)
    (root / INDEX).write_text(json.dumps(content))
    assert store.list_runs(root) == wanted
    assert json.loads((root / INDEX).read_bytes())["runs"]["done"]["summary"][
        "best"
    ] == pytest.approx(wanted[0].best)


def test_paths_of_an_index_are_not_followed(root: Path) -> None:
    store.list_runs(root)
    content = json.loads((root / INDEX).read_bytes())
    content["runs"]["done"]["summary"] |= {"path": "/etc", "run_id": "../../elsewhere"}
    content["runs"]["../../outside"] = content["runs"]["done"]
    (root / INDEX).write_text(json.dumps(content))
    assert {(run.run_id, run.path) for run in store.list_runs(root)} == {
        (name, str(root / name)) for name in ("done", "killed")
    }


def test_reading_again_looks_at_what_may_have_changed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = store.History(root)
    history.read()
    os.utime(root, ns=(1, 1))
    history.read()  # knows the folder as it is, with the index in it
    asked: list[str] = []
    key = store._key
    monkeypatch.setattr(store, "_key", lambda run: asked.append(Path(run).name) or key(run))
    assert {run.run_id: run.state for run in history.read_again()} == {
        "done": "completed",
        "killed": "interrupted",
    }
    assert asked == ["killed"]
    log = root / "killed" / "events.jsonl"
    log.write_bytes((EXAMPLE / "events.jsonl").read_bytes())
    assert {run.state for run in history.read_again()} == {"completed"}
    shutil.copytree(root / "done", root / "new")
    assert {run.run_id for run in history.read_again()} == {"done", "killed", "new"}
    shutil.rmtree(root / "done")
    assert {run.run_id for run in history.read_again()} == {"killed", "new"}
    monkeypatch.setattr(store, "COMPLETE_SECONDS", -1.0)
    asked.clear()
    history.read_again()
    assert asked == ["killed", "new"]
