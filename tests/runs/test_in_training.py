"""Which run of a folder trains now."""

from __future__ import annotations

import os
from pathlib import Path

from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_engine.runs.store import newest_in_training


def test_the_newest_of_those_that_train(tmp_path: Path) -> None:
    assert newest_in_training(tmp_path / "none") is None
    runs = [RunPaths(tmp_path / name) for name in "abc"]
    for paths in runs:
        paths.root.mkdir()
        paths.events.write_text("")
    (tmp_path / "stray").write_text("")
    assert newest_in_training(tmp_path) is None
    a, b, c = runs
    with RunLock(c):
        with RunLock(a), RunLock(b):
            for seconds, paths in enumerate((c, b, a)):
                os.utime(paths.lock, (seconds, seconds))
            assert newest_in_training(tmp_path) == a.root
        assert newest_in_training(tmp_path) == c.root
    assert newest_in_training(tmp_path) is None


def test_a_run_that_is_about_to_train(tmp_path: Path) -> None:
    """Its log has one line, and its process has not come to the lock yet."""
    texts = {"new": "{}\n", "ended": "{}\n{}\n", "old": "{}\n", "of_tomorrow": "{}\n"}
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "events.jsonl").write_text(text)
    now = (tmp_path / "new" / "events.jsonl").stat().st_mtime
    for name, time in (("old", now - 3600), ("of_tomorrow", now + 86400)):
        os.utime(tmp_path / name / "events.jsonl", (time, time))
    assert newest_in_training(tmp_path) == tmp_path / "new"
    with RunLock(RunPaths(tmp_path / "old")):
        os.utime(tmp_path / "old" / RunPaths(tmp_path).lock.name, (now + 1, now + 1))
        assert newest_in_training(tmp_path) == tmp_path / "old"
