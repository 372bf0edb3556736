"""A run whose log is damaged takes no other down: commands name it and show the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calisr_tui.cli.app import run_command_line
from calisr_tui.feed import EXAMPLE
from tests.events.damage import STRANGE


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("one", "two", "damaged"):
        (tmp_path / name).mkdir()
        for file in ("events.jsonl", "config.toml"):
            (tmp_path / name / file).write_bytes((EXAMPLE / file).read_bytes())
    (tmp_path / "damaged" / "events.jsonl").unlink()
    return tmp_path


@pytest.mark.parametrize("what", ["folder", "pipe", "dangling link", "binary", "nested"])
@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("runs",), 0),
        (("runs", "--json"), 0),
        (("show", "damaged"), 1),
        (("watch", "damaged"), 1),
        (("compare", "one", "damaged", "two"), 0),
        (("compare", "one", "damaged"), 1),
        (("submit", "{}", "--dry-run"), 0),
        (("report", "{}"), 0),
        (("figure", "2a", "{}"), 0),
        (("export", "damaged", "{}/out"), 1),
    ],
)
def test_each_command_names_it(
    what: str,
    words: tuple[str, ...],
    status: int,
    runs: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    STRANGE[what](runs / "damaged" / "events.jsonl")
    arguments = [*(word.format(runs) for word in words), "--output-dir", str(runs)]
    assert run_command_line(arguments) == status, capsys.readouterr()
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert "damaged" in out + err or words[0] in ("submit", "figure")
    if words[:2] == ("runs", "--json"):
        found = {run["run_id"]: run for run in json.loads(out)}
        assert found["damaged"]["state"] == "unreadable"
        assert found["damaged"]["problem"]
        assert found["one"]["state"] == found["two"]["state"] == "completed"


def test_what_reads_logs_alone_needs_no_settings_file(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list has such a run, so the commands that show it have it, too."""
    (runs / "one" / "config.toml").unlink()
    for words in (("show", "one"), ("compare", "one", "two"), ("note", "one", "--tag", "x")):
        assert run_command_line([*words, "--output-dir", str(runs)]) == 0, capsys.readouterr()
        assert "one" in capsys.readouterr().out
    assert run_command_line(["export", "one", str(runs / "out"), "--output-dir", str(runs)]) == 4
    assert "config.toml" in capsys.readouterr().err


def test_settings_that_differ_look_different(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = runs / "two" / "events.jsonl"
    first, rest = log.read_text().split("\n", 1)
    record = json.loads(first)
    record["config"]["training"]["learning_rate"] = 5.000001e-4
    record["config"]["training"]["seed"] = 20260101
    log.write_text(json.dumps(record) + "\n" + rest)
    assert run_command_line(["compare", "one", "two", "--output-dir", str(runs)]) == 0
    said = capsys.readouterr().out
    assert "0.0005000001" in said
    assert run_command_line(["show", "two", "--output-dir", str(runs)]) == 0
    assert "seed 20260101" in capsys.readouterr().out
