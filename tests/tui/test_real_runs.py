"""The app with a run that really trains in it: same run as headless, stopping, failing, ending."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from textual.pilot import Pilot
from textual.widgets import Static

from calisr_engine.events.view import RunView
from calisr_engine.runs import load_view
from calisr_tui.app import CalisrApp
from calisr_tui.cli.app import run_command_line
from calisr_tui.dialogs import Question, Reading
from calisr_tui.live.screen import LiveScreen
from calisr_tui.widgets.fields import Field
from tests.training.tiny_run import save_model

PRESET = """\
# Two groups of sentences, a random BERT

[model]
name = "{model}"

[task]
name = "demo"
max_train_examples = 96
max_validation_examples = 40
max_length = 64

[method]
name = "lora"

[calibration]
variant = "S"
samples_per_epoch = 3

[training]
epochs = {epochs}
batch_size = 16
learning_rate = {rate}
device = "cpu"
threads = 1

[output]
progress_every_seconds = 0
"""

PASSING = {"time", "seconds", "run_id", "dir", "name", "bytes", "calibration_share"}
"""Keys that differ between two runs of the same settings (a checkpoint holds its own times)."""


@pytest.fixture
def presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """User presets `shortrun` (18 steps), `longrun` and `badrun` (a loss that is not a number)."""
    folder = tmp_path / "presets"
    folder.mkdir()
    model = save_model(tmp_path / "model")
    for name, epochs, rate in (("shortrun", 3, 1e-2), ("longrun", 900, 1e-3), ("badrun", 3, 1e30)):
        text = PRESET.format(model=model, epochs=epochs, rate=rate)
        (folder / f"{name}.toml").write_text(text)
    monkeypatch.setenv("CALISR_PRESETS_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def make_app(tmp_path: Path) -> CalisrApp:
    return CalisrApp(output_dir=Path("runs"), config=tmp_path / "keys", preload=False)


async def start(pilot: Pilot[int], preset: str) -> Path:
    """By keys alone: open the preset and start it; gives its run directory."""
    await pilot.pause()
    await pilot.press("ctrl+o")
    await pilot.pause(0.2)
    await pilot.press(*preset, "enter")
    await pilot.pause(0.2)
    await pilot.press("ctrl+r")
    await wait(pilot, lambda: isinstance(pilot.app.screen, LiveScreen | Question))
    (run_dir,) = Path("runs").iterdir()
    return run_dir


async def wait(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        await pilot.pause(0.05)
    raise AssertionError("waited in vain")


def footer(app: CalisrApp) -> set[str]:
    """The words of the footer."""
    return {
        each.binding.description
        for each in app.screen.active_bindings.values()
        if each.binding.show
    }


def focused_key(app: CalisrApp) -> str:
    """The setting whose field has the focus; "" for none."""
    fields = [each for each in app.screen.query(Field) if each.control is app.focused]
    return fields[0].info.key if fields else ""


def shown(app: CalisrApp) -> RunView:
    assert isinstance(app.screen, LiveScreen)
    return app.screen.view


def record(run_dir: Path) -> list[dict[str, Any]]:
    """The events without what depends on the clock or the place."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: clean(each)
                for key, each in value.items()
                if key not in PASSING and "second" not in key
            }
        return [clean(each) for each in value] if isinstance(value, list) else value

    lines = (run_dir / "events.jsonl").read_text().splitlines()
    events = [clean(json.loads(line)) for line in lines]
    kept = [event for event in events if event["type"] != "resources"]
    for event in kept:
        event.pop("seq", None)
    return kept


async def test_the_app_and_the_command_line_train_the_same_run(
    presets: Path, tmp_path: Path
) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        in_app = await start(pilot, "shortrun")
        await wait(pilot, lambda: not app.started.running)
        await wait(pilot, lambda: shown(app).state == "completed")
    assert run_command_line(["run", "shortrun", "--output-dir", "headless"]) == 0
    (headless,) = Path("headless").iterdir()
    assert record(in_app) == record(headless)
    kinds = {event["type"] for event in record(in_app)}
    assert {"stable_rank_sampled", "srs_evaluated", "evaluated", "completed"} <= kinds
    first, second = (load_file(run / "model" / "model.safetensors") for run in (in_app, headless))
    assert first.keys() == second.keys()
    assert all(first[name].equal(second[name]) for name in first)


async def test_quitting_while_it_trains_saves_what_was_reached(
    presets: Path, tmp_path: Path
) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        run_dir = await start(pilot, "longrun")
        await wait(pilot, lambda: shown(app).step > 5)
        await pilot.press("q")
        await pilot.pause(0.2)
        assert isinstance(app.screen, Question)
        assert app.started.running
        await pilot.press("enter")  # the first answer: stop and save
        await wait(pilot, lambda: not app.is_running)
    assert app.return_value == 75
    view = load_view(run_dir)
    assert view.state == "stopped"
    assert view.checkpoints[-1] == view.step


