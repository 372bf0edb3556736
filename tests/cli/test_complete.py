"""What Tab offers, through the shell's own protocol: names that exist, and nothing that runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from calisr_engine.config.describe import by_key
from calisr_engine.config.preset_files import names
from calisr_engine.grid.spec import grid_names
from calisr_engine.methods.catalog import METHODS
from calisr_tui.cli.app import app
from tests.runs.trainer import FIRST_VERSION, Trainer, new_run
from tests.test_import_hygiene import TRAINING, imported

Offered = Callable[[str], list[str]]


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Offered:
    """What is offered for the last word of a command line ("" behind a space)."""

    def ask(line: str) -> list[str]:
        with monkeypatch.context() as patch:
            patch.setenv("_CALISR_COMPLETE", "complete_bash")
            patch.setenv("COMP_WORDS", line)
            patch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
            with pytest.raises(SystemExit) as end:
                app([], prog_name="calisr")
        out, err = capsys.readouterr()
        assert (end.value.code, err) == (0, "")
        return out.split()

    return ask


def test_names_come_from_the_tables(offered: Offered) -> None:
    assert offered("calisr run ") == names()
    assert offered("calisr presets pap") == [n for n in names() if n.startswith("pap")]
    for command in ("grid run", "grid plan", "grid status", "report"):
        assert offered(f"calisr {command} ") == grid_names()
    assert offered("calisr run --method ") == offered("calisr methods ") == list(METHODS)
    assert offered("calisr run --task ss") == ["sst2"]
    assert offered("calisr run --set task.name=m") == [f"task.name={t}" for t in ("mrpc", "mnli")]
    assert offered("calisr run --calibration S") == ["S", "S3"]


def test_settings_are_those_of_the_method_and_their_values(offered: Offered) -> None:
    every = {key for name in METHODS for key in by_key(name)}
    assert offered("calisr run --set ") == sorted(f"{key}=" for key in every)
    own = sorted(f"{key}=" for key in by_key("lora") if key.startswith("method."))
    assert offered("calisr run --method lora -s method.") == own
    assert offered("calisr run -s method.name=lora -s method.") == own
    for command in ("resume x", "grid run x"):
        assert offered(f"calisr {command} --set training.ep") == ["training.epochs="]
    schedules = [f"training.schedule={each}" for each in by_key()["training.schedule"].choices]
    assert offered("calisr run --set training.schedule=") == schedules
    assert offered("calisr run -s no.such=") == []


@pytest.mark.parametrize(
    "command", ["show", "resume", "watch", "tail", "audit", "export", "replay", "compare"]
)
def test_runs_of_the_folder(command: str, offered: Offered) -> None:
    line = f"calisr {command} --output-dir {FIRST_VERSION} "
    assert offered(line) == sorted(each.name for each in FIRST_VERSION.iterdir() if each.is_dir())
    assert offered(f"{line}killed-m") == ["killed-mpop"]


def test_only_runs_in_training_are_offered_to_be_stopped(tmp_path: Path, offered: Offered) -> None:
    for name in ("one", "two", "over"):
        new_run(tmp_path / name)
    with Trainer(tmp_path / "over", "end"):
        (tmp_path / "over" / "control").mkdir()
    with Trainer(tmp_path / "one"), Trainer(tmp_path / "two"):
        for command in ("stop", "pause", "continue"):
            assert offered(f"calisr {command} --output-dir {tmp_path} ") == ["one", "two"]
        assert offered(f"calisr stop --output-dir {tmp_path} one ") == ["two"]


def test_names_that_a_shell_would_run_are_not_offered(tmp_path: Path, offered: Offered) -> None:
    for name in ("good-1", "$(touch x)", "a b", "q'))'", "-rf", "new\nline", "`id`", "a;b", "a:b"):
        new_run(tmp_path / name)
    assert offered(f"calisr show --output-dir {tmp_path} ") == ["good-1"]


def test_what_is_wrong_is_not_told_between_prompts(
    tmp_path: Path, offered: Offered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert offered("calisr show ") == []
    assert offered(f"calisr show --output-dir {tmp_path / 'none'} ") == []
    (tmp_path / "presets").write_text("a file, no folder")
    monkeypatch.setenv("CALISR_PRESETS_DIR", str(tmp_path / "presets"))
    assert "demo" in offered("calisr run ")


def test_every_command_that_takes_a_run_or_settings_completes_them() -> None:
    from typer.core import TyperGroup
    from typer.main import get_command

    seen = 0
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    for name, command in group.commands.items():
        for each in command.params:
            if each.metavar in ("RUN", "RUN...", "GRID") or "--set" in each.opts:
                seen += 1
                assert each._custom_shell_complete is not None, (name, each.name)
    assert seen > 10


COMPLETE = """
import os, sys
os.environ |= {"_CALISR_COMPLETE": "complete_bash", "COMP_CWORD": "3"}
os.environ["COMP_WORDS"] = "calisr run --set training."
from calisr_tui.cli.app import app
try:
    app([], prog_name="calisr")
except SystemExit:
    pass
"""


def test_it_imports_nothing_to_train_with() -> None:
    assert not imported(COMPLETE) & {*TRAINING, "textual", "matplotlib"}
