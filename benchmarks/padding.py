"""How much of the training batches is padding: what packing sequences could save at most.

    python benchmarks/padding.py --data-dir GLUE --out results/padding.md

Counts tokens, no model is run: of batches as they are made (pools of rows sorted by length), of
those padded for a compiled pass (few widths), and of batches in random order.
"""

from __future__ import annotations

import argparse
import os
import random
from pathlib import Path

from machine import describe, heading
from transformers import AutoTokenizer

from calisr_engine.models import catalog
from calisr_engine.tasks.batches import epoch_batches, tokenize
from calisr_engine.tasks.data import load_task
from calisr_engine.tasks.settings import TaskSettings
from calisr_engine.training.batching import wide_enough

TASKS = ("cola", "sst2", "mrpc", "stsb", "rte", "qnli")


def padding(lengths: list[int], batches: list[list[int]], few: int | None = None) -> float:
    """Share of the positions of these batches that hold no token.

    Args:
        few: the longest input, where widths are few; None pads to the longest row.
    """
    widths = [max(lengths[row] for row in rows) for rows in batches]
    widths = [width if few is None else wide_enough(width, few) for width in widths]
    positions = sum(width * len(rows) for width, rows in zip(widths, batches, strict=True))
    return 1 - sum(lengths) / positions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("CALISR_GLUE_DIR"))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--rows", type=int, default=20_000, help="of each task, at most")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(catalog.resolve("demo-bert"))
    lines = []
    for task in TASKS:
        settings = TaskSettings(
            name=task,
            data_dir=arguments.data_dir,
            max_train_examples=arguments.rows,
            max_validation_examples=8,
        )
        rows = tokenize(load_task(settings).train, tokenizer, arguments.max_length, keep=False)
        lengths = rows.lengths()
        made = epoch_batches(lengths, arguments.batch, 42, 0)
        order = random.Random(42).sample(range(len(lengths)), len(lengths))
        size = arguments.batch
        plain = [order[at : at + size] for at in range(0, len(order), size)]
        shares = (
            padding(lengths, made),
            padding(lengths, made, arguments.max_length),
            padding(lengths, plain),
        )
        mean = sum(lengths) / len(lengths)
        lines.append(
            f"| {task} | {len(lengths):,} | {mean:.1f} | "
            + " | ".join(f"{share:.1%}" for share in shares)
            + " |"
        )
        print(lines[-1], flush=True)
    text = (
        heading("Padding of training batches", describe(1, [42]))
        + f"\nBatch {arguments.batch}, at most {arguments.max_length} tokens, the tokenizer of the "
        "packaged BERT.\n\n| task | rows | tokens a row | as made | with training.compile | in "
        "random order |\n|---|---|---|---|---|---|\n" + "\n".join(lines) + "\n"
    )
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
