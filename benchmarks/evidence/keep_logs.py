"""Run directories without their weights, small enough to ship: reports and the app open them.

    python benchmarks/evidence/keep_logs.py runs/evidence-minilm benchmarks/evidence/logs/minilm

Copies settings, log and environment of each complete run. Folders of the machine can be shortened
(`--shorten /home/me/models=models`); of the lines on processor and memory one a minute is kept, of
those on loss and speed one in twenty seconds and the last before an evaluation. Nothing else is
changed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from calisr_engine.runs import load_view

SECONDS = {"resources": 60, "progress": 20}
"""Between two lines of a type that are kept."""
KEPT = ("config.toml", "environment.json", "events.jsonl")


def thinned(log: str) -> str:
    """The lines of a log, of `SECONDS` those that are so far apart, and the last loss before an
    evaluation."""
    lines = log.splitlines(keepends=True)
    kept, last, progress = set(range(len(lines))), dict.fromkeys(SECONDS, 0.0), 0
    for number, said in enumerate(map(json.loads, lines)):
        kind = said["type"]
        if kind == "evaluated":
            kept.add(progress)
        if kind == "progress":
            progress = number
        if kind not in SECONDS:
            continue
        if said["time"] - last[kind] < SECONDS[kind]:
            kept.discard(number)
        else:
            last[kind] = said["time"]
    return "".join(lines[number] for number in sorted(kept))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shorten", action="append", default=[], metavar="FOLDER=NAME")
    arguments = parser.parse_args()
    size = count = 0
    for run in sorted(each.parent for each in arguments.runs.glob("*/events.jsonl")):
        if load_view(run).state != "completed":
            print(f"left out, not complete: {run.name}")
            continue
        folder = arguments.out / run.name
        folder.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            text = (run / name).read_text(encoding="utf-8")
            for shorten in arguments.shorten:
                long, _, short = shorten.partition("=")
                text = text.replace(long, short)
            if name == "events.jsonl":
                text = thinned(text)
            (folder / name).write_text(text, encoding="utf-8")
            size += len(text.encode())
        count += 1
    print(f"{count} runs, {size / 1e6:.2f} MB in {arguments.out}")


if __name__ == "__main__":
    main()
