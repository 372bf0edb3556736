"""`calisr runs`: one line a run, chosen, ordered and cut as asked; `calisr note`."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from calisr_engine.runs.columns import column
from calisr_tui.charts import runs_text
from calisr_tui.cli.app import run_command_line
from calisr_tui.feed import EXAMPLE
from tests.runs.summaries import summary

NAMES = ("first", "second", "third")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        shutil.copytree(EXAMPLE, tmp_path / name)
        log = tmp_path / name / "events.jsonl"
        log.write_text(log.read_text().replace('"seed":42', f'"seed":{number}'))
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> list[str]:
    assert run_command_line([*words, "--output-dir", str(folder)]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_line_a_run_of_any_length_in_a_pipe(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "first").rename(folder / ("long-" * 40))
    heading, *lines = told(capsys, folder, "runs", "--sort", "seed")
    assert [line.split()[0] for line in lines] == ["long-" * 40, "second", "third"]
    assert heading.split()[:4] == ["run", "state", "best", "metric"]
    assert "query 750" in lines[0]


@pytest.mark.parametrize("width", [20, 60, 80, 120, 200])
def test_a_line_a_run_on_a_terminal(
    width: int, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calisr_tui.cli.inspect_runs.terminal_width", lambda: width)
    lines = told(capsys, folder, "runs")
    assert len(lines) == 1 + len(NAMES)
    assert max(map(len, lines)) <= width
    assert {line.split()[0] for line in lines} == {"run", *NAMES}
    assert (width >= 120) == ("trains" in lines[0].split())


def test_filter_sort_and_columns(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["runs", "--filter", "seed<2 lr=5e-4", "--sort", "-seed", "--columns", "run,rank,seed"]
    assert told(capsys, folder, *words) == [
        "run     rank  seed",
        "second  8     1",
        "first   8     0",
    ]
    rows = list(csv.reader(io.StringIO("\n".join(told(capsys, folder, *words, "--csv")))))
    assert rows == [["run", "method.rank", "seed"], ["second", "8", "1"], ["first", "8", "0"]]
    found = json.loads("\n".join(told(capsys, folder, "runs", "--filter", "second", "--json")))
    assert [(run["run_id"], run["settings"]["method.rank"]) for run in found] == [("second", 8)]


@pytest.mark.parametrize("width", [None, 80])
def test_groups_have_a_line_each_above_their_runs(
    width: int | None,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("calisr_tui.cli.inspect_runs.terminal_width", lambda: width)
    log = folder / "third" / "events.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))  # it was killed
    heading, *lines = told(capsys, folder, "runs", "--group", "method,state")
    assert heading.startswith("run ")
    assert [line.split()[0] for line in lines] == [
        *("method", "state", "second", "first"),
        *("state", "third"),
    ]
    said = "method lora  3 runs · matthews best 0.9321, mean 0.9321 ± 0.0000 of 2 complete"
    assert lines[0].startswith(said)
    assert lines[0].endswith("…" if width else "complete · 1 interrupted")
    assert max(map(len, lines)) <= (width or 999)
    groups = told(capsys, folder, "runs", "--group", "method,state", "--folded")
    assert [line.split()[0] for line in groups] == ["method", "state", "state"]
    rows = list(csv.DictReader(told(capsys, folder, "runs", "--group", "state", "--csv")))
    assert [(row["state"], row["runs"], row["complete"]) for row in rows] == [
        ("completed", "2", "2"),
        ("interrupted", "1", "0"),
    ]
    found = json.loads("\n".join(told(capsys, folder, "runs", "--group", "state", "--json")))
    assert [(each["group"], each["runs"]) for each in found] == [
        ({"state": "completed"}, ["second", "first"]),
        ({"state": "interrupted"}, ["third"]),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--group", "colour"], "no column or setting 'colour'"),
        (["--folded"], "add --group"),
        (["--filter", "bset>1"], "did you mean best?"),
        (["--filter", "best>"], "a value is missing after best>"),
        (["--sort", "colour"], "no column or setting 'colour'"),
        (["--columns", "run,,best"], "no column or setting ''"),
    ],
)
def test_mistakes_are_named(
    words: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["runs", *words, "--output-dir", str(folder)]) == 2
    assert said in capsys.readouterr().err


def test_nothing_found_is_said_apart(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["runs", "--filter", "mpop", "--output-dir", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "none of the 3 runs" in err


def test_notes_are_taken_shown_and_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, folder, "note", "first", "third", "--tag", "base", "--tag", "old", "--pin")
    told(capsys, folder, "note", "third", "--untag", "old", "--name", "the one", "--text", "a\nb")
    assert told(capsys, folder, "note", *NAMES) == [
        "first: base old · pinned",
        "second: nothing noted",
        "third: the one · base · pinned · a\\nb",
    ]
    lines = told(capsys, folder, "runs", "--filter", "tag:base", "--columns", "run,tags,name")
    assert lines[1:] == ["third  base      the one", "first  base,old  –"]
    told(capsys, folder, "note", "third", "--name", "", "--text", "", "--no-pin", "--untag", "base")
    assert not (folder / "third" / "about.json").exists()


def test_a_wide_name_keeps_the_columns_in_line() -> None:
    runs = [summary("a", name="日本語"), summary("b", name="x" * 60)]
    layout = runs_text.laid_out(runs, [column("name"), column("seed")], 60)
    first, second = ([runs_text.said(r, c) for c in layout.columns] for r in runs)
    assert layout.line(first) == f"日本語{' ' * 42}  42"
    assert layout.line(second) == f"{'x' * 47}…  42"


def test_columns_that_do_not_fit_are_left_out_from_the_last_on() -> None:
    rows = [("run", "best", "state"), ("a-long-name", "0.5", "completed")]
    assert runs_text.lines_of(rows, None) == [
        "run          best  state",
        "a-long-name  0.5   completed",
    ]
    assert runs_text.lines_of(rows, 20) == ["run          best", "a-long-name  0.5"]
    assert runs_text.lines_of(rows, 6) == ["run", "a-lon…"]


def test_two_forms_at_once_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["runs", "--csv", "--json", "--output-dir", str(folder)]) == 2
    assert "exclude each other" in capsys.readouterr().err
