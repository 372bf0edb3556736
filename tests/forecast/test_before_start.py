"""Natural mistakes are told before there is a run directory, in the words that training has."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from calisr_engine.config.load import load
from calisr_engine.errors import ConfigError
from calisr_engine.forecast import before_start
from calisr_engine.forecast.before_start import Checked, check, look, require
from calisr_engine.methods.peft import probe
from calisr_tui.cli.app import run_command_line
from tests.models.folders import save
from tests.training.tiny_run import save_model

ROWS = "text,label\n" + "".join(f"a word {i},{'yes' if i % 2 else 'no'}\n" for i in range(40))
OWN = ["--text", "text", "--label", "label", "--kind", "classification"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a good model and a good file, models with a fault each, and bad files."""
    root = tmp_path_factory.mktemp("mistakes")
    save_model(root / "model")
    save("mpnet", root / "mpnet")
    for name in ("no-config", "pickled", "no-tokenizer", "cut", "gpt2", "other-weights"):
        shutil.copytree(root / "model", root / name)
    (root / "no-config" / "config.json").unlink()
    (root / "pickled" / "model.safetensors").rename(root / "pickled" / "pytorch_model.bin")
    for file in (root / "no-tokenizer").glob("tokenizer*"):
        file.unlink()
    weights = root / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    config = json.loads((root / "gpt2" / "config.json").read_text())
    (root / "gpt2" / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    deeper = json.dumps(config | {"num_hidden_layers": 3})
    (root / "other-weights" / "config.json").write_text(deeper)
    (root / "good.csv").write_text(ROWS)
    (root / "one-class.csv").write_text(ROWS.replace(",no", ",yes"))
    (root / "typo.csv").write_text(ROWS.replace("39,yes", "39,yse"))
    (root / "latin.csv").write_bytes(ROWS.replace("word", "Wörter").encode("latin-1"))
    (root / "header.csv").write_text("text,label\n")
    (root / "glue" / "RTE").mkdir(parents=True)
    return root


# what is wrong: arguments of `calisr run`, exit code, setting, words
MISTAKES: dict[str, tuple[list[str], int, str, str]] = {
    "no such folder": (["--model", "{}/nope"], 3, "model.name", "does not exist"),
    "a file as model": (["--model", "{}/good.csv"], 3, "model.name", "is a file, not a folder"),
    "not on this machine": (["--model", "roberta-base"], 3, "model.name", "is not on this machine"),
    "no config.json": (["--model", "{}/no-config"], 3, "model.name", "no config.json"),
    "pickled weights": (["--model", "{}/pickled"], 3, "model.name", "never loaded"),
    "no tokenizer": (["--model", "{}/no-tokenizer"], 3, "model.name", "no tokenizer"),
    "cut weights": (["--model", "{}/cut"], 3, "model.name", "not a whole safetensors file"),
    "other architecture": (["--model", "{}/gpt2"], 2, "model.name", "'gpt2', which is not"),
    "weights of another size": (["--model", "{}/other-weights"], 2, "model.name", "do not fit"),
    "method and model": (["--model", "{}/mpnet", "--method", "prefix"], 2, "method.name", "mpnet"),
    "no training file": (["--train", "{}/nope.csv", *OWN], 3, "task.train_file", "nope.csv"),
    "no such column": (
        ["--train", "{}/good.csv", *OWN, "--label", "lable"],
        3,
        "task.label_column",
        "did you mean 'label'?",
    ),
    "text as numbers": (
        ["--train", "{}/good.csv", *OWN, "--kind", "regression"],
        3,
        "task.label_column",
        "is not a number to learn",
    ),
    "one class": (["--train", "{}/one-class.csv", *OWN], 3, "task.label_column", "one class"),
    "an unknown label": (
        ["--train", "{}/good.csv", "--validation", "{}/typo.csv", *OWN],
        3,
        "task.label_column",
        "did you mean 'yes'?",
    ),
    "an empty file": (["--train", "{}/header.csv", *OWN], 3, "task.train_file", "no row of data"),
    "another encoding": (["--train", "{}/latin.csv", *OWN], 3, "task.train_file", "UTF-8"),
    "a data set that is not here": (
        ["--dataset", "owner/nothing", *OWN],
        3,
        "task.dataset",
        "owner/nothing is not here",
    ),
    "a metric of other data": (
        ["--train", "{}/good.csv", *OWN, "--metric", "pearson"],
        2,
        "task.metric",
        "does not fit data with 2 classes",
    ),
    "GLUE without files": (
        ["--task", "rte", "--data-dir", "{}/glue"],
        3,
        "task.data_dir",
        "train.tsv",
    ),
    "a device that is not here": (
        ["-s", "training.device=cuda:99"],
        2,
        "training.device",
        "cuda:99 is not on this machine",
    ),
    "one step of warm-up": (
        ["-s", "training.max_steps=1"],
        2,
        "training.warmup_ratio",
        "nothing would be trained",
    ),
    "matched to no run": (
        [
            *("--method", "lora", "--calibration", "S"),
            *("-s", "calibration.control=matched", "-s", "calibration.matched_to=nothing"),
        ],
        2,
        "calibration.matched_to",
        "nothing",
    ),
    "an output that is a file": (["--output-dir", "{}/good.csv"], 2, "output.dir", "is no folder"),
}


@pytest.mark.parametrize("case", list(MISTAKES))
def test_a_mistake_leaves_no_run(
    case: str,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    arguments, status, key, words = MISTAKES[case]
    given = [each.replace("{}", str(place)) for each in arguments]
    if "--model" not in given:
        given += ["--model", str(place / "model")]
    monkeypatch.chdir(tmp_path)
    found: list[Checked] = []

    def look_on(*given: Any, **named: Any) -> Checked:
        found.append(look(*given, **named))
        return found[-1]

    monkeypatch.setattr(before_start, "look", look_on)
    assert run_command_line(["run", *given]) == status
    out, err = capfd.readouterr()
    assert out == ""
    assert words in err
    assert "Traceback" not in err
    (problem,) = found[0].problems
    assert problem.keys[0] == key
    assert problem.mend
    assert not list(tmp_path.iterdir())


def test_all_mistakes_are_told_at_once_and_a_good_run_has_none(place: Path, tmp_path: Path) -> None:
    sets = [f"model.name={place}/model", f"task.train_file={place}/good.csv", "task.name=mine"]
    sets += ["task.text_column=text", "task.label_column=label", "task.kind=classification"]
    sets += [f"output.dir={tmp_path}/runs"]
    good = look(load(None, sets).config)
    assert good.problems == ()
    assert any("are set aside to validate" in note for note in good.notes)
    assert any("task.max_length = 128 is lowered" in note for note in good.notes)
    shutil.copy(place / "good.csv", tmp_path / "gone.csv")
    other = load(None, [*sets, f"task.train_file={tmp_path}/gone.csv"]).config
    seen = look(other)
    (tmp_path / "gone.csv").unlink()
    bad = other.model_copy(update={"model": load(None, ["model.name=/nope"]).config.model})
    assert [each.keys[0] for each in check(bad)] == ["task.train_file", "model.name"]
    assert [each.keys[0] for each in check(bad, seen)] == ["model.name"]  # data is not read again
    with pytest.raises(ConfigError, match="2 mistakes") as told:
        require(bad)
    assert told.value.exit_code == 3
    assert "/nope" in str(told.value)
    assert not (tmp_path / "runs").exists()


def test_a_grid_with_runs_that_cannot_begin_begins_none(
    place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "grid.toml"
    file.write_text(
        f'''[grid]
name = "odd"
rows = ["model.name"]
[settings]
"training.max_steps" = 2
[axes]
"model.name" = ["{place}/pickled", "{place}/model", "{place}/gpt2"]
"training.seed" = [1, 2]
'''
    )
    assert run_command_line(["grid", "run", str(file), "--output-dir", str(tmp_path / "runs")]) == 2
    err = capfd.readouterr()[1]
    assert "4 of 6 runs cannot begin" in err
    assert "a pickle, which is never loaded" in err
    assert err.count("and 1 more: ") == 2  # each mistake once, for the runs of both seeds
    assert not list((tmp_path / "runs").rglob("config.toml"))


@pytest.mark.parametrize(("there", "words"), [("model.safetensors", ""), ("model.bin", "a pickle")])
def test_weights_on_the_hub_are_asked_for_and_not_fetched(
    there: str, words: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[str] = []

    def snapshot(name: str, **named: Any) -> str:
        wanted.extend(named["allow_patterns"])
        return str(small)

    small = tmp_path / "cache"
    small.mkdir()
    shutil.copy(place / "model" / "config.json", small)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(
        huggingface_hub.HfApi, "list_repo_files", lambda *_, **named: ["config.json", there]
    )
    sets = ["model.name=owner/encoder", f"output.dir={tmp_path}/runs"]
    found = check(load(None, sets).config)
    assert [(each.keys, words in each.message) for each in found] == (
        [(("model.name",), True)] if words else []
    )
    assert "config.json" in wanted
    assert not any(each.endswith((".safetensors", ".bin")) for each in wanted)


def test_a_tuner_of_a_size_that_cannot_fit_is_never_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def tried(*asked: object) -> None:
        raise AssertionError("its matrices were made")

    monkeypatch.setattr(probe, "_try_out", tried)
    sets = ["method.name=peft", "method.options.r=1000000000"]
    (problem,) = check(load("demo", sets).config)
    assert problem.keys == ("method.options",)
    assert "numbers" in problem.message
    assert "lower method.options" in problem.mend
