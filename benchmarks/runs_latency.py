"""The list of runs with 5,000 of them: from a key to the screen, while filtering, sorting, moving.

    python benchmarks/runs_latency.py --out results/runs-latency.md

The runs are copies of the recorded run of the package with settings, seeds and results of their
own; 200 of them were interrupted. The app runs in a pseudo-terminal of 120 x 40 and is driven by
keys like by a person. After each key, the time to the first byte of the new screen and to the last
one is taken, the last before 60 ms of silence. The curves of the run under the cursor follow when
it has rested for a moment; they are timed apart, from the key to their last byte.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

from app_latency import Terminal
from machine import describe, heading

from calisr_engine.runs import store
from calisr_tui.feed import EXAMPLE
from calisr_tui.widgets.run_curves import SETTLE_SECONDS

QUIET = 0.06
FILTERS = ("best>0.8 lr=3e-4 ", "method=lora,mpop ", "-tag:x run-12 ", "rank=8 seed<4000 ")


def make_runs(root: Path, count: int) -> None:
    """Runs with settings of their own, most of them complete."""
    draw = random.Random(1)
    first, *rest = (EXAMPLE / "events.jsonl").read_text().splitlines()
    config = (EXAMPLE / "config.toml").read_bytes()
    for number in range(count):
        said = json.loads(first)
        said["time"] += number
        said["config"]["training"]["seed"] = number
        said["config"]["training"]["learning_rate"] = draw.choice([1e-4, 3e-4, 5e-4])
        said["config"]["method"]["name"] = draw.choice(["lora", "mpop", "bitfit"])
        said["config"]["task"]["name"] = draw.choice(["rte", "cola", "mrpc"])
        last = json.loads(rest[-1])
        last["summary"]["best"] = draw.random()
        folder = root / f"run-{number:04}"
        folder.mkdir(parents=True)
        lines = [json.dumps(said), *rest[:-1], *([json.dumps(last)] if number % 25 else [])]
        (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
        (folder / "config.toml").write_bytes(config)


def press(terminal: Terminal, key: str) -> tuple[float, float]:
    """Seconds from a key to the first and to the last byte that follow it."""
    terminal.settle(0.2, 5)
    began = last = time.monotonic()
    terminal.press(key)
    first = None
    while True:
        wait = 2.0 if first is None else QUIET
        if not terminal.read(wait):
            break
        last = time.monotonic()
        first = first or last
    return (first or last) - began, last - began


def share(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def row(what: str, taken: list[tuple[float, float]]) -> str:
    cells = [
        f"{1000 * of(values):.0f}"
        for values in zip(*taken, strict=True)
        for of in (statistics.median, lambda v: share(v, 0.99), max)
    ]
    return f"| {what} | {len(taken)} | {' | '.join(cells)} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--keys", type=int, default=120)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "runs"
        os.environ["XDG_CONFIG_HOME"] = name
        make_runs(root, arguments.runs)
        began = time.monotonic()
        store.list_runs(root)
        first = time.monotonic() - began
        began = time.monotonic()
        store.list_runs(root)
        later = time.monotonic() - began
        terminal = Terminal(["--output-dir", str(root)])
        terminal.settle(1.0)
        terminal.press("\x1bOS")
        seen = b""
        while f"of {arguments.runs:,}".encode() not in seen:
            seen += terminal.read(1.0)
        terminal.settle(1.0)
        rows = ""
        typed = []
        for number in range(arguments.keys):
            text = FILTERS[number // 17 % len(FILTERS)]
            if number % 17 == 0:
                terminal.press("\x1b")
                terminal.settle(0.3)
                terminal.press("/")
            typed.append(press(terminal, text[number % len(text)]))
        terminal.press("\x1b")
        rows += row("a letter of a filter", typed)
        terminal.settle(0.5)
        rows += row(
            "sort by the next column", [press(terminal, "s") for _ in range(arguments.keys)]
        )
        rows += row("the other way round", [press(terminal, "S") for _ in range(arguments.keys)])
        moved = []
        for _ in range(arguments.keys):
            moved.append(press(terminal, "\x1b[B"))
        rows += row("to the next run", [(first_, first_) for first_, _ in moved])
        rows += row("its curves", [(last, last) for _, last in moved if last > SETTLE_SECONDS])
        terminal.press("g")
        terminal.settle(0.5)
        terminal.press("task\r")
        terminal.settle(0.5)
        terminal.press("\x1b")
        terminal.settle(0.5)
        terminal.press("\x1b[H")
        folds = [press(terminal, "\r") for _ in range(arguments.keys // 2)]
        rows += row("fold and unfold a group", folds)
        terminal.press("\x03")
        terminal.drain_until(lambda: os.waitpid(terminal.pid, os.WNOHANG)[0] != 0, 20)
    text = (
        heading(f"The list of runs with {arguments.runs:,} of them", describe(1, [1]))
        + f"\nListed in {first:.2f} s the first time, {later:.2f} s with the index. "
        "Milliseconds from a key to the first byte of the new screen, and to the last:\n\n"
        "| key | times | first: median | p99 | longest | last: median | p99 | longest |\n"
        "|---|---|---|---|---|---|---|---|\n"
        f"{rows}\nThe curves wait {1000 * SETTLE_SECONDS:.0f} ms for the cursor to rest, which "
        f"their times include.\nLoad average before: {load:.2f}, after: {os.getloadavg()[0]:.2f}, "
        f"on {os.cpu_count()} cores.\n"
    )
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
