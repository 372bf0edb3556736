"""Written settings load to the same run: resolved file, least file, command line."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli
from hypothesis import given, settings

from calisr_engine.config import preset_files
from calisr_engine.config.load import command_line, from_resolved, load, minimal_toml
from calisr_engine.config.options import OPTIONS
from calisr_engine.config.schema import RunConfig
from tests.config.any_config import any_run

READ: dict[str, Callable[[str], object]] = {
    "task.validation_share": float,
    "calibration.delta": float,
    "training.seed": int,
    "task.label_columns": lambda text: text.split(","),
    "task.choice_columns": lambda text: text.split(","),
}
"""What the command makes of an option that is no text."""


def again(line: str) -> RunConfig:
    """The config of a `calisr run` line, as the command reads it."""
    words = shlex.split(line)
    assert words[:2] == ["calisr", "run"]
    rest = words[2:]
    base = rest.pop(0) if rest and not rest[0].startswith("--") else None
    sets, options = [], {}
    for option, value in zip(rest[::2], rest[1::2], strict=True):
        if option == "--set":
            sets.append(value)
        else:
            key = next(key for key, known in OPTIONS.items() if known == option)
            options[key] = READ.get(key, str)(value)
    return load(base, sets, options).config


@settings(max_examples=120, derandomize=True, deadline=None, database=None)
@given(any_run)
def test_any_settings_survive_every_spelling(config: RunConfig) -> None:
    resolved = load(None, overrides=config.model_dump())
    assert resolved.config == config
    with tempfile.TemporaryDirectory() as folder:
        for number, text in enumerate((resolved.to_toml(), minimal_toml(config, "a\ntitle"))):
            path = Path(folder, f"{number}.toml")
            path.write_text(text, encoding="utf-8", newline="")
            assert from_resolved(path) == config
    assert again(command_line(config)) == config
    assert again(command_line(config, "demo")) == config
    assert again(command_line(config, "paper/table2/child-tuning-d-calisr-s-rte")) == config


@pytest.mark.parametrize("name", preset_files.names())
def test_resolved_presets_load_again(name: str, tmp_path: Path) -> None:
    resolved = load(name, ["training.seed=9"], {"task.data_dir": "glue"})
    path = tmp_path / "config.toml"
    path.write_text(resolved.to_toml())
    assert from_resolved(path) == resolved.config
    assert again(resolved.command_line()) == resolved.config


def test_resolved_file_tells_origins_and_empty_settings(tmp_path: Path) -> None:
    source = tmp_path / "my.toml"
    source.write_text('extends = "demo"\n[training]\nepochs = 2\n')
    text = load(source, ["training.max_steps=none"]).to_toml()
    lines = [line.split() for line in text.splitlines()]
    assert ["epochs", "=", "2", "#", f"{source}:3"] in lines
    assert ["name", "=", '"lora"', "#", "preset", "demo"] in lines
    assert ["#", "max_steps", "is", "none", "#", "--set"] in lines
    assert all(len(line) < 120 for line in text.splitlines() if str(tmp_path) not in line)


def test_minimal_file_holds_differences_only() -> None:
    rate = tomli.loads(minimal_toml(RunConfig()))
    assert rate == {"training": {"learning_rate": 2e-5}}  # so that nothing is fitted beneath
    text = load("demo", ["training.seed=42", "training.epochs=3"]).minimal_toml("mine")
    assert text.startswith("# mine\n")
    assert tomli.loads(text) == {
        "method": {"name": "lora"},
        "calibration": {"variant": "S", "samples_per_epoch": 5},
        "training": {"learning_rate": 5e-4, "threads": 1},
    }


def test_command_line_says_what_a_user_would_type(tmp_path: Path) -> None:
    assert command_line(load(None).config) == "calisr run"
    assert load("demo").command_line() == "calisr run demo"
    line = load("demo", ["training.seed=7"], {"output.dir": "my runs"}).command_line()
    assert line == "calisr run demo --output-dir 'my runs' --seed 7"
    assert load("demo", ["method.name=mpop"]).command_line() == ("calisr run demo --method mpop")
    path = tmp_path / "my.toml"
    path.write_text('[method]\nname = "lora"\n[training]\nmax_steps = 3\n')
    line = load(path, ["training.max_steps=none"]).command_line()
    assert line == f"calisr run {path} --set training.max_steps=none"


@pytest.mark.parametrize("word", ["true", "5", "1e3", "none", "2026-11-30", "a,b", " a", "[x]"])
def test_a_list_of_one_word_is_read_back(word: str) -> None:
    """Whatever the word looks like."""
    own = {"task.train_file": "t.csv", "task.name": "own", "task.text_column": "t"}
    several = own | {"task.kind": "multi_label", "task.label_columns": (word, "y")}
    for overrides in (several, {"task.eval_languages": (word,)}):
        config = load(None, overrides=overrides).config
        assert again(command_line(config)) == config
