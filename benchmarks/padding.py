"""How much of the training batches is padding, and what `training.packing` makes of it.

    python benchmarks/padding.py --data-dir GLUE --out results/padding.md
    python benchmarks/padding.py --data-dir GLUE --layers 12 --hidden 768 --device cuda

Counts the padding of batches as they are made (pools of rows sorted by length), of those padded for
a compiled pass (few widths), and of batches in random order. Then trains some batches of an epoch,
as made, with random weights, padded and packed in turns.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch
from calibration_cost import save_model, synchronise
from machine import describe, heading
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from calisr_engine.models import catalog
from calisr_engine.models.packing import pack_layers, real_tokens
from calisr_engine.tasks.batches import epoch_batches, tokenize
from calisr_engine.tasks.data import load_task
from calisr_engine.tasks.settings import TaskSettings
from calisr_engine.training.batching import padded, wide_enough
from calisr_engine.training.device import moved

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


def ratios(model: nn.Module, batches: list[dict[str, Tensor]], turns: int) -> list[float]:
    """Seconds of forward and backward passes over all batches, padded by packed, a turn each."""
    device = batches[0]["input_ids"].device

    def seconds(packed: bool) -> float:
        synchronise(device.type)
        began = time.monotonic()
        for batch in batches:
            given = batch if packed else {k: v for k, v in batch.items() if k != "real_tokens"}
            model(**given).logits.sum().backward()
            model.zero_grad()
        synchronise(device.type)
        return time.monotonic() - began

    seconds(True)
    return [seconds(False) / seconds(True) for _ in range(turns)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("CALISR_GLUE_DIR"))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--rows", type=int, default=20_000, help="of each task, at most")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--timed", type=int, default=8, help="batches of each task")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = save_model(Path(folder), arguments.layers, arguments.hidden, spiked=False)
        model = AutoModelForSequenceClassification.from_pretrained(path).train()
    pack_layers(model)
    device = torch.device(arguments.device)
    model.to(device)
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
        chosen = made[:: max(1, len(made) // arguments.timed)][: arguments.timed]
        batches = [padded(rows, each, tokenizer) for each in chosen]
        for batch in batches:
            batch["input_ids"] %= model.config.vocab_size
            batch.pop("labels", None)
        packed = [moved(each | real_tokens(each), device) for each in batches]
        found = ratios(model, packed, arguments.turns)
        mean = sum(lengths) / len(lengths)
        lines.append(
            f"| {task} | {len(lengths):,} | {mean:.1f} | "
            + " | ".join(f"{share:.1%}" for share in shares)
            + f" | {statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f}) |"
        )
        print(lines[-1], flush=True)
    text = (
        heading("Padding of training batches", describe(arguments.threads, [42]))
        + f"\nBatch {arguments.batch}, at most {arguments.max_length} tokens, the tokenizer of the "
        "packaged BERT. Packed: how many times as fast forward and backward passes of "
        f"{arguments.layers} layers of {arguments.hidden} are ({arguments.device}, fp32, dropout "
        f"0.1, {arguments.timed} batches of an epoch as made, {arguments.turns} turns, median and "
        "range).\n\n| task | rows | tokens a row | as made | with training.compile | in "
        "random order | packed |\n|---|---|---|---|---|---|---|\n" + "\n".join(lines) + "\n"
    )
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
