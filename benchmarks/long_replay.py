"""Memory of the app while it replays, and while it follows, a run of an hour, each second drawn.

    python benchmarks/long_replay.py --out results/long-replay.md

The log is the recorded run of the package, stretched to an hour with two progress lines a second.
The app's clock is turned by hand: 4 looks a second as in use, without the waiting between them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import tempfile
from pathlib import Path

import psutil
from calisr_tui.screens.live import LiveScreen
from calisr_tui.screens.replay import ReplayScreen
from machine import describe, heading

from calisr_tui.app import EXAMPLE, TICK, CalisrApp

PROGRESS_A_SECOND = 2


def stretched(folder: Path, seconds: int) -> Path:
    """The recorded run, its events spread over `seconds`, with a progress line each half second."""
    folder.mkdir()
    (folder / "config.toml").write_bytes((EXAMPLE / "config.toml").read_bytes())
    records = [json.loads(line) for line in (EXAMPLE / "events.jsonl").read_text().splitlines()]
    start, end = records[0]["time"], records[-1]["time"]
    total = next(r["total_steps"] for r in records if r["type"] == "run_started")
    factor = seconds * 10 // total
    pattern = next(r for r in records if r["type"] == "progress")
    lines = []
    for record in records:
        if record["type"] == "progress":
            continue
        record["time"] = start + (record["time"] - start) * seconds / (end - start)
        record["step"] *= factor
        if record["type"] == "run_started":
            record["total_steps"] *= factor
        lines.append(record)
    steps = total * factor
    for number in range(seconds * PROGRESS_A_SECOND):
        part = number / (seconds * PROGRESS_A_SECOND)
        moved = {"time": start + 1 + part * (seconds - 2), "step": int(part * steps)}
        lines.append({**pattern, **moved, "loss": 0.7 - 0.4 * part + 0.05 * (number % 7) / 7})
    lines.sort(key=lambda record: record["time"])
    with (folder / "events.jsonl").open("w") as file:
        for number, record in enumerate(lines):
            file.write(json.dumps({**record, "seq": number}, separators=(",", ":")) + "\n")
    return folder


def resident() -> float:
    """MiB of this process, garbage swept."""
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 2**20


async def replayed(run: Path, seconds: int, marks: int) -> list[float]:
    """Resident memory at `marks` moments of the replay at its own speed."""
    now = 0.0
    app = CalisrApp(replay=run, preload=False, config=run / "none", clock=lambda: now)
    found = []
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(1.0)
        screen = app.screen
        assert isinstance(screen, ReplayScreen)
        screen.speed = 1.0
        ticks = int(seconds / TICK)
        for tick in range(ticks):
            now += TICK
            app._tick()
            await asyncio.sleep(0)
            if tick % 4 == 0:
                await pilot.pause()
            if tick % (ticks // marks) == ticks // marks - 1:
                found.append(resident())
        assert screen.recording is not None
        assert screen.recording.position > 0.98 * screen.recording.duration
    return found


async def followed(run: Path, marks: int) -> list[float]:
    """Resident memory while the log grows line by line under the live screen."""
    lines = (run / "events.jsonl").read_bytes().splitlines(keepends=True)
    growing = run.parent / "growing"
    growing.mkdir()
    app = CalisrApp(run_dir=growing, preload=False, config=run / "none")
    found = []
    with (growing / "events.jsonl").open("wb", buffering=0) as file:
        file.write(b"".join(lines[:3]))
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause(0.5)
            for number, line in enumerate(lines[3:]):
                file.write(line)
                if number % PROGRESS_A_SECOND == 0:
                    app._tick()
                    await pilot.pause()
                if number % (len(lines) // marks) == len(lines) // marks - 1:
                    found.append(resident())
            assert isinstance(app.screen, LiveScreen)
            assert app.screen.view.step == json.loads(lines[-1])["step"]
    return found


def shown(values: list[float]) -> str:
    return ", ".join(f"{value:.0f}" for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = stretched(Path(folder) / "hour", arguments.seconds)
        size = (run / "events.jsonl").stat().st_size / 1e6
        replay = asyncio.run(replayed(run, arguments.seconds, 12))
        follow = asyncio.run(followed(run, 12))
    text = (
        heading("Memory of the app in an hour-long run", describe(1, [42]))
        + f"\nA log of {arguments.seconds} seconds ({size:.1f} MB), every second of it drawn at "
        "120 x 40; resident memory in MiB at twelve moments, garbage swept first.\n\n"
        f"- Replayed at its own speed: {shown(replay)}; last against second "
        f"{replay[-1] - replay[1]:+.1f} MiB (it keeps up to 24 copies of its view, to go back).\n"
        f"- Followed as it grows: {shown(follow)}; last against second "
        f"{follow[-1] - follow[1]:+.1f} MiB.\n"
    )
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
