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
