"""The history line of a complete run comes from the ends of its log and equals the whole fold."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.errors import NotFoundError
from calisr_engine.runs import load_view, store, summary
from calisr_tui.feed import EXAMPLE


def by_fold(run: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    with monkeypatch.context() as patch:
        patch.setattr(summary, "_complete_view", lambda log: None)
        patch.setattr(summary, "_short_view", lambda paths: load_view(paths.root))
        return asdict(store.summarise(run))


@pytest.mark.parametrize("resumed", [False, True])
def test_an_unfinished_log_says_what_the_whole_says_wherever_it_ends(
    resumed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (EXAMPLE / "events.jsonl").read_text().splitlines(keepends=True)
    started = next(json.loads(line) for line in lines if '"run_started"' in line)
    separators = (",", ":")
    again = json.dumps(
        {**started, "resumed_from": 100, "step": 100, "attempt": 2}, separators=separators
    )
    failed = {"v": 1, "seq": 0, "attempt": 2, "time": 9.5, "step": 0, "type": "failed"}
    late = json.dumps(
        {**failed, "message": 'a text with "type":"progress" in it'}, separators=separators
    )
    for end in range(1, len(lines), 37):
        kept = lines[:end]
        if resumed:
            kept += [again + "\n", *lines[end : end + 9], "garbage\n", late + "\n"]
        (tmp_path / "events.jsonl").write_text("".join(kept))
        assert asdict(store.summarise(tmp_path)) == by_fold(tmp_path, monkeypatch)


def test_the_ends_of_a_complete_log_say_what_the_whole_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = by_fold(EXAMPLE, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr("calisr_engine.runs.load_view", lambda run: pytest.fail("read it all"))
        found = asdict(store.summarise(EXAMPLE))
    assert found == whole
    assert list(found["switched"]) == list(whole["switched"])  # in the order of their steps
    assert whole["state"] == "completed"


def test_a_run_that_trained_longer_has_its_new_settings_and_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (EXAMPLE / "events.jsonl").read_text().splitlines()
    started = next(json.loads(line) for line in lines if '"run_started"' in line)
    ended = json.loads(lines[-1])
    changed = {"training.epochs": {"from": 8, "to": 12}}
    more = [
        {**ended, "type": "settings_changed", "changes": changed},
        {**started, "resumed_from": 1000, "step": 1000, "attempt": 2, "total_steps": 1500},
        {**ended, "step": 1500, "attempt": 2},
    ]
    (tmp_path / "events.jsonl").write_text("\n".join([*lines, *map(json.dumps, more)]) + "\n")
    found = store.summarise(tmp_path)
    assert (found.state, found.step, found.total_steps) == ("completed", 1500, 1500)
    assert found.settings["training.epochs"] == 12
    assert asdict(found) == by_fold(tmp_path, monkeypatch)


@pytest.mark.parametrize("cut", ["last line", "half of the last line", "summary"])
def test_a_log_that_does_not_end_complete_is_read_whole(
    cut: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (EXAMPLE / "events.jsonl").read_text().splitlines(keepends=True)
    if cut == "last line":
        lines.pop()
    elif cut == "half of the last line":
        lines[-1] = lines[-1][:200]
    else:
        record = json.loads(lines[-1])
        record["summary"] = {}
        lines[-1] = json.dumps(record) + "\n"
    (tmp_path / "events.jsonl").write_text("".join(lines))
    assert asdict(store.summarise(tmp_path)) == by_fold(tmp_path, monkeypatch)
    assert load_view(tmp_path).best == store.summarise(tmp_path).best


def unreadable(log: Path) -> None:
    log.symlink_to("/proc/self/mem")  # a file that gives an error when it is read, also to root


def garbage(log: Path) -> None:
    log.write_bytes(b"\x00\xff\n" * 1000)


def of_other_types(log: Path) -> None:
    lines = (EXAMPLE / "events.jsonl").read_text().splitlines()
    log.write_text("\n".join(json.dumps({key: [] for key in json.loads(line)}) for line in lines))


@pytest.mark.parametrize("damage", [unreadable, garbage, of_other_types])
def test_one_damaged_run_is_named_and_the_others_are_listed(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    for name in ("whole", "damaged"):
        (tmp_path / name).mkdir()
    log = tmp_path / "damaged" / "events.jsonl"
    damage(log)
    (tmp_path / "whole" / "events.jsonl").write_bytes((EXAMPLE / "events.jsonl").read_bytes())
    for _ in ("without the index", "with it"):
        whole, damaged = store.list_runs(tmp_path)
        assert (whole.run_id, whole.state, whole.problem) == ("whole", "completed", "")
        assert (damaged.run_id, damaged.state) == ("damaged", "unreadable")
        assert str(log) in damaged.problem
    log.unlink()
    log.write_bytes((EXAMPLE / "events.jsonl").read_bytes())
    assert {run.state for run in store.list_runs(tmp_path)} == {"completed"}


def test_a_log_that_is_empty_is_of_a_run_that_was_just_made(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").touch()
    assert store.summarise(tmp_path).state == "created"


def test_a_run_of_a_grid_or_a_search_is_found_for_the_hint(tmp_path: Path) -> None:
    run = tmp_path / "rates" / "trial-001"
    run.mkdir(parents=True)
    (run / "events.jsonl").touch()
    (tmp_path / "empty").mkdir()
    assert store.folders_of_runs(tmp_path) == [run.parent]
    with pytest.raises(NotFoundError) as caught:
        store.find("trial-001", tmp_path)
    assert str(run) in caught.value.hint
