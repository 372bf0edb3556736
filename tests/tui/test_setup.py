"""Setup by keys alone, and the recorded run; `test_real_runs` starts runs with the whole check."""

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import OptionList, Static

from calisr_engine.config.load import from_resolved, load
from calisr_engine.forecast import before_start
from calisr_engine.grid import expand_grid
from calisr_engine.tasks import glue
from calisr_tui.app import CalisrApp
from calisr_tui.form import STEPS
from calisr_tui.live.replay import ReplayScreen
from calisr_tui.live.screen import LiveScreen
from calisr_tui.screens import file_picker
from calisr_tui.screens.file_picker import FilePicker
from calisr_tui.screens.grid import GridScreen
from calisr_tui.screens.setup import SetupScreen
from calisr_tui.started import StartedRuns
from calisr_tui.widgets.fields import Field
from calisr_tui.widgets.paths import Entry, Wanted
from tests.tasks.test_hub_parquet import cache, stored
from tests.tui.example import light_checks, settle, type_keys
from tests.tui.test_draft import reviews

__all__ = ["cache", "light_checks", "reviews"]


def app(tmp_path: Path) -> CalisrApp:
    return CalisrApp(output_dir=tmp_path / "runs", config=tmp_path / "keys", preload=False)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Run directories that would train now."""
    found: list[Path] = []
    monkeypatch.setattr(
        CalisrApp, "start_training", lambda self, run_dir, detached=False: found.append(run_dir)
    )
    return found


both_sizes = pytest.mark.parametrize(
    "size", [(80, 24), pytest.param((120, 40), marks=pytest.mark.slow)]
)


async def press(pilot: Pilot[int], *keys: str) -> SetupScreen:
    await type_keys(pilot, *keys)
    screen = pilot.app.screen_stack[0]
    assert isinstance(screen, SetupScreen)
    return screen


@pytest.mark.usefixtures("light_checks")
@both_sizes
async def test_enter_goes_through_the_steps_and_starts_the_demo(
    tmp_path: Path, size: tuple[int, int], started: list[Path]
) -> None:
    async with app(tmp_path).run_test(size=size) as pilot:
        for step in STEPS:
            assert (await press(pilot)).page == step
            await press(pilot, "enter")
    (run_dir,) = started
    config = from_resolved(run_dir / "config.toml")
    chosen = ["method.name=lora", "calibration.variant=S", f"output.dir={tmp_path / 'runs'}"]
    assert config == load(None, chosen).config


@pytest.mark.usefixtures("light_checks")
async def test_one_file_becomes_a_run_by_keys_alone(
    reviews: Path, tmp_path: Path, started: list[Path]
) -> None:
    async with app(tmp_path).run_test(size=(80, 24)) as pilot:
        screen = await press(pilot, "enter", "down", "enter")
        assert screen.page == "data"
        # Start goes to the field that is missing, whatever is seen; nothing is made.
        await press(pilot, "escape", "ctrl+r")
        assert screen.page == "data"
        assert screen.focused is not None
        assert "no data is named yet" in problem(screen)
        await press(pilot, "r", "e", "tab")
        assert "450 rows to train, 50 rows to validate" in text_of(screen)
        assert problem(screen) == ""
        # The list of columns: the shop is one value all through, which cannot be a label.
        await press(pilot, "down", "down", "down", "ctrl+l", "up", "enter")
        assert "all 500 rows have the label" in problem(screen)
        await press(pilot, "enter")
        assert screen.page == "data"
        await press(pilot, "ctrl+n", "ctrl+n", "ctrl+n", "ctrl+r")
        assert screen.page == "data"
        assert started == []
        assert not (tmp_path / "runs").exists()
        await press(pilot, "right")
        assert problem(screen) == ""
        # A mistake in a folded setting opens the fold.
        screen.draft.change("training.adam_beta1", "2")
        await press(pilot, "ctrl+r")
        assert screen.page == "training"
        assert "expected a number of at least 0 and below 1" in problem(screen)
        await press(pilot, "backspace", "ctrl+r")
        (run_dir,) = started
    task = from_resolved(run_dir / "config.toml").task
    assert (task.text_column, task.label_column, task.kind) == (
        "review",
        "verdict",
        "classification",
    )
    assert task.train_file == reviews.absolute()


def problem(screen: SetupScreen) -> str:
    """What is said below the field that has the focus."""
    assert screen.focused is not None
    field = next(each for each in screen.focused.ancestors if isinstance(each, Field))
    below = field.query_one(".field-problem", Static)
    return str(below.render()) if below.display else ""


def text_of(screen: Screen[Any]) -> str:
    return "\n".join(strip.text for strip in screen._compositor.render_strips())


@pytest.mark.usefixtures("light_checks")
@both_sizes
async def test_two_marked_fields_become_a_grid_of_four_runs(
    tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    commands: list[list[str]] = []
    monkeypatch.setattr(
        StartedRuns, "start_grid", lambda self, name, folder, words: commands.append(words)
    )
    grids = CalisrApp(output_dir=Path("runs"), config=tmp_path / "keys", preload=False)
    async with grids.run_test(size=size) as pilot:
        screen = await press(pilot, *["enter"] * 3, "tab", "ctrl+y", *"0.7", "ctrl+n")
        await press(pilot, *["down"] * 4, "ctrl+y", *["backspace"] * 4, *"0..1x", "ctrl+r")
        assert "0..1x is no range of numbers" in problem(screen)
        assert not Path("runs").exists()
        await press(pilot, "backspace")
        assert "2 × 2 = 4 runs" in text_of(screen)
        await press(pilot, "f8")
        file = Path("runs/demo-delta-seed/grid.toml")
        assert grids.clipboard == f"calisr grid run {file} --output-dir runs"
        assert len(expand_grid(file).runs) == 4
        shutil.rmtree("runs")
        # Nobody wants it: nothing is left. Then somebody does.
        await press(pilot, "ctrl+r")
        assert "4 runs to train" in text_of(grids.screen)
        await press(pilot, "escape")
        assert not list(Path("runs").iterdir())
        await type_keys(pilot, "ctrl+r", "enter")
        await settle(pilot)
        (words,) = commands
        assert words[-7:] == ["grid", "run", str(file), "--output-dir", "runs", "--jobs", "1"]
        assert isinstance(grids.screen, GridScreen)
        assert grids.screen.reading is not None
        assert len(grids.screen.reading.grid.runs) == 4


@pytest.mark.usefixtures("light_checks")
async def test_lines_of_a_list_are_marked_and_the_same_key_takes_them_back(tmp_path: Path) -> None:
    async with app(tmp_path).run_test(size=(80, 24)) as pilot:
        screen = await press(pilot, "enter", "enter", "up", "ctrl+y", *["down"] * 3, "ctrl+y")
        assert screen.draft.marked == {"method.name": "fft, mpop"}
        assert screen.draft.method == "fft"
        assert "≡ mpop" in text_of(screen)
        await press(pilot, *["up"] * 3, "ctrl+y")
        assert screen.draft.method == "mpop"
        await press(pilot, "enter", "tab", "ctrl+y")
        assert set(screen.draft.marked) == {"method.name", "calibration.delta"}
        await press(pilot, "f10")
        assert screen.draft.marked == {}
        assert screen.draft.method == "fft"
        # Own data is one for all runs.
        await press(pilot, "escape", "escape", "down", "ctrl+y")
        assert screen.draft.marked == {}


@pytest.mark.usefixtures("light_checks")
async def test_a_data_set_of_the_hub_is_read_with_enter_and_its_splits_are_listed(
    cache: Path, tmp_path: Path, started: list[Path]
) -> None:
    sides = {"train": 60, "dev": 20, "test": 8}
    files = {f"{name}-00000-of-00001.parquet": range(rows) for name, rows in sides.items()}
    stored(cache, "owner/reviews", files)
    async with app(tmp_path).run_test(size=(80, 40)) as pilot:
        screen = await press(pilot, "enter", "down", "enter", "down", "enter", "down")
        await press(pilot, *"owner/reviewz", "enter")
        assert "is not here: the hub is turned off" in problem(screen)
        await press(pilot, "backspace", "s", "enter")
        assert screen.page == "data"
        assert "60 rows to train, 20 rows to validate" in text_of(screen)
        assert "validation file" not in text_of(screen)
        await press(pilot, "down", *"tran", "enter")
        assert "did you mean train? splits: dev, test, train" in problem(screen)
        await press(pilot, *["backspace"] * 4, "enter")  # reads it again: the list is of its splits
        await press(pilot, "down", "ctrl+l", "up", "up", "enter")
        assert screen.draft.changes["task.validation_split"] == "test"
        assert "60 rows to train, 8 rows to validate" in text_of(screen)
        await press(pilot, "ctrl+r")
        (run_dir,) = started
    task = from_resolved(run_dir / "config.toml").task
    assert (task.dataset, task.train_split, task.validation_split) == (
        "owner/reviews",
        None,
        "test",
    )


@pytest.mark.usefixtures("light_checks")
async def test_files_are_picked_by_typing_and_folders_by_going_through(
    reviews: Path, tmp_path: Path
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "dev.csv").touch()
    (tmp_path / "deep" / "other.txt").touch()
    async with app(tmp_path).run_test(size=(80, 24)) as pilot:
        screen = await press(pilot, "enter", "down", "enter", "ctrl+l")
        picker = pilot.app.screen
        assert isinstance(picker, FilePicker)
        await press(pilot, "d", "e", "e", "enter")
        names = [option.id for option in picker.query_one(OptionList).options]
        assert names == ["..", "dev.csv", "other.txt"]  # words with tags may be in .txt
        await press(pilot, "left", "r", "e", "v", "enter")
        assert screen.draft.changes["task.train_file"] == "reviews.csv"
        assert screen.draft.good


@pytest.mark.usefixtures("light_checks")
async def test_enter_waits_for_a_folder_that_is_slow_to_read(
    reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the list is of the folder before, whose files are not in this one."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "dev.csv").touch()
    entries, may_end = file_picker.entries, threading.Event()

    def slow(folder: str, wanted: Wanted) -> list[Entry]:
        if folder == str(tmp_path):
            may_end.wait(30)
        return entries(folder, wanted)

    async with app(tmp_path).run_test(size=(80, 24)) as pilot:
        screen = await press(pilot, "enter", "down", "enter", "ctrl+l")
        picker = pilot.app.screen
        await press(pilot, "d", "e", "e", "enter")
        monkeypatch.setattr(file_picker, "entries", slow)
        for key in ("left", "r", "e", "v", "enter"):
            pilot.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await pilot.pause(0.5)
        assert pilot.app.screen is picker
        may_end.set()
        await settle(pilot)
        assert screen.draft.changes["task.train_file"] == "reviews.csv"


@pytest.mark.usefixtures("light_checks")
async def test_keys_that_come_faster_than_pages_change_are_not_lost(
    reviews: Path, tmp_path: Path
) -> None:
    async with app(tmp_path).run_test(size=(80, 24)) as pilot:
        first = ["enter", "down", "enter", *"rev", "tab", "escape", "down", "enter"]
        screen = await press(pilot, *first, "down", "down", "enter", "ctrl+n", "9")
        assert screen.page == "training"
        assert screen.draft.task == glue.names()[0]
        assert screen.draft.method == "mpop"
        assert screen.draft.changes["task.train_file"] == "reviews.csv"
        assert screen.draft.changes["training.epochs"] == "9"


@pytest.mark.usefixtures("light_checks")
async def test_a_check_that_ends_late_starts_nothing(
    reviews: Path, tmp_path: Path, started: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enter before the data is read goes on once it is, not once all is checked; and not twice."""
    look, may_end = before_start.look, threading.Event()

    def slow(*given: Any, **named: Any) -> before_start.Checked:
        may_end.wait(30)
        return look(*given, **named)

    monkeypatch.setattr(before_start, "look", slow)
    async with app(tmp_path).run_test(size=(80, 24)) as pilot:

        async def come_to(page: str, *keys: str) -> None:
            for key in keys:
                pilot.app.post_message(events.Key(key, key if len(key) == 1 else None))
            for _ in range(1000):
                if screen.page == page:
                    return
                await pilot.pause(0.01)
            raise AssertionError(f"at {screen.page}, not at {page}")

        screen = await press(pilot, "enter", "down", "enter")
        await come_to("method", *"rev", "tab", "enter")
        await come_to("training", "enter", "enter")
        may_end.set()
        await settle(pilot)
        assert screen.page == "training"
        assert started == []
        await press(pilot, "enter")
    assert len(started) == 1


async def test_the_recorded_run_replays(tmp_path: Path) -> None:
    replay_app = app(tmp_path)
    async with replay_app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.press("f6")
        await pilot.pause(0.6)
        assert isinstance(replay_app.screen, ReplayScreen)
        assert isinstance(replay_app.screen, LiveScreen)
        assert replay_app.screen.feed is not None
