"""The event log, the lock and the store of run directories."""

import errno
import json
import os
import tracemalloc
from pathlib import Path

import pytest

from calisr_engine.config.load import load
from calisr_engine.errors import LockedError, StorageError
from calisr_engine.events.log import EventReader, EventWriter, last_attempt, read_records
from calisr_engine.events.types import Failed, Warned
from calisr_engine.runs import load_view
from calisr_engine.runs.create import create_run
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock, is_locked
from calisr_engine.runs.store import summarise
from tests.events.cases import CASES, record


def test_a_new_run_has_settings_and_a_first_line(tmp_path: Path) -> None:
    run_dir = create_run(load("demo", ["output.name=first"], {"output.dir": tmp_path}))
    assert (run_dir / "config.toml").is_file()
    assert load_view(run_dir).to_dict()["run_id"] == "first"
    with pytest.raises(LockedError):
        create_run(load("demo", ["output.name=first"], {"output.dir": tmp_path}))


def test_an_unfinished_last_line_is_ignored_and_repaired(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventWriter(path, attempt=1) as writer:
        writer.write(1, Warned(message="one"))
    with path.open("ab") as file:
        file.write(b'{"v":1,"seq":1,"att')
    records, _ = EventReader(path).poll()
    assert len(records) == 1
    with EventWriter(path, attempt=2) as writer:
        writer.write(2, Warned(message="two"))
    records, _ = EventReader(path).poll()
    assert [record["step"] for record in records] == [1, 2]


def test_one_process_holds_a_run(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    with RunLock(paths), pytest.raises(LockedError), RunLock(paths):
        pass


def test_what_says_why_is_not_glued_to_a_fragment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write of which the disk took only a part: the next event stands on a line of its own."""
    log = tmp_path / "events.jsonl"
    with EventWriter(log, attempt=1) as writer:
        writer.write(1, Warned(message="before"))
        real = os.write

        def partly(descriptor: int, data: bytes) -> int:
            return real(descriptor, data[: len(data) // 2])

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", partly)
            with pytest.raises(StorageError, match="the disk is full"):
                writer.write(2, Warned(message="lost"))
        writer.write(2, Failed(message="the disk was full"))
    records = list(read_records(log))
    assert [r["message"] for r in records] == ["before", "the disk was full"]
    assert [r["seq"] for r in records] == [0, 1]


@pytest.mark.parametrize("calls", [("write",), ("fsync",), ("fsync", "ftruncate")], ids="+".join)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_number_is_given_once_whatever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: tuple[str, ...], number: int
) -> None:
    """What was not written, and what was written and not synced, is taken back or given again."""
    log = tmp_path / "events.jsonl"

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with EventWriter(log, attempt=1) as writer:
        writer.write(1, Warned(message="before"))
        for step in range(2, 5):
            with monkeypatch.context() as patch:
                for call in calls:
                    patch.setattr(os, call, fail)
                with pytest.raises(StorageError, match="the event log could not be written"):
                    writer.write(step, Failed(message=f"lost {step}"))
        writer.write(5, Warned(message="after"))
    assert [(r["seq"], r["message"]) for r in read_records(log)] == [(0, "before"), (1, "after")]


def test_a_lock_is_held_and_given_back_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    paths = RunPaths(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        patch.setattr(os, "ftruncate", fail)
        with RunLock(paths):
            assert is_locked(paths)
            with pytest.raises(LockedError, match="another process"), RunLock(paths):
                pass
    assert not is_locked(paths)
    with RunLock(paths):
        pass


def test_nothing_of_a_run_is_left_that_could_not_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for call in ("mkdir", "fsync", "write", "replace"):
        root = tmp_path / "runs"
        root.mkdir(exist_ok=True)
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            with pytest.raises(StorageError, match="disk is full"):
                create_run(load("demo", ["output.name=first"], {"output.dir": root}))
        assert not list(root.iterdir()), call


def test_a_long_log_is_never_in_memory_whole(tmp_path: Path) -> None:
    line = record(CASES["progress"])
    log = tmp_path / "events.jsonl"
    with log.open("w") as file:
        for step in range(20_000):
            file.write(json.dumps({**line, "step": step, "seq": step}) + "\n")
    for read in (load_view, summarise, lambda run: last_attempt(RunPaths(run).events)):
        tracemalloc.start()
        read(tmp_path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < log.stat().st_size / 2


def test_a_reader_goes_on_where_it_was(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    reader = EventReader(log)
    with EventWriter(log, attempt=1) as writer:
        writer.write(1, Warned(message="one"))
        writer.write(2, Warned(message="two"))
    assert next(reader.stream())["step"] == 1  # and no further
    assert [r["step"] for r in reader.poll()[0]] == [2]
    log.write_bytes(b"")
    assert reader.poll() == ([], True)
