"""Own data on the command line: one file is enough, and what was guessed is told."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants
from typer.core import TyperGroup
from typer.main import get_command

from calisr_engine.config.load import from_resolved
from calisr_engine.config.options import OPTIONS, OWN_DATA
from calisr_tui.cli.app import app, run_command_line
from calisr_tui.cli.own_data import task_options
from tests.tasks.test_hub_parquet import stored
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
    # Going on sees the same sides; a text that is another one now is noticed.
    head, *rows = reviews.read_text().splitlines()
    longer = ["resume", str(run), "--set", "training.epochs=2", "--quiet"]
    reviews.write_text("\n".join([head, *rows[:-1], rows[-1].replace("visit", "VISITS")]) + "\n")
    assert run_command_line(longer) == 3
    assert "the data changed since" in capfd.readouterr().err
    reviews.write_text("\n".join([head, *rows]) + "\n")
    assert run_command_line(longer) == 0
    again = (run / "predictions" / "validation.tsv").read_text().splitlines()[1:]
    assert [line.split("\t")[:2] for line in again] == [line.split("\t")[:2] for line in table]


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


def test_shares_of_labels_are_of_rows_or_of_the_words_where_each_has_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [f"Ada{n} B-PER\nwrote O\nto O\nRome{n} B-LOC\nnow O\n" for n in range(40)]
    several = [(["a", "b"], ["a", "b"], ["a"], ["b"])[n % 4] for n in range(40)]
    rows = [json.dumps({"text": f"text {n}", "labels": several[n]}) for n in range(40)]
    for name, lines, shares in (
        ("tags.conll", words, ["60%", "20%", "20%"]),
        ("labels.jsonl", rows, ["75%", "75%"]),
    ):
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        given = ["--validation-share", "0.1"]
        assert run_command_line(["data", str(tmp_path / name), *given]) == 0
        found = re.findall(r"\b\d+%(?=  \S)", capfd.readouterr().out)
        assert all(
            abs(int(one[:-1]) - int(other[:-1])) <= 3
            for one, other in zip(found, shares, strict=True)
        )


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
        (
            ["--train", "reviews.csv", "--text", "review", "--text-pair", "review"],
            2,
            "the same column",
        ),
        (["--train", "reviews.csv", "--dataset", "a/b"], 2, "exclude each other"),
        (["--train", "."], 3, "no training file"),
        (["--text", "review"], 2, "add --train FILE"),
        (["--set=task.dataset="], 3, "no name of a data set"),
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


def test_a_data_set_of_the_hub_from_training_to_answers(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its test split is predicted, and a run of it answers with and without its export."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    files = {"train-00000-of-00001.parquet": range(80), "test-00000-of-00001.parquet": range(4)}
    stored(tmp_path, "owner/reviews", files)
    words = ["run", "--dataset", "owner/reviews", "--test-split", "test", *settings(model)]
    assert run_command_line([*words, "--set=output.name=hub"]) == 0
    assert len((tmp_path / "runs/hub/predictions/test.tsv").read_text().splitlines()) == 5
    capfd.readouterr()
    ask = ["predict", "hub", "train 3", "--json", "--device", "cpu"]
    assert run_command_line(ask) == 0
    exported = json.loads(capfd.readouterr().out)
    assert set(exported["probabilities"]) == {"0", "1"}
    shutil.rmtree(tmp_path / "runs/hub/model")
    assert run_command_line(ask) == 0
    rebuilt = json.loads(capfd.readouterr().out)
    assert rebuilt["probabilities"] == pytest.approx(exported["probabilities"], abs=1e-5)


def test_a_file_is_predicted_in_the_form_that_the_run_was_trained_with(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{'good' if n % 2 else 'bad'} caf\xe9 number {n};{n % 2}" for n in range(40)]
    for name in ("a.csv", "b.csv"):
        Path(name).write_bytes("\n".join(rows).encode("cp1252"))
    assert (
        run_command_line(["run", "--train", "a.csv", *settings(model), "--set=output.name=a"]) == 0
    )
    told = capfd.readouterr().err
    assert "encoding = cp1252" in told
    assert "header = none" in told
    ask = ["predict", "a", "--file", "b.csv", "--json", "--device", "cpu"]
    assert run_command_line(ask) == 0
    answers = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [each["text"] for each in answers] == [row.partition(";")[0] for row in rows]


def test_options_of_own_data_without_data_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for option in (["--no-header"], ["--validation-share", "0.2"], ["--text", "review"]):
        assert run_command_line(["run", "--task", "demo", *option]) == 2
        assert option[0].replace("--no-", "--") in capfd.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("text_column = 5", "expected text"),
        ("label_column = ['liked']", "expected text"),
        ("label_columns = 'liked'", "expected a list of columns"),
        ("choice_columns = [1, 2]", "expected a list of columns"),
        ("label_separator = ''", "expected text"),
        ("validation_file = 7", "expected a path"),
        ("validation_file = ['reviews.csv']", "expected a path"),
    ],
)
def test_a_wrong_value_in_a_file_is_told_before_anything_is_guessed(
    line: str, told: str, reviews: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("mine.toml").write_text(f"[task]\ntrain_file = '{reviews}'\n{line}\n")
    assert run_command_line(["run", "mine.toml"]) == 2
    shown = capfd.readouterr().err
    assert "one mistake" in shown
    assert f"mine.toml:3: task.{line.partition(' ')[0]}: {told}" in shown
    assert not Path("runs").exists()


def test_a_complete_run_stays_so_where_its_data_is_not_as_it_was(
    reviews: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["run", "--train", str(reviews), *settings(model), "--json"]) == 0
    run = Path("runs") / json.loads(capfd.readouterr().out)["run_id"]
    before = (run / "config.toml").read_text(), (run / "events.jsonl").read_text()
    more = ["resume", str(run), "--set", "training.epochs=2"]
    text = reviews.read_text()
    for content in (text.replace("lovely", "nice"), "a,b\n1,2\n", None):
        reviews.unlink() if content is None else reviews.write_text(content)
        assert run_command_line(more) == 3
        assert before == ((run / "config.toml").read_text(), (run / "events.jsonl").read_text())
    reviews.write_text(text)
    assert run_command_line(more) == 0


def test_each_option_of_own_data_reaches_its_setting() -> None:
    """Given to `run` and to `data`, which have the same ones."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    for command, words in (("run", ["--train", "t"]), ("data", ["t"])):
        for key in ("task.train_file", *OWN_DATA):
            if key in ("task.name", "task.train_file") and command == "data":
                continue
            value = "0.2" if key == "task.validation_share" else "x"
            given = words if key == "task.train_file" else [*words, OPTIONS[key], value]
            context = group.commands[command].make_context(command, list(given))
            found = task_options(context)[key]
            assert str(found) == given[-1] or found == [given[-1]]
