"""What `training.compile` costs and gives: one shape of batches, compiled and not, in turns.

    python benchmarks/compiled.py --out results/compiled.md
    python benchmarks/compiled.py --device cuda --layers 12 --hidden 768

Forward and backward pass of full fine-tuning with random weights, in turns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from calibration_cost import save_model, synchronise
from gpu_bench import table
from machine import describe, heading
from transformers import AutoModelForSequenceClassification

from calisr_engine.training.compiled import CompiledLoss
from calisr_engine.training.step import forward_loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    with tempfile.TemporaryDirectory() as folder:
        path = save_model(Path(folder), arguments.layers, arguments.hidden, spiked=False)
        model = AutoModelForSequenceClassification.from_pretrained(path).to(device).train()
    model.config.problem_type = "single_label_classification"  # as in a run
    shape = (arguments.batch, arguments.width)
    ids = torch.randint(5, 1000, shape, device=device)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    batch["attention_mask"][:, -3:] = 0
    batch["labels"] = torch.randint(0, 2, shape[:1], device=device)
    context: Any = SimpleNamespace(device=device, emit=lambda step, event: print(event.message))
    compiled = CompiledLoss(context, forward_loss, arguments.width)

    def passes(count: int, loss: Any) -> float:
        synchronise(arguments.device)
        began = time.monotonic()
        for _ in range(count):
            loss().backward()
            model.zero_grad()
        synchronise(arguments.device)
        return (time.monotonic() - began) / count

    def by_graph() -> Any:
        return compiled(model, batch, 1)

    def as_it_is() -> Any:
        return forward_loss(model, batch)

    first = passes(1, by_graph)
    passes(1, as_it_is)
    times = [
        (passes(arguments.steps, as_it_is), passes(arguments.steps, by_graph))
        for _ in range(arguments.turns)
    ]
    ratios = [plain / graph for plain, graph in times]
    plain, graph = (statistics.median(each) for each in zip(*times, strict=True))
    row = (
        f"{arguments.layers} x {arguments.hidden} | {shape[0]} x {shape[1]} | {first:.1f} | "
        f"{plain * 1e3:.1f} | {graph * 1e3:.1f} | {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )
    text = (
        heading("A compiled training pass", describe(arguments.threads, []))
        + f"\n{arguments.device}, fp32, dropout 0.1, {arguments.turns} turns of {arguments.steps} "
        "passes. Each shape of batches takes the first pass once, and once more after a switch.\n\n"
        + table(
            "layers x hidden | rows x width | first pass, s | as it is, ms | compiled, ms | times "
            "as fast (range)",
            [row],
        )
    )
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
