"""What the parts of gpu.py share: sizes, models and texts made on the spot, run directories."""

from __future__ import annotations

import csv
import json
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from calibration_cost import save_model
from transformers import AutoTokenizer

from calisr_engine.config.load import load
from calisr_engine.models import catalog
from calisr_engine.runs.create import create_run
from calisr_engine.training.device import choose_device, choose_precision

TOKENS = {
    "MRPC": (19, 36, 41, 45, 50, 53, 57, 61, 64, 70, 103),
    "SST-2": (3, 4, 6, 7, 8, 10, 13, 16, 20, 27, 66),
}
"""Deciles of the tokens of a training row, as BERT's tokenizer counts them."""

TRAIN_EXAMPLES = {"MRPC": 3668, "SST-2": 67349}
GROUPS = ("query", "key", "value", "attention_output", "intermediate", "output")
SIX = f"method.components={json.dumps(GROUPS)}"


@dataclass(frozen=True)
class Size:
    """How large everything is: layers and hidden size of each shape, steps, matrices.

    `small` is the shape of the runs that decisions are compared of, `windows` their length;
    `killed` are the methods whose runs are killed.
    """

    shapes: dict[str, tuple[int, int]]
    small: tuple[int, int]
    windows: int
    rows: int
    batch: int
    steps: int
    turns: int
    matrix: int
    killed: tuple[str, ...]


FULL = Size(
    shapes={"BERT-base": (12, 768), "BERT-large": (24, 1024)},
    small=(2, 128),
    windows=3,
    rows=4000,
    batch=32,
    steps=100,
    turns=3,
    matrix=8192,
    killed=("lora", "mpop", "child_tuning_d"),
)
TINY = Size(
    shapes={"tiny": (1, 64)},
    small=(1, 64),
    windows=2,
    rows=200,
    batch=4,
    steps=10,
    turns=1,
    matrix=256,
    killed=("lora",),
)


class Bench:
    """One run of this script: its device, sizes, folder and settings."""

    def __init__(self, device: str, size: Size, root: Path) -> None:
        self.size, self.root = size, root
        self.device = choose_device(device)
        self.precision = choose_precision(self.device, "auto")
        self.on_gpu = self.device.type == "cuda"
        self.models = {
            shape: save_model(root / shape, *dimensions, spiked=True)
            for shape, dimensions in size.shapes.items()
        }
        self.small = save_model(root / "small", *size.small, spiked=True)
        self.files = {task: self._texts(task) for task in TOKENS}

    def _texts(self, task: str) -> Path:
        """A file of made-up texts, of two classes that a model can learn."""
        vocabulary = AutoTokenizer.from_pretrained(catalog.resolve("demo-bert")).get_vocab()
        words = sorted(each for each in vocabulary if each.isascii() and each.isalpha())
        draw, file = random.Random(task), self.root / f"{task}.csv"
        with file.open("w", newline="", encoding="utf-8") as out:
            rows = csv.writer(out)
            rows.writerow(["text", "label"])
            for _ in range(self.size.rows):
                decile = draw.randrange(10)
                tokens = (
                    draw.randint(*TOKENS[task][decile : decile + 2]) - 2
                )  # without [CLS], [SEP]
                label = draw.randrange(2)
                pool = words[label::2] if draw.random() < 0.8 else words
                text = " ".join(draw.choice(pool) for _ in range(max(1, tokens)))
                rows.writerow([text, ("one", "other")[label]])
        return file

    def sets(self, model: Path, task: str, *more: str) -> list[str]:
        return [
            f"model.name={model}",
            f"task.train_file={self.files[task]}",
            "task.text_column=text",
            "task.label_column=label",
            "task.kind=classification",
            "task.max_validation_examples=64",
            f"training.device={self.device}",
            f"training.precision={self.precision}",
            f"training.batch_size={self.size.batch}",
            f"training.max_steps={self.size.steps}",
            "training.epochs=50",
            "training.learning_rate=2e-5",
            "training.threads=1",
            "output.checkpoint_every_steps=100000",
            "output.export=false",
            *more,
        ]

    def run(self, *sets: str, model: Path | None = None, task: str = "MRPC") -> Path:
        """A run directory; `sets` are `key=value`."""
        all_sets = self.sets(model or self.small, task, *sets)
        return create_run(load(None, all_sets, {"output.dir": self.root / "runs"}))

    def synchronise(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()

    def matrix_rate(self, dtype: torch.dtype) -> float:
        """Operations a second in products of large square matrices, the best of some."""
        n = self.size.matrix
        a, b = (torch.randn(n, n, device=self.device, dtype=dtype) for _ in range(2))
        best = 0.0
        for _ in range(8):
            self.synchronise()
            began = time.monotonic()
            for _ in range(4):
                a @ b
            self.synchronise()
            best = max(best, 4 * 2 * n**3 / (time.monotonic() - began))
        return best


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run / "events.jsonl").read_text().splitlines()
    return [found for found in map(json.loads, lines) if found["type"] == kind]


def table(titles: str, rows: list[str]) -> str:
    columns = titles.count("|") + 1
    return f"| {titles} |\n|{'---|' * columns}\n" + "\n".join(f"| {row} |" for row in rows) + "\n"
