"""One process trains; whoever only asks stands in nobody's way."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from calisr_engine.errors import LockedError, RunFailedError
from calisr_engine.runs import lock as module
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock, holder_of, is_locked


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path)


def test_one_holds_it_and_others_see_who(paths: RunPaths) -> None:
    assert not is_locked(paths)
    with RunLock(paths):
        assert is_locked(paths)
        holder = holder_of(paths)
        assert holder is not None
        assert holder["pid"] == os.getpid()
        with pytest.raises(LockedError, match=f"process {os.getpid()}"):
            RunLock(paths).__enter__()
    assert not is_locked(paths)
    assert holder_of(paths) is None


def test_starts_succeed_while_many_ask(paths: RunPaths) -> None:
    """Four watchers that do nothing but ask: every start of a hundred gets the lock."""
    paths.lock.touch()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            is_locked(paths)

    watchers = [threading.Thread(target=watch, daemon=True) for _ in range(4)]
    for each in watchers:
        each.start()
    try:
        for _ in range(100):
            with RunLock(paths):
                time.sleep(0)
    finally:
        over.set()
        for each in watchers:
            each.join()


def test_asking_needs_no_right_to_write(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunLock(paths):
        real = os.open

        def read_only(path: object, flags: int, *rest: int) -> int:
            if flags & (os.O_WRONLY | os.O_RDWR):
                raise PermissionError(13, "Permission denied")
            return real(path, flags, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "open", read_only)
        assert is_locked(paths)


def test_a_link_is_never_followed(paths: RunPaths, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    paths.lock.symlink_to(victim)
    with pytest.raises(RunFailedError, match="lock"):
        RunLock(paths).__enter__()
    assert victim.read_text() == "precious"
    assert not is_locked(paths)


def test_a_file_system_without_locks_is_named(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(module.fcntl, "flock", unsupported)
    with pytest.raises(RunFailedError, match="without locks"):
        RunLock(paths).__enter__()
    assert not is_locked(paths)


def pipe(lock: Path) -> None:
    os.mkfifo(lock)


def deep(lock: Path) -> None:
    lock.write_text("[" * 100_000)


def link(lock: Path) -> None:
    target = lock.with_name("elsewhere")
    target.write_text('{"pid": 1, "host": "another"}')
    lock.symlink_to(target)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [pipe, deep, link])
def test_an_odd_lock_file_has_no_holder(make: Callable[[Path], None], paths: RunPaths) -> None:
    make(paths.lock)
    assert holder_of(paths) is None
