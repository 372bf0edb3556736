"""The terminal app while a real run trains in it: key to screen, speed of training, first paint.

    python benchmarks/app_latency.py --out results/app-latency.md

The app runs in a pseudo-terminal, driven by keys like by a person. Latency: the display is frozen
(so that nothing but a key changes the screen), then a key moves to the next group, and the time
until the first byte of the new screen is taken. Speed: seconds a step of the same run in the app
and headless, in turns.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import Any

from machine import describe, heading

from calisr_engine.runs import load_view


class Terminal:
    """The app in a pseudo-terminal of 120 x 40."""

    def __init__(self, arguments: list[str]) -> None:
        self.began = time.monotonic()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLUMNS="120", LINES="40")
            os.execvp(sys.executable, [sys.executable, "-m", "calisr_tui", *arguments])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

    def read(self, seconds: float) -> bytes:
        """What comes within `seconds`; stops at the first piece."""
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return b""
        try:
            return os.read(self.fd, 1 << 16)
        except OSError:
            return b""

    def settle(self, quiet: float, limit: float = 20.0) -> bytes:
        """Read until nothing comes for `quiet` seconds."""
        end, data = time.monotonic() + limit, b""
        while time.monotonic() < end:
            piece = self.read(quiet)
            if not piece:
                return data
            data += piece
        return data

    def press(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def drain_until(self, condition: Any, limit: float, pause: float = 0.05) -> bool:
        """Read on until the condition holds; it is looked at every `pause` seconds."""
        end, asked = time.monotonic() + limit, 0.0
        while time.monotonic() < end:
            self.read(pause)
            if time.monotonic() - asked >= pause:
                asked = time.monotonic()
                if condition():
                    return True
        return False

    def close(self) -> None:
        self.press("q")
        self.drain_until(lambda: os.waitpid(self.pid, os.WNOHANG)[0] != 0, 20)


def first_paint(arguments: list[str], word: bytes) -> float:
    """Seconds from the command to the first screen, whose title holds `word`."""
    terminal = Terminal(arguments)
    data = b""
    while word not in data and time.monotonic() - terminal.began < 20:
        data += terminal.read(0.5)
    took = time.monotonic() - terminal.began
    terminal.settle(0.5, 3)
    terminal.close()
    return took


def in_app(root: Path, keys: int) -> tuple[list[float], Path]:
    """(latencies, the run) of the app's first run, started by keys alone."""
    terminal = Terminal(["--output-dir", str(root)])
    terminal.settle(1.0)
    for _ in range(5):
        terminal.press("\r")
        terminal.settle(0.4, 5)
    terminal.drain_until(lambda: any(root.glob("*/events.jsonl")), 30)
    run = next(root.iterdir())
    terminal.drain_until(lambda: load_view(run).step > 20, 120)
    latencies: list[float] = []
    if keys:
        terminal.press("z")
        terminal.settle(0.3)
        for _ in range(keys):
            if load_view(run).state != "running":
                break
            terminal.settle(0.08, 5)
            began = time.monotonic()
            terminal.press("g")
            if terminal.read(2.0):
                latencies.append(time.monotonic() - began)
        terminal.press("z")
    terminal.drain_until(lambda: ended(run), 600, pause=0.5)
    terminal.close()
    return latencies, run


def ended(run: Path) -> bool:
    """Whether the run's last event is there. Reads little: it shares the machine with the run."""
    with (run / "events.jsonl").open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
        last = file.read()
    return any(f'"type":"{kind}"'.encode() in last for kind in ("completed", "failed", "stopped"))


def headless(like: Path, root: Path) -> Path:
    """A run with the settings of the run `like`, without the app."""
    what = [str(like / "config.toml"), "--quiet", "--output-dir", str(root)]
    subprocess.run(
        [sys.executable, "-m", "calisr_tui", "run", *what], check=True, capture_output=True
    )
    return next(root.iterdir())


def summary_of(run: Path) -> dict[str, Any]:
    summary = load_view(run).summary
    assert summary is not None, run
    return summary


def slower_by(app: Path, alone: Path) -> float:
    """By what share a step took longer in the app; both must have trained the same."""
    one, other = summary_of(app), summary_of(alone)
    same = ("steps", "best", "switched")
    assert [one[key] for key in same] == [other[key] for key in same], (app, alone)
    return float(one["seconds"] / other["seconds"]) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        starts = {
            "setup": (["--output-dir", str(root / "none")], b"of 5"),
            "recorded run": (["replay", "--example"], b"Switch timeline"),
        }
        paints = {name: [first_paint(*how) for _ in range(7)] for name, how in starts.items()}
        latencies, first = in_app(root / "latency", arguments.keys)
        slower = []
        for turn in range(arguments.turns):
            alone = headless(first, root / f"headless-{turn}")
            slower.append(slower_by(in_app(root / f"app-{turn}", 0)[1], alone))
    latencies.sort()
    text = (
        heading("The terminal app while a run trains in it", describe(1, [42]))
        + "\nThe app's first run (packaged BERT, LoRA, CaliSr-S, the demo's task) on the CPU, one "
        "thread, terminal 120 x 40.\n\n"
        + "".join(
            f"- From the command to the first paint ({name}), {len(taken)} starts: median "
            f"{statistics.median(taken):.2f} s, longest {max(taken):.2f} s.\n"
            for name, taken in paints.items()
        )
        + f"- Key press to changed screen, {len(latencies)} keys while it trains: median "
        f"{statistics.median(latencies) * 1000:.0f} ms, 99th percentile "
        f"{latencies[min(len(latencies) - 1, int(0.99 * len(latencies)))] * 1000:.0f} ms, longest "
        f"{latencies[-1] * 1000:.0f} ms.\n"
        f"- Seconds a step in the app against headless, {len(slower)} turns: "
        f"{', '.join(f'{s:+.1%}' for s in slower)}; median {statistics.median(slower):+.1%}.\n"
    )
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