async def test_a_run_that_fails_is_told_and_the_app_goes_on(presets: Path, tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await start(pilot, "badrun")
        await wait(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("escape")
        await wait(pilot, lambda: isinstance(app.screen, LiveScreen))
        failure = shown(app).failure
        assert failure is not None
        assert "not a number" in failure.message
        assert failure.hint
        assert {"Edit settings", "Resume"} <= footer(app)
        await pilot.press("N")  # to the setup, at the field that the hint names
        await wait(pilot, lambda: focused_key(app) == "training.learning_rate")
        assert app.is_running


async def test_a_resume_shows_life_at_once(presets: Path, tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await start(pilot, "longrun")
        await wait(pilot, lambda: shown(app).step > 2)
        await pilot.press("s")
        await wait(pilot, lambda: not app.started.running and shown(app).state == "stopped")
        await pilot.pause()
        assert {"Resume", "Try", "Errors"} <= footer(app)
        await pilot.press("r")
        screen = app.screen
        assert isinstance(screen, LiveScreen)
        await wait(pilot, lambda: screen.state != "stopped")
        assert screen.state in ("loading", "running")
        assert "Resume" not in footer(app)
        await wait(pilot, lambda: screen.state == "running")
        await pilot.press("x")
        await wait(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("tab", "enter")
        await wait(pilot, lambda: not app.started.running)


async def test_a_run_whose_model_is_gone_stays_as_it_was(presets: Path, tmp_path: Path) -> None:
    app = make_app(tmp_path)
    model = next(tmp_path.rglob("model.safetensors")).parent
    async with app.run_test(size=(80, 24)) as pilot:
        await start(pilot, "longrun")
        await wait(pilot, lambda: shown(app).step > 2)
        await pilot.press("s")
        await wait(pilot, lambda: not app.started.running and shown(app).state == "stopped")
        run_dir = next((tmp_path / "runs").iterdir())
        log = (run_dir / "events.jsonl").read_bytes()
        away = model.rename(tmp_path / "away")
        await pilot.press("r")
        await wait(pilot, lambda: isinstance(app.screen, Reading))
        said = "".join(str(app.screen.query_one(".dialog-text", Static).visual).split())
        assert str(model) in said, said
        await pilot.press("escape")
        await wait(pilot, lambda: getattr(app.screen, "state", "") == "stopped")
        assert "Resume" in footer(app)
        assert (run_dir / "events.jsonl").read_bytes() == log
        away.rename(model)
        await pilot.press("r")
        await wait(pilot, lambda: app.started.running)
        app.started.save_and_wait()


async def test_memory_that_runs_out_is_told_with_a_hint(
    presets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from calisr_engine.training import step

    def too_large(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(step, "forward_loss", too_large)
    app = make_app(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await start(pilot, "shortrun")
        await wait(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("escape")
        await wait(pilot, lambda: isinstance(app.screen, LiveScreen))
        failure = shown(app).failure
        assert failure is not None
        assert "batch_size" in failure.hint


class Terminal:
    """The real program in a pseudo-terminal, driven by keys."""

    def __init__(self, *arguments: str) -> None:
        self.output = b""
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLUMNS="120", LINES="40")
            os.execv(sys.executable, [sys.executable, "-m", "calisr_tui", *arguments])

    def press(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())

    def wait(self, condition: Callable[[], bool], limit: float = 90.0) -> None:
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, self.output[-2000:]
            self.read(0.05)

    def read(self, seconds: float) -> None:
        ready, _, _ = select.select([self.descriptor], [], [], seconds)
        if ready:
            try:
                self.output += os.read(self.descriptor, 1 << 16)
            except OSError:  # how a pseudo-terminal says that nobody writes any more
                time.sleep(seconds)

    def settle(self) -> None:
        """Read until nothing new comes."""
        before = -1
        while len(self.output) > before:
            before = len(self.output)
            self.read(0.4)

    def end(self) -> int:
        """Wait for the program's end; gives its exit status, negative for a signal."""
        status: list[int] = []

        def ended() -> bool:
            pid, found = os.waitpid(self.pid, os.WNOHANG)
            status.extend([found] if pid else [])
            return bool(pid)

        self.wait(ended)
        return os.waitstatus_to_exitcode(status[0])


def begin(preset: str) -> tuple[Terminal, Path]:
    """The app in a terminal with a run of the preset in training."""
    terminal = Terminal("--output-dir", "runs")
    terminal.wait(lambda: b"of 5" in terminal.output)
    terminal.press("\x0f")  # Ctrl-O
    terminal.settle()
    terminal.press(preset)
    terminal.settle()
    terminal.press("\r")
    terminal.settle()
    terminal.press("\x12")  # Ctrl-R
    terminal.wait(lambda: any(Path("runs").glob("*/events.jsonl")))
    (run_dir,) = Path("runs").iterdir()
    terminal.wait(lambda: load_view(run_dir).step > 3)
    return terminal, run_dir


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM"])
@pytest.mark.slow
def test_a_signal_saves_the_run(presets: Path, name: str) -> None:
    """The terminal goes away, or the system ends the program: nobody is there to ask."""
    terminal, run_dir = begin("longrun")
    os.kill(terminal.pid, getattr(signal, name))
    terminal.end()
    view = load_view(run_dir)
    assert view.state == "stopped"
    assert view.checkpoints[-1] == view.step


def test_ctrl_c_asks_and_leaves_the_terminal_clean(presets: Path) -> None:
    terminal, run_dir = begin("longrun")
    terminal.press("\x03")
    terminal.wait(lambda: b"Quit while training" in terminal.output)
    assert load_view(run_dir).state == "running"
    terminal.press("\r")
    assert terminal.end() == 75
    terminal.read(0.2)
    alternate, mouse = b"\x1b[?1049l", b"\x1b[?1000l"
    assert alternate in terminal.output
    assert mouse in terminal.output
    after = terminal.output.rpartition(alternate)[2]
    assert b"calisr resume" in after
    assert b"Traceback" not in after
    assert load_view(run_dir).state == "stopped"
