"""Make the pictures of this folder from the recorded run: python docs/make_screenshots.py

The pictures of the grid and the study are taken while a small one trains (demo model and task,
some minutes). Names of pictures as arguments make those only.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from calisr_engine.errors import CalisrError
from calisr_engine.grid import expand_grid
from calisr_engine.grid.executors import LocalExecutor
from calisr_engine.grid.train import cancel_grid, train_grid
from calisr_engine.tune.reading import StudyReader
from calisr_tui.app import CalisrApp
from calisr_tui.feed import EXAMPLE
from calisr_tui.screens.grid import GridScreen
from calisr_tui.screens.study import StudyScreen

HERE = Path(__file__).parent

PICTURES: dict[str, tuple[dict[str, Any], tuple[int, int], list[str]]] = {
    "live": ({"replay": EXAMPLE}, (120, 40), ["home", *"nnnn", "right", "right", "right"]),
    "live-80x24": ({"replay": EXAMPLE}, (80, 24), ["end"]),
    "explanation": ({"replay": EXAMPLE}, (120, 40), ["end", "i"]),
    "setup": ({}, (120, 40), ["enter", "down", "enter", *"reviews.csv", "down"]),
    "help": ({"replay": EXAMPLE}, (120, 40), ["f1"]),
}


def _write_reviews(path: Path) -> None:
    """Data of a user's own, for the setup."""
    words = (
        ("awful 😡", "bad"),
        ("lovely 😀", "good"),
        ("lukewarm", "bad"),
        ("fine, again", "good"),
    )
    rows = [
        f'{n},"Soup no. {n} was {words[n % 4][0]}",Pho {n % 7},{words[n % 4][1]}'
        for n in range(500)
    ]
    path.write_text("\n".join(["id,review,shop,verdict", *rows]) + "\n", encoding="utf-8")


async def picture(name: str) -> None:
    options, size, keys = PICTURES[name]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        _write_reviews(Path("reviews.csv"))
        app = CalisrApp(output_dir=Path("runs"), config=Path(folder), preload=False, **options)
        async with app.run_test(size=size) as pilot:
            await pilot.pause(0.3)
            for key in keys:
                await pilot.press(key)
                await pilot.pause(0.2)
            while not getattr(app.screen, "idle", True):
                await pilot.pause(0.1)
            await pilot.pause(0.5)
            (HERE / f"{name}.svg").write_text(app.export_screenshot(), encoding="utf-8")


GRID = """
[grid]
name = "first-grid"
title = "Two light methods, with and without calibration"
extends = "demo"

[settings]
"training.epochs" = 2
"task.max_train_examples" = 960
"output.export" = false
"output.predictions" = false

[axes]
"method.name" = ["lora", "mpop"]
"calibration.variant" = ["off", "S"]
"training.seed" = [1, 2, 3]

[[when]]
match = { "training.seed" = 2, "method.name" = "lora", "calibration.variant" = "S" }
set = { "model.name" = "no-such-folder/model" } # so that the picture has a failed run
"""


async def grid_picture() -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        file = Path("first-grid.toml")
        file.write_text(GRID)
        grid = expand_grid(file, Path("runs"))
        training = threading.Thread(target=train_grid, args=(grid, LocalExecutor(2)))
        training.start()
        while not grid.folder.is_dir():  # the screen opens the newest one
            await asyncio.sleep(0.1)
        app = CalisrApp("grid", output_dir=grid.folder.parent, config=Path(folder), preload=False)
        async with app.run_test(size=(120, 40)) as pilot:
            screen = None
            while training.is_alive():
                await pilot.pause(1)
                screen = app.screen
                if not isinstance(screen, GridScreen) or screen.reading is None:
                    continue
                table = screen.reading.table
                half = [run for run in table.runs if run.state == "running" and run.fraction > 0.3]
                if table.counts["completed"] >= 7 and half:
                    break
            else:
                raise SystemExit("the grid ended before its picture was taken")
            (HERE / "grid.svg").write_text(app.export_screenshot(), encoding="utf-8")
        cancel_grid(grid)
        training.join()


TUNE = (
    *("tune", "demo", "--search", "training.learning_rate=1e-5..1e-2", "--search"),
    *("method.rank=2..16:log", "--trials", "14", "--seeds", "2", "--name", "rates"),
    *("--set", "training.epochs=3", "--set", "task.max_train_examples=960"),
    *("--set", "output.export=false", "--set", "output.predictions=false", "--threads", "1"),
)


async def study_picture() -> None:
    """Of a search with a seed of its best settings done."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        training = subprocess.Popen([sys.executable, "-m", "calisr_tui", *TUNE])
        reader = StudyReader(Path("runs/rates"))
        while training.poll() is None:
            await asyncio.sleep(1)
            with contextlib.suppress(CalisrError):
                if reader.read().fresh:
                    break
        app = CalisrApp("study", output_dir=Path("runs"), config=Path(folder), preload=False)
        async with app.run_test(size=(120, 40)) as pilot:
            while not isinstance(app.screen, StudyScreen) or app.screen.reading is None:
                await pilot.pause(0.5)
            await pilot.press("b")
            await pilot.pause(1)
            (HERE / "study.svg").write_text(app.export_screenshot(), encoding="utf-8")
        training.terminate()
        training.wait()


async def main() -> None:
    wanted = sys.argv[1:] or [*PICTURES, "grid", "study"]
    trained = {"grid": grid_picture, "study": study_picture}
    for name in wanted:
        await (trained[name]() if name in trained else picture(name))


if __name__ == "__main__":
    asyncio.run(main())
