"""Make the pictures of this folder from the recorded run: python docs/make_screenshots.py"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from calisr_tui.app import EXAMPLE, CalisrApp

HERE = Path(__file__).parent

PICTURES: dict[str, tuple[dict[str, Any], tuple[int, int], list[str]]] = {
    "live": ({"replay": EXAMPLE}, (120, 40), ["end"]),
    "live-80x24": ({"replay": EXAMPLE}, (80, 24), ["end"]),
    "explanation": ({"replay": EXAMPLE}, (120, 40), ["end", "i"]),
    "setup": ({}, (120, 40), ["enter", "enter", "enter"]),
    "help": ({"replay": EXAMPLE}, (120, 40), ["f1"]),
}


async def picture(name: str) -> None:
    options, size, keys = PICTURES[name]
    with tempfile.TemporaryDirectory() as folder:
        app = CalisrApp(output_dir=Path("runs"), config=Path(folder), preload=False, **options)
        async with app.run_test(size=size) as pilot:
            await pilot.pause(0.3)
            for key in keys:
                await pilot.press(key)
                await pilot.pause(0.2)
            await pilot.pause(0.5)
            (HERE / f"{name}.svg").write_text(app.export_screenshot(), encoding="utf-8")


async def main() -> None:
    for name in PICTURES:
        await picture(name)


if __name__ == "__main__":
    asyncio.run(main())
