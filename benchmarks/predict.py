"""`calisr predict` against transformers' pipeline, over the same texts, in one run.

    python benchmarks/predict.py --rows 10000 --out result.md

Both sides open the exported model of one demo run (the packaged BERT), take the same texts in the
same order with the same batch size and input length, in fp32 on one thread, and give every class
with its probability. Opening is not timed. Time is that of the CPU, so that other work on the
machine counts little. Turns alternate, and so does who begins; the median of
the ratios of each turn is what counts. Probabilities are compared, too.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from machine import describe, heading

import calisr_engine as calisr
from calisr_engine.config.load import from_resolved
from calisr_engine.results.predictor import Predictor
from calisr_engine.runs.layout import RunPaths
from calisr_engine.tasks.demo import sentences

SEED = 7
Shares = list[dict[str, float]]


def texts_alike(rows: int) -> list[str]:
    """Sentences of the demo, all about as long; some come twice."""
    known = [each.text for side in sentences() for each in side]
    return random.Random(SEED).choices(known, k=rows)


def texts_mixed(rows: int) -> list[str]:
    """From one to twelve of these sentences in a row, as texts of users differ in length."""
    draw, found = random.Random(SEED + 1), texts_alike(rows)
    return [" ".join(draw.choices(found, k=draw.randint(1, 12))) for _ in range(rows)]


def ours(run_dir: Path, batch: int) -> Callable[[list[str]], Shares]:
    predictor = Predictor(run_dir, "cpu", batch)
    return lambda texts: [each.probabilities or {} for each in predictor.predict(texts)]


def pipeline(run_dir: Path, batch: int) -> Callable[[list[str]], Shares]:
    from transformers import pipeline as make

    model: Any = str(RunPaths(run_dir).model)
    longest = from_resolved(RunPaths(run_dir).config).task.max_length
    asked: Any = make("text-classification", model=model, device=-1, dtype=torch.float32)
    how = {"batch_size": batch, "top_k": None, "truncation": True, "max_length": longest}
    return lambda texts: [
        {each["label"]: each["score"] for each in row} for row in asked(texts, **how)
    ]


def timed(side: Callable[[list[str]], Shares], texts: list[str]) -> tuple[float, Shares]:
    began = time.process_time()
    found = side(texts)
    return time.process_time() - began, found


def apart(one: Sequence[dict[str, float]], other: Sequence[dict[str, float]]) -> float:
    """The largest difference of a probability."""
    return max(abs(a[k] - b[k]) for a, b in zip(one, other, strict=True) for k in a)


def compare(run_dir: Path, texts: list[str], batch: int, turns: int) -> str:
    """A row of the table."""
    sides = {"ours": ours(run_dir, batch), "pipeline": pipeline(run_dir, batch)}
    for side in sides.values():
        side(texts[: 4 * batch])  # warms caches up
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    off = 0.0
    for turn in range(turns):
        said: dict[str, Shares] = {}
        for name in list(sides)[:: 1 if turn % 2 else -1]:
            took, said[name] = timed(sides[name], texts)
            seconds[name].append(took)
        off = max(off, apart(said["ours"], said["pipeline"]))
    ratios = [p / o for o, p in zip(seconds["ours"], seconds["pipeline"], strict=True)]
    rates = [f"{len(texts) / statistics.median(each):,.0f}" for each in seconds.values()]
    return (
        f"{batch} | {rates[0]} | {rates[1]} | {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}) | {off:.0e} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    lines = [
        heading("Predicting, against transformers' pipeline", describe(1, [42, SEED])),
        f"{arguments.rows:,} texts, the exported model of a `calisr demo` run of one epoch, CPU, "
        f"fp32, {arguments.turns} turns of both sides; texts a second of CPU time, medians. Ratios "
        "above 1: this project is faster. The difference is that of probabilities.",
        "",
        "| texts | batch | ours | pipeline | ratio (range over turns) | largest difference |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        run = calisr.train("demo", output_dir=folder, settings={"training.epochs": 1})
        for name, make in (("of like length", texts_alike), ("of mixed length", texts_mixed)):
            texts = make(arguments.rows)
            for batch in arguments.batches:
                lines.append(f"| {name} | {compare(run.path, texts, batch, arguments.turns)}")
                print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
