"""The history line of a complete run comes from the ends of its log and equals the whole fold."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.runs import load_view, store
from calisr_tui.app import EXAMPLE


def by_fold(run: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    with monkeypatch.context() as patch:
        patch.setattr(store, "_complete_view", lambda log: None)
        return asdict(store.summarise(run))


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
