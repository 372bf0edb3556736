"""A small campaign of damaged runs: each reader shows them or refuses them by name."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from calisr_engine.errors import DamagedError
from calisr_engine.runs import load_view, store
from tests.events.campaign import attempt, one, sources
from tests.events.damage import STRANGE
from tests.events.in_app import through_the_app
from tests.events.readers import READERS, WHOLE

LOGS = sources()


@pytest.mark.parametrize("seed", range(20, 30))
def test_damaged_runs_through_all_readers(seed: int, tmp_path: Path) -> None:
    outcomes = one(seed, tmp_path, LOGS, in_app=False)
    assert {each.reader for each in outcomes} >= READERS.keys()
    wrong = [each for each in outcomes if each.end == "exception"]
    assert not wrong, "\n".join(f"{each.reader}, {each.did}: {each.message}" for each in wrong)


NO_LOGS = [name for name in STRANGE if name != "empty"]


@pytest.mark.parametrize("what", NO_LOGS)
def test_what_is_no_log_is_named_as_damaged(what: str, tmp_path: Path) -> None:
    for name in (WHOLE, "damaged"):
        (tmp_path / name).mkdir()
    (tmp_path / WHOLE / "events.jsonl").write_bytes(LOGS[-1])
    STRANGE[what](tmp_path / "damaged" / "events.jsonl")
    for _ in ("without the index", "with it"):
        whole, damaged = store.list_runs(tmp_path)
        assert (whole.run_id, whole.state) == (WHOLE, "completed")
        assert (damaged.run_id, damaged.state) == ("damaged", "unreadable")
        assert str(tmp_path / "damaged") in damaged.problem
    outcome = attempt(0, what, "show", lambda: load_view(tmp_path / "damaged"))
    assert outcome.end == "refused"


def test_a_part_of_a_log_that_is_no_use_is_said(tmp_path: Path) -> None:
    lines = LOGS[-1].splitlines(keepends=True)
    (tmp_path / "events.jsonl").write_bytes(b"".join([*lines[:9], b"garbage\n", *lines[9:-1]]))
    assert load_view(tmp_path).problem == "1 line of its log was no use and left out"
    assert store.summarise(tmp_path).problem == load_view(tmp_path).problem


def test_an_unfinished_endless_line_is_said(tmp_path: Path) -> None:
    with (tmp_path / "events.jsonl").open("wb") as file:
        file.write(LOGS[-1])
        file.truncate(len(LOGS[-1]) + (1 << 25))
    with pytest.raises(DamagedError, match="does not end within"):
        load_view(tmp_path)


@pytest.mark.slow
def test_damaged_runs_through_the_app(tmp_path: Path) -> None:
    for name in (WHOLE, "damaged"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    (tmp_path / "runs" / WHOLE / "events.jsonl").write_bytes(LOGS[-1])
    run = tmp_path / "runs" / "damaged"
    lines = LOGS[-1].replace(b'"step":4', b'"step":900000').splitlines(keepends=True)
    (run / "events.jsonl").write_bytes(b"".join(lines[1::3]) + b"\x00\xff{\n" + LOGS[0][:3000])
    asyncio.run(through_the_app(tmp_path / "runs", run))
