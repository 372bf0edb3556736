"""Setup by keys alone, and the recorded run."""

from pathlib import Path

import pytest

from calisr_tui.app import CalisrApp
from calisr_tui.live.replay import ReplayScreen
from calisr_tui.live.screen import LiveScreen
from calisr_tui.screens.setup import STEPS, SetupScreen


def app(tmp_path: Path) -> CalisrApp:
    return CalisrApp(output_dir=tmp_path / "runs", config=tmp_path / "keys", preload=False)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_enter_goes_through_the_steps_and_starts_the_demo(
    tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Path] = []
    monkeypatch.setattr(
        CalisrApp, "start_training", lambda self, run_dir, detached=False: started.append(run_dir)
    )
    setup_app = app(tmp_path)
    async with setup_app.run_test(size=size) as pilot:
        await pilot.pause()
        assert isinstance(setup_app.screen, SetupScreen)
        for index in range(len(STEPS)):
            assert setup_app.screen.step == index
            await pilot.press("enter")
            await pilot.pause()
        assert len(started) == 1
        assert (started[0] / "config.toml").is_file()


async def test_what_cannot_be_combined_is_told_and_not_started(tmp_path: Path) -> None:
    setup_app = app(tmp_path)
    async with setup_app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        screen = setup_app.screen
        assert isinstance(screen, SetupScreen)
        screen._change("method.name", "adapter")
        assert screen.problem is not None
        await pilot.press("ctrl+r")
        assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


async def test_the_recorded_run_replays(tmp_path: Path) -> None:
    replay_app = app(tmp_path)
    async with replay_app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.press("f6")
        await pilot.pause(0.6)
        assert isinstance(replay_app.screen, ReplayScreen)
        assert isinstance(replay_app.screen, LiveScreen)
        assert replay_app.screen.feed is not None
