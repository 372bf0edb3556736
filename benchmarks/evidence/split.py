"""Training sets of GLUE cut into four fifths to train on and one to choose settings by.

    python benchmarks/evidence/split.py --data-dir GLUE --out SPLIT RTE CoLA

SPLIT/TASK/train.tsv and dev.tsv are rows of the official train.tsv, unchanged and in their order. A
row is held out where the SHA-256 of its text and the seed says so, so that the split depends on no
library. The official validation set takes no part in it.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from calisr_engine.tasks.glue import GlueTask, find

SHARE = 0.2


def held_out(row: str, seed: int) -> bool:
    digest = hashlib.sha256(f"{seed}\n{row}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < SHARE * 2**64


def split(task: GlueTask, data: Path, out: Path, seed: int) -> tuple[int, int]:
    """Rows of the two files that it writes."""
    lines = (data / task.folder / "train.tsv").read_text(encoding="utf-8").splitlines()
    headers = [] if task.bare_header else lines[:1]
    rows = lines[len(headers) :]
    folder = out / task.folder
    folder.mkdir(parents=True, exist_ok=True)
    parts = {name: [row for row in rows if held_out(row, seed) == held] for name, held in FILES}
    for name, part in parts.items():
        (folder / name).write_text("\n".join([*headers, *part]) + "\n", encoding="utf-8")
    return len(parts["train.tsv"]), len(parts["dev.tsv"])


FILES = (("train.tsv", False), ("dev.tsv", True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="+")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name in arguments.tasks:
        task = find(name)
        train, dev = split(task, arguments.data_dir, arguments.out, arguments.seed)
        print(f"{task.title}: {train:,} rows to train on, {dev:,} held out")


if __name__ == "__main__":
    main()
