"""Opening a log of a million steps, a history of 5,000 runs, grids of 1,000.

    python benchmarks/many_runs.py --out results/many-runs.md

The logs are copies of the recorded run of the package; the long one repeats its progress lines. One
grid's runs are complete, the other's lack the last line, as runs do that were killed. Each command
is timed whole, with the start of Python; the median of three.

Nothing is kept beside a log: each opening of the long one reads all of it. The history is listed
without its index, and with it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from machine import describe, heading

from calisr_engine.events.types import FORMAT_VERSION
from calisr_engine.grid import expand_grid
from calisr_engine.runs import store
from calisr_engine.runs.index import INDEX
from calisr_tui.feed import EXAMPLE


def timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def opened(what: str, run: Path) -> str:
    """Seconds and peak memory of a process that opens a run as a screen does: median of three."""
    seconds, peaks = [], []
    for _ in range(3):
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, "-c", OPENING[what], str(run)])
        _, status, used = os.wait4(process.pid, 0)
        assert status == 0
        seconds.append(time.monotonic() - began)
        peaks.append(used.ru_maxrss / 1024)
    return f"{statistics.median(seconds):.2f} s, {statistics.median(peaks):.0f} MiB"


OPENING = {
    "show": "import sys; from calisr_engine.runs import load_view; load_view(sys.argv[1])",
    "live": "import sys; from pathlib import Path; from calisr_tui.feed import RunFeed; "
    "RunFeed(Path(sys.argv[1])).poll()",
    "replay": "import sys; from pathlib import Path; from calisr_tui.feed import ReplayFeed; "
    "ReplayFeed(Path(sys.argv[1])).advance(1.0)",
}


def command(*words: str, before: Callable[[], object] = lambda: None) -> str:
    """Seconds and CPU seconds of a `calisr` command: medians of three, each after `before`."""
    calls = []
    for _ in range(3):
        before()
        began, used = time.monotonic(), _cpu_of_children()
        subprocess.run(
            [sys.executable, "-m", "calisr_tui", *words], check=True, capture_output=True
        )
        calls.append((time.monotonic() - began, _cpu_of_children() - used))
    whole, cpu = (statistics.median(each) for each in zip(*calls, strict=True))
    return f"{whole:.2f} ({cpu:.2f})"


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def grid_rows(root: Path, log: bytes) -> str:
    """Markdown rows: plan, status and report of 1,000 runs, with the index and without."""
    seeds = ", ".join(map(str, range(250)))
    rows = ""
    for kind, content in {"complete": log, "unfinished": log[: log[:-1].rindex(b"\n") + 1]}.items():
        file = root / f"{kind}.toml"
        file.write_text(
            f'[grid]\nname = "{kind}"\nextends = "demo"\n[axes]\n'
            '"method.name" = ["lora", "mpop"]\n"calibration.variant" = ["D", "S"]\n'
            f'"training.seed" = [{seeds}]\n'
        )
        grid = expand_grid(file, root)
        for run in grid.runs:
            first, rest = content.split(b"\n", 1)
            said = json.loads(first) | {"config": run.resolved.config.model_dump(mode="json")}
            log_of_run = json.dumps(said).encode() + b"\n" + rest
            copy(grid.folder / run.run_id, log_of_run, run.resolved.to_toml().encode())
        index = grid.folder / INDEX
        for words in (("grid", "plan"), ("grid", "status"), ("report",)):
            whole = (*words, str(file), "--output-dir", str(root))
            without = command(*whole, before=lambda index=index: index.unlink(missing_ok=True))
            rows += f"| {' '.join(words)} | {kind} | {without} | {command(*whole)} |\n"
    return rows


def copy(folder: Path, log: bytes, config: bytes) -> None:
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_bytes(log)
    (folder / "config.toml").write_bytes(config)


def long_log(folder: Path, steps: int) -> Path:
    """A finished run of that many steps, one progress line for each."""
    folder.mkdir()
    (folder / "config.toml").write_bytes((EXAMPLE / "config.toml").read_bytes())
    records = [json.loads(line) for line in (EXAMPLE / "events.jsonl").read_text().splitlines()]
    progress = next(r for r in records if r["type"] == "progress")
    with (folder / "events.jsonl").open("w") as file:
        for record in records:
            record["v"] = FORMAT_VERSION
            if record["type"] == "group_switched":
                record["cause"], _, record["why"] = record["why"].partition(": ")
            if record["type"] == "run_started":
                record["total_steps"] = steps
            if record["type"] == "completed":
                for step in range(1, steps + 1):
                    file.write(json.dumps({**progress, "step": step}) + "\n")
                record["step"] = steps
            file.write(json.dumps(record) + "\n")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    log = (EXAMPLE / "events.jsonl").read_bytes()
    config = (EXAMPLE / "config.toml").read_bytes()

    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        run = long_log(root / "long", 1_000_000)
        size = (run / "events.jsonl").stat().st_size / 1e6
        openings = "; ".join(f"{what} {opened(what, run)}" for what in OPENING)
        (run / "events.jsonl").unlink()
        for number in range(5000):
            copy(root / "history" / f"run-{number:04}", log, config)
        first = timed(lambda: store.list_runs(root / "history"))
        later = timed(lambda: store.list_runs(root / "history"))
        rows = grid_rows(root, log)
    lines = log.count(b"\n")
    text = (
        heading("Long logs and many runs", describe(1, []))
        + f"\n- A log of a million steps, a line for each ({size:.0f} MB), opened in a process of "
        f"its own, with the start of Python: {openings}.\n"
        f"- A history of 5,000 runs of {lines} lines each: listed in {first:.2f} s the first time, "
        f"{later:.2f} s with the index.\n"
        f"- Grids of 1,000 runs of {lines} lines each, whole commands in seconds (CPU seconds), "
        "median of three:"
        "\n\n| command | runs | without the index | with it |\n|---|---|---|---|\n"
        f"{rows}\nLoad average before: {load:.2f} on {os.cpu_count()} cores.\n"
    )
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
