"""A run's settings are what its log says: edits are refused, changes asked for are recorded."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from calisr_engine.config.load import from_resolved
from calisr_engine.errors import ConfigError
from calisr_engine.process.execute import execute
from calisr_engine.runs import load_view
from calisr_engine.runs.changes import go_on
from calisr_tui.cli.app import run_command_line
from tests.training.golden import digest, newest_checkpoint
from tests.training.interrupt import kill_at
from tests.training.tiny_run import events, make_run


def killed(model: Path, folder: Path, *sets: str) -> Path:
    run = make_run(model, folder, "run", "method.name=lora", "calibration.variant=S", *sets)
    kill_at(run, 8)
    return run


@pytest.fixture(scope="module")
def to_read(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A killed run that is refused to go on, and so stays as it is."""
    return killed(model, tmp_path_factory.mktemp("runs"))


EDITS = (
    ("training.learning_rate", "learning_rate = 0.01", "learning_rate = 0.02"),
    ("training.seed", "seed = 42", "seed = 43"),
    ("calibration.delta", "delta = 0.5", "delta = 0.4"),
    ("method.rank", "rank = 8", "rank = 4"),
    ("training.device", 'device = "cpu"', 'device = "auto"'),
)


def test_an_edited_setting_is_refused_by_its_key(model: Path, tmp_path: Path) -> None:
    run = killed(model, tmp_path)
    config = run / "config.toml"
    text = config.read_text()
    for key, line, edited in EDITS:
        assert f"\n{line} " in text
        config.write_text(text.replace(f"\n{line} ", f"\n{edited} "))
        with pytest.raises(ConfigError, match="edited or cut") as caught:
            execute(run, raise_errors=True)
        assert [each.keys for each in caught.value.problems] == [(key,)]
    config.write_text(text)
    assert execute(run, raise_errors=True) == 0


def test_a_cut_config_is_refused(model: Path, tmp_path: Path) -> None:
    """What is missing would take its default without a word."""
    run = killed(model, tmp_path)
    config = run / "config.toml"
    text = config.read_text()
    config.write_text(text[: text.index("[training]")])
    with pytest.raises(ConfigError) as caught:
        execute(run, raise_errors=True)
    keys = {each.keys[0] for each in caught.value.problems}
    assert {"training.learning_rate", "training.batch_size"} <= keys


def test_what_changes_nothing_may_be_edited(model: Path, tmp_path: Path) -> None:
    run = killed(model, tmp_path)
    config = run / "config.toml"
    config.write_text(re.sub(r'\nnotes = ""', '\nnotes = "mine"', config.read_text()))
    moved = run.rename(tmp_path / "moved")
    assert execute(moved, raise_errors=True) == 0


def test_epochs_to_add_are_trained_and_recorded(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(model, tmp_path, "run", "method.name=fft")
    assert execute(run, raise_errors=True) == 0
    assert run_command_line(["resume", str(run), "-q"]) == 2
    assert "training.epochs=N" in capsys.readouterr().err
    assert run_command_line(["resume", str(run), "-q", "--set", "training.epochs=5"]) == 0
    view = load_view(run)
    assert view.summary is not None
    assert view.summary["steps"] == 30
    assert view.setting("training", "epochs") == 5
    assert view.changes == [(18, "training.epochs", 3, 5)]
    assert from_resolved(run / "config.toml").training.epochs == 5
    assert "# resume --set" in (run / "config.toml").read_text()
    capsys.readouterr()
    assert run_command_line(["show", str(run)]) == 0
    assert "training.epochs from 3 to 5" in capsys.readouterr().out


def test_the_model_may_have_moved(model: Path, tmp_path: Path) -> None:

    calm = make_run(model, tmp_path, "calm", "method.name=lora", "calibration.variant=S")
    assert execute(calm, raise_errors=True) == 0
    there = Path(shutil.copytree(model, tmp_path / "first place"))
    run = make_run(there, tmp_path, "moved", "method.name=lora", "calibration.variant=S")
    kill_at(run, 8)
    there.rename(tmp_path / "second place")
    assert execute(run) == 3
    changes = go_on(run, [f"model.name={tmp_path / 'second place'}"])
    assert list(changes) == ["model.name"]
    assert execute(run, raise_errors=True) == 0
    one, two = (digest(newest_checkpoint(r) / "model.safetensors") for r in (calm, run))
    assert one == two


@pytest.mark.parametrize("change", ["training.learning_rate=1", "method.rank=2", "task.name=rte"])
def test_what_decides_the_result_cannot_change(change: str, to_read: Path) -> None:
    run = to_read
    before = (run / "config.toml").read_text()
    with pytest.raises(ConfigError) as caught:
        go_on(run, [change])
    assert change.partition("=")[0] in str(caught.value)
    assert (run / "config.toml").read_text() == before
    assert not events(run, "settings_changed")


def test_epochs_cannot_shrink(to_read: Path) -> None:
    with pytest.raises(ConfigError, match="cannot go on") as caught:
        go_on(to_read, ["training.epochs=1"])
    assert "not shrink" in str(caught.value)


def swap_tokens(model: Path) -> None:
    file = model / "tokenizer.json"
    file.write_text(file.read_text().replace('"a": 5', '"a": 6x').replace('"b": 6,', '"b": 5,'))
    file.write_text(file.read_text().replace('"a": 6x', '"a": 6'))


def activation(model: Path) -> None:
    file = model / "config.json"
    file.write_text(file.read_text().replace('"hidden_act": "gelu"', '"hidden_act": "relu"'))


def one_weight(model: Path) -> None:
    file = model / "model.safetensors"
    tensors = load_file(file)
    name = "bert.encoder.layer.1.output.dense.weight"
    tensors[name] = tensors[name].clone()
    tensors[name][3, 5] += 1e-3
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("change", "part"),
    [(swap_tokens, "tokenizer"), (activation, "config.json"), (one_weight, "weights")],
)
def test_a_model_that_changed_is_refused_by_its_part(
    change: Callable[[Path], None], part: str, model: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(model, tmp_path / "model"))
    run = killed(own, tmp_path)
    change(own)
    with pytest.raises(ConfigError, match=f"{part}.* changed since this run was stopped") as caught:
        execute(run, raise_errors=True)
    assert "data" not in caught.value.message
