"""The command line: exit codes, messages, JSON; a user's mistake never shows a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calisr_engine.config.load import load
from calisr_tui.cli.app import run_command_line
from tests.config.test_config_mistakes import MISTAKES
from tests.models.folders import save
from tests.training.tiny_run import save_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


def quick(model: Path, output: Path, *more: str) -> list[str]:
    sets = [
        f"model.name={model}",
        "task.max_train_examples=64",
        "task.max_validation_examples=32",
        "task.max_length=64",
        "training.epochs=2",
        "training.batch_size=16",
        "training.device=cpu",
        "training.threads=1",
        *more,
    ]
    return ["run", "demo", "--output-dir", str(output), *(f"--set={each}" for each in sets)]


@pytest.mark.parametrize("case", list(MISTAKES))
def test_a_bad_config_is_refused_with_its_name(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text, _, words = MISTAKES[case]
    file = tmp_path / "bad.toml"
    file.write_text(text)
    output = tmp_path / "runs"
    status = run_command_line(["run", str(file), "--output-dir", str(output)])
    out, err = capfd.readouterr()
    assert status == 2
    assert out == ""
    assert "Traceback" not in err
    assert "bad.toml" in err
    if "extends" not in text:
        assert all(word in err for word in words), err
    assert not output.exists()


GOOD = "text,label\n" + "".join(f"a word {i},{'yes' if i % 2 else 'no'}\n" for i in range(20))
OWN = (
    "task.name=mine",
    "task.text_column=text",
    "task.label_column=label",
    "task.kind=classification",
)

# id: name of the training file, its content (None: a directory), words of the message
BAD_DATA: dict[str, tuple[str, bytes | None, str]] = {
    "empty file": ("train.csv", b"", "train.csv"),
    "header alone": ("train.csv", b"text,label\n", "train.csv"),
    "missing column": ("train.csv", b"text,lable\na,yes\nb,no\n", "label"),
    "broken UTF-8": ("train.csv", b"text,label\n\xff\xfe\x00a,yes\n", "UTF-8"),
    "a directory": ("train.csv", None, "train.csv"),
    "broken JSON": ("train.jsonl", b'{"text": "a", "label": "yes"\n', "train.jsonl"),
    "JSON without the column": ("train.jsonl", b'{"text": "a"}\n', "label"),
    "not Parquet": ("train.parquet", b"this is text", "train.parquet"),
    "unknown format": ("train.xyz", b"text,label\na,yes\n", "train.xyz"),
    "an empty label": ("train.csv", b"text,label\na,yes\nb,\nc,no\n", "label"),
    "one class only": ("train.csv", b"text,label\na,yes\nb,yes\n", "train.csv"),
    "too many cells": ("train.csv", b"text,label\na,yes,3,4\nb,no\n", "train.csv"),
}


@pytest.mark.parametrize("case", list(BAD_DATA))
def test_bad_data_is_refused_with_the_files_name(
    case: str, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name, content, words = BAD_DATA[case]
    bad, good = tmp_path / name, tmp_path / "good.csv"
    good.write_text(GOOD)
    if content is None:
        bad.mkdir()
    else:
        bad.write_bytes(content)
    output = tmp_path / "runs"
    arguments = quick(model, output, *OWN, f"task.train_file={bad}", f"task.validation_file={good}")
    status = run_command_line(arguments)
    _, err = capfd.readouterr()
    assert status in (2, 3), err
    assert "Traceback" not in err
    assert words in err
    assert not list(output.glob("*/model"))


@pytest.mark.parametrize(
    ("labels", "words"),
    [("1.5\nnan\n2", "label"), ("1.5\ninf\n2", "label"), ("1\nmany\n2", "label"), ("1\n1\n1", "")],
)
def test_bad_numbers_as_labels(
    labels: str, words: str, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "numbers.tsv"
    file.write_text("text\tlabel\n" + "".join(f"w{i}\t{v}\n" for i, v in enumerate(labels.split())))
    sets = [*OWN[:3], "task.kind=regression", f"task.train_file={file}"]
    status = run_command_line(
        quick(model, tmp_path / "runs", *sets, f"task.validation_file={file}")
    )
    _, err = capfd.readouterr()
    assert "Traceback" not in err
    assert words in err
    assert status in (2, 3)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["run", "no-such-preset"], 4),
        (["run", "no-such.toml"], 4),
        (["run", "demo", "--set", "training.epochs=no"], 2),
        (["run", "demo", "--set", "nonsense"], 2),
        (["run", "demo", "--delta", "7"], 2),
        (["run", "demo", "--method", "loraa"], 2),
        (["run", "demo", "--method", "adapter"], 2),
        (["run", "demo", "--task", "MRPCC"], 2),
        (["show", "no-such-run"], 4),
        (["watch", "no-such-run"], 4),
        (["resume", "no-such-run"], 4),
        (["audit", "no-such-run"], 4),
        (["export", "no-such-run", "folder"], 4),
        (["compare", "one"], 2),
        (["replay"], 2),
        (["presets", "no-such-preset"], 4),
        (["methods", "no-such-method"], 4),
        (["nonsense"], 2),
        (["run", "--nonsense"], 2),
    ],
)
def test_exit_codes_of_mistakes(
    arguments: list[str],
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command_line(arguments) == status
    _, err = capfd.readouterr()
    assert err.strip()
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


def test_a_model_that_cannot_be_had_offline(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", "demo", "--model", "bert-base-uncased", "--output-dir", str(tmp_path)]
    assert run_command_line(arguments) == 3
    _, err = capfd.readouterr()
    assert "--model" in err
    assert "Traceback" not in err


def test_an_unsupported_architecture_names_the_supported_ones(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "gpt2"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "gpt2", "architectures": ["GPT2Model"]}')
    (folder / "model.safetensors").write_bytes(b"")
    arguments = ["run", "demo", "--model", str(folder), "--output-dir", str(tmp_path / "runs")]
    assert run_command_line(arguments) in (2, 3)
    _, err = capfd.readouterr()
    assert "roberta" in err.lower()
    assert "Traceback" not in err


def test_pickled_weights_are_never_opened(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    for file in model.iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    arguments = quick(folder, tmp_path / "runs")
    assert run_command_line(arguments) in (2, 3)
    _, err = capfd.readouterr()
    assert "safetensors" in err
    assert "Traceback" not in err


def test_a_whole_run_and_the_commands_that_look_at_it(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "runs"
    assert run_command_line([*quick(model, output, "output.name=one"), "--json"]) == 0
    out, _ = capfd.readouterr()
    assert json.loads(out)["state"] == "completed"
    assert run_command_line([*quick(model, output, "output.name=two", "training.seed=7")]) == 0
    assert capfd.readouterr()[0].strip() == str(output / "two")
    at = ["--output-dir", str(output)]
    for arguments in (
        ["runs"],
        ["show", "one"],
        ["watch", "one"],
        ["compare", "one", "two"],
    ):
        assert run_command_line([*arguments, *at]) == 0, arguments
        out, _ = capfd.readouterr()
        assert "Traceback" not in out
        assert out.strip() or arguments[0] == "watch"
        if arguments[0] != "watch":
            assert run_command_line([*arguments, *at, "--json"]) == 0
            json.loads(capfd.readouterr()[0])
    assert run_command_line(["export", "one", str(tmp_path / "copy"), *at]) == 0
    assert (tmp_path / "copy" / "model.safetensors").is_file()
    assert run_command_line(["export", "one", str(tmp_path / "copy"), *at]) == 2
    assert run_command_line(["export", "one", str(tmp_path / "c2"), "--adapter-only", *at]) == 2
    assert "of the base too" in capfd.readouterr()[1]
    assert run_command_line(["resume", "one", *at]) == 2
    assert run_command_line(["audit", "one", *at]) in (1, 2)  # no samples were kept


def test_dry_run_trains_nothing(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "runs"
    assert run_command_line([*quick(model, output), "--dry-run", "--json"]) == 0
    plan = json.loads(capfd.readouterr()[0])["plan"]
    assert plan
    assert not output.exists()


def test_a_read_only_output_folder(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "runs"
    file.write_text("a file where the folder should be")
    assert run_command_line(quick(model, file)) == 2
    err = capfd.readouterr()[1]
    assert str(file) in err
    assert "Traceback" not in err


def test_the_components_of_a_model_are_shown_and_can_be_copied_into_a_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = str(save("modernbert", tmp_path / "model"))
    assert run_command_line(["models", folder]) == 0
    shown = capfd.readouterr()[0]
    assert "layers.*.attn.Wqkv[2/3]" in shown
    assert "Not with bitfit: BitFit trains biases" in shown
    file = tmp_path / "components.toml"
    file.write_text(shown[shown.index("[model.components]") :])
    text = load(file).config.model.components
    assert text is not None
    assert run_command_line(["models", folder, "--set", f"model.components={text}", "--json"]) == 0
    told = json.loads(capfd.readouterr()[0])
    assert told["source"] == "settings"
    assert [each["rows"] for each in told["components"]] == [16, 16, 16, 16, 24, 16, 24]


def test_a_model_that_cannot_be_mapped_says_what_there_is(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["models", str(save("deberta", tmp_path / "model"))]) == 2
    err = capfd.readouterr()[1]
    assert "attention.self.in_proj (48 x 16)" in err
    assert "[model.components]" in err


@pytest.mark.parametrize("listing", ["presets", "methods", "tasks", "models", "doctor"])
def test_listings_speak_text_and_json(listing: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command_line([listing]) == 0
    assert capfd.readouterr()[0].strip()
    assert run_command_line([listing, "--json"]) == 0
    assert json.loads(capfd.readouterr()[0])
