"""A damaged run through the app: the runs screen, the live screen, a replay, a comparison."""

from __future__ import annotations

from pathlib import Path

from calisr_tui.app import CalisrApp
from tests.events.readers import WHOLE


async def through_the_app(root: Path, run: Path) -> None:
    """Open every screen that reads runs; any exception in the app is raised here."""
    app = CalisrApp(None, None, None, root, preload=False, config=root.parent / "keys")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f4")
        await pilot.pause(0.2)
        await pilot.press("down", "up", "slash", *"dam", "enter", "escape")
        app.open_run(run)
        await pilot.pause(0.4)
        await pilot.press(*"12345678", "f", "f", "c", "right", "l", "m", "g", "i", "escape", "t")
        await pilot.pause(0.1)
        await pilot.press("escape", "escape")
        app.open_replay(run)
        await pilot.pause(0.3)
        await pilot.press("end", "home", "right", "left", "n", "space", "i", "escape")
        app.chosen_runs = [root / WHOLE, run]
        app.action_jump("compare")
        await pilot.pause(0.3)
        await pilot.press("m", "m", "m", "d")
        for place in ("grid", "runs"):
            app.action_jump(place)
            await pilot.pause(0.2)
        await app.workers.wait_for_complete([each for each in app.workers if each.is_running])
        await pilot.resize_terminal(80, 24)
        app.show_settings(run)
        await pilot.pause(0.1)
        assert app.is_running
