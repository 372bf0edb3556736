"""What somebody says about a run stands beside its log, and nothing of the run depends on it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.errors import ConfigError, DamagedError
from calisr_engine.grid.scratch import is_brought
from calisr_engine.runs import load_view, store
from calisr_engine.runs.about import About, read_about, retagged, write_about
from calisr_tui.feed import EXAMPLE
from tests.events.damage import STRANGE

SAID = About(name="the good one", notes="two\nlines", tags=("x", "ü-2"), pinned=True)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path / "run")
    return tmp_path / "run"


def test_it_reads_back_and_the_list_shows_it(run: Path) -> None:
    before, view = store.list_runs(run.parent), load_view(run)
    write_about(run, SAID)
    assert read_about(run) == SAID
    (listed,) = store.list_runs(run.parent)  # though the index knows the log
    assert listed == replace(before[0], **vars(SAID))
    assert load_view(run) == view
    write_about(run, About())
    assert not (run / "about.json").exists()
    assert store.list_runs(run.parent) == before


def test_one_history_reads_only_what_changed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(run, run.parent / "other")
    history = store.History(run.parent)
    first = history.read()
    write_about(run, SAID)
    asked: list[str] = []
    read = store.summarise
    monkeypatch.setattr(store, "summarise", lambda each: asked.append(each.name) or read(each))
    second = history.read()
    assert asked == ["run"]
    assert {each.run_id: each.pinned for each in second} == {"run": True, "other": False}
    assert {id(each) for each in first} & {id(each) for each in second}


def test_tags_are_added_and_taken_away() -> None:
    about = retagged(About(tags=("a", "b")), ["c", "-a", "+d", "-never", "b"])
    assert about.tags == ("b", "c", "d")


@pytest.mark.parametrize(
    "about",
    [
        About(tags=("two words",)),
        About(tags=("a,b",)),
        About(tags=("",)),
        About(tags=('"',)),
        About(tags=("a=b",)),
        About(tags=("x" * 41,)),
        About(tags=tuple(map(str, range(33)))),
        About(name="n" * 81),
        About(notes="n" * 4001),
    ],
)
def test_what_cannot_be_said_is_refused_and_nothing_written(about: About, run: Path) -> None:
    with pytest.raises(ConfigError):
        write_about(run, about)
    assert not (run / "about.json").exists()


def _strange(change: dict[str, Any] | str) -> str:
    return change if isinstance(change, str) else json.dumps(vars(SAID) | change)


@pytest.mark.parametrize(
    "change",
    ["{", "[]", "", {"tags": "x"}, {"tags": [1]}, {"name": 5}, {"pinned": 1}, {"tags": ["a b"]}],
)
def test_a_damaged_file_is_named_and_the_run_is_listed(
    change: dict[str, Any] | str, run: Path
) -> None:
    (run / "about.json").write_text(_strange(change))
    with pytest.raises(DamagedError, match=r"about\.json"):
        read_about(run)
    (listed,) = store.list_runs(run.parent)
    assert listed.state == "completed"
    assert "about.json" in listed.problem


@pytest.mark.parametrize("what", STRANGE)
def test_strange_files_hold_nobody_up(what: str, run: Path) -> None:
    STRANGE[what](run / "about.json")
    (listed,) = store.list_runs(run.parent)
    assert listed.state == "completed"


def test_it_stays_at_home_when_a_run_trains_elsewhere() -> None:
    assert not is_brought("about.json")
    assert is_brought("config.toml")
