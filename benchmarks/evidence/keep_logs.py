"""Run directories without their weights, small enough to ship: reports and the app open them.

    python benchmarks/evidence/keep_logs.py runs/evidence-minilm benchmarks/evidence/logs/minilm

Copies settings, log and environment of each complete run. Folders of the machine can be shortened
(`--shorten /home/me/models=models`), nothing else is changed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from calisr_engine.runs import load_view

KEPT = ("config.toml", "environment.json", "events.jsonl")


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
            (folder / name).write_text(text, encoding="utf-8")
            size += len(text.encode())
        count += 1
    print(f"{count} runs, {size / 1e6:.2f} MB in {arguments.out}")


if __name__ == "__main__":
    main()
