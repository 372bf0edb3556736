"""`calisr errors`, on files of predictions that are known."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from calisr_tui.cli.app import run_command_line
from tests.tui.example import copy_runs


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (made,) = copy_runs(tmp_path / "runs", 1)
    return made


def test_the_answer_as_text_json_and_csv(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run_command_line(["errors", str(run), "--rows", "2"]) == 0
    text = capsys.readouterr().out
    for part in ("8 of 48 rows are wrong", "accuracy 0.8333", "expected calibration error"):
        assert part in text
    assert "2 of 8 mistakes, the most confident first" in text
    assert "The old doctor saw row 45 [bold]near[/] the river." in text

    assert run_command_line(["errors", str(run), "--json", "--label", "acceptable", "-n", "9"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["wrong"], found["set"]) == (48, 8, "validation")
    assert found["confusion"] == [[20, 4], [4, 20]]
    assert [each["index"] for each in found["mistakes"]] == ["42", "30", "18", "6"]
    assert {each["label"] for each in found["mistakes"]} == {"acceptable"}

    out = tmp_path / "wrong.csv"
    words = ["errors", str(run), "--predicted", "acceptable", "--out", str(out)]
    assert run_command_line(words) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["index"] for row in rows] == ["45", "33", "21", "9"]
    assert rows[0]["text"] == "The old doctor saw row 45 [bold]near[/] the river."
    assert float(rows[0]["confidence"]) == pytest.approx(0.977, abs=1e-3)


def test_mistakes_in_words(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = run / "predictions" / "validation.tsv"
    whole = table.read_text()

    def said(*words: str) -> tuple[int, str]:
        status = run_command_line(["errors", str(run), *words])
        return status, capsys.readouterr().err

    assert said("--label", "red\x1b[2J")[0] == 2
    status, text = said("--label", "red\x1b[2J")
    assert "there is no class" in text
    assert "\x1b" not in text
    assert "no validation set 'matched'" in said("--on", "matched")[1]
    assert said("--out", "x.pdf")[0] == 2
    for broken, why in (
        ("", "has no index"),
        (whole + "1\t2\n", "line 50 has another number of cells"),
        (whole.replace("\tunacceptable\t", "\tred\t", 1), "the label 'red' is no class"),
        (whole.replace("\t0.0\t", "\tnan\t", 1), "not numbers"),
        (whole.replace("\t0.0\t", "\tx\t", 1), "could not convert"),
    ):
        table.write_text(broken)
        status, text = said()
        assert (status, "no file of predictions that CaliSr wrote" in text) == (3, True), broken[:9]
        assert why in text
    (run / "predictions" / "validation.tsv").unlink()
    status, text = said()
    assert status == 4
    assert "has no best model yet" in text


def test_a_file_with_texts_needs_neither_model_nor_torch(run: Path) -> None:
    code = (
        "import sys\nfrom calisr_tui.cli.app import run_command_line\n"
        f"status = run_command_line(['errors', {str(run)!r}])\n"
        "heavy = {'torch', 'transformers', 'datasets'} & set(sys.modules)\n"
        "sys.exit(status or ', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[1:]) == (0, [])
