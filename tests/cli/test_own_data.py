"""Own data on the command line: one file is enough, and what was guessed is told."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from calisr_engine.config.load import from_resolved
from calisr_tui.cli.app import run_command_line
from tests.training.tiny_run import events, save_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one file, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    words = ("good", "lovely, really", "bad", '""awful"" 🙂')
    rows = [f'{n},"{words[n % 4]} visit {n}",{"no" if n % 4 > 1 else "yes"}' for n in range(60)]
    path = Path("reviews.csv")
    path.write_text("id,review,liked\n" + "\n".join(rows) + "\n")
    return path


def settings(model: Path) -> list[str]:
    small = ("training.epochs=1", "training.device=cpu", "training.threads=1")
    return ["--model", str(model), *(f"--set={each}" for each in small)]


def test_one_file_trains_and_the_run_records_the_split(
    reviews: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["run", "--train", str(reviews), *settings(model)]) == 0
    _, err = capfd.readouterr()
    for words in (
        "CSV, separated by commas, UTF-8; 54 rows to train, 6 rows to validate",
        "text = review (",
        "label = liked (2 different values)",
        "kind = classification (",
    ):
        assert words in err
    (run,) = Path("runs").iterdir()
    (started,) = events(run, "run_started")
    assert (started["train_examples"], started["validation_examples"]) == (54, 6)
    notes = [each["message"] for each in events(run, "warning")]
    assert any("6 of the 60 rows" in note and "set aside" in note for note in notes)
    task = from_resolved(run / "config.toml").task
    assert (task.validation_share, task.split_seed, task.name) == (0.1, 0, "reviews")
    text = (run / "config.toml").read_text()
    assert "guessed from the data" in text
    assert "# --train" in text
    # Row numbers of the file stand beside the predictions of the rows set aside.
    table = (run / "predictions" / "validation.tsv").read_text().splitlines()[1:]
    kept = reviews.read_text().splitlines()[1:]
    assert len(table) == 6
    for line in table:
        index, label = line.split("\t")[:2]
        assert kept[int(index)].endswith(f",{label}")


def test_the_line_to_copy_makes_the_same_run(
    reviews: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["data", str(reviews), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["guessed"]["text_column"]["value"] == "review"
    assert "--set" not in found["command"]
    words = shlex.split(found["command"])[1:]
    assert run_command_line([*words, "--dry-run", "--json"]) == 0
    out, err = capfd.readouterr()
    assert "guess" not in err
    assert run_command_line(["run", "--train", str(reviews), "--dry-run", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == json.loads(out)


def test_a_look_shows_rows_labels_and_lengths(
    reviews: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--max-length", "8", "--validation", str(reviews)]
    assert run_command_line(["data", str(reviews), "--model", str(model), *sizes]) == 0
    out, _ = capfd.readouterr()
    for words in (
        "60 rows to train, 60 rows to validate",
        '"awful" 🙂 visit 3',
        "tokens in the mean",
        "longer than max_length = 8",
        "! 60 of 60 validation rows are also in the training data",
        "train on it: calisr run",
    ):
        assert words in out


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--train", "reviws.csv"], 3, "did you mean reviews.csv?"),
        (["--train", "reviews.csv", "--label", "lked"], 3, "did you mean 'liked'?"),
        (["--train", "reviews.csv", "--kind", "regresion"], 2, "did you mean"),
        (["--train", "reviews.csv", "--kind", "regression"], 3, "'yes' is not a number to learn"),
        (["--train", "reviews.csv", "--metric", "acuracy"], 2, "did you mean accuracy?"),
        (["--train", "reviews.csv", "--text", "review", "--pair", "review"], 2, "the same column"),
        (["--train", "reviews.csv", "--dataset", "a/b"], 2, "exclude each other"),
        (["--train", "."], 3, "no training file"),
        (["--text", "review"], 2, "add --train FILE"),
        (["--dataset", "owner/nowhere"], 3, "HF_HUB_OFFLINE"),
        (["--train", "few.csv"], 3, "too few to set some aside"),
    ],
)
def test_a_mistake_leaves_no_run(
    arguments: list[str],
    status: int,
    words: str,
    reviews: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "few.csv" in arguments:
        Path("few.csv").write_text("text,label\na b,x\nc d,y\n")
    if "." in arguments:
        reviews.rename("reviews-test.csv")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert run_command_line(["run", *arguments]) == status
    _, err = capfd.readouterr()
    assert words in err
    assert "Traceback" not in err
    assert not Path("runs").exists()
