"""Where the time of a training step goes: the share of matrix products, and what settings save.

    python benchmarks/matrix_share.py --out results/matrix-share.md

Full fine-tuning of random weights in the shapes of MiniLM-L6 and BERT-base, on texts as long as
those of MRPC. Operations are counted from the shapes and so are the same on every machine; shares
of the time are torch's profiler's, of operations without those they call (attention is a product).
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import throughput
import torch
from gpu_bench import TINY, Bench, table
from machine import describe, heading
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from calisr_engine.config.load import load
from calisr_engine.events.log import EventWriter
from calisr_engine.runs.create import create_run
from calisr_engine.runs.layout import RunPaths
from calisr_engine.training.build import prepare
from calisr_engine.training.loop import TrainingLoop
from calisr_engine.training.step import forward_loss

SHAPES = {"MiniLM-L6": (6, 384), "BERT-base": (12, 768)}
SETTINGS = ("full", "first_token")
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "scaled_dot_product")


def steps(bench: Bench, model: Path, setting: str, count: int) -> tuple[float, float, float]:
    """(operations of a step, share of the time in matrix products, seconds a step)."""
    sets = bench.sets(model, "MRPC", *throughput.FFT, f"training.last_layer={setting}")
    resolved = load(None, sets, {"output.dir": bench.root / "runs"})
    paths = RunPaths(create_run(resolved))
    with EventWriter(paths.events, 1) as writer:
        loop = TrainingLoop(prepare(resolved.config, paths, writer, resume=False))
        run = loop.prepared
        run.model.train()
        run.reporter.begin()
        operations = []
        for index in range(count):
            batch = run.batches.train(0, index, bench.device)
            with FlopCounterMode(display=False) as counter:
                forward_loss(run.model, batch).backward()
            operations.append(counter.get_total_flops())
            run.model.zero_grad()
        _next(loop)  # what the first step makes, later ones find
        began = time.monotonic()
        with profile(activities=[ProfilerActivity.CPU]) as found:
            for _ in range(count):
                _next(loop)
        seconds = (time.monotonic() - began) / count
    times = {each.key: each.self_cpu_time_total for each in found.key_averages()}
    products = sum(t for name, t in times.items() if any(part in name for part in PRODUCTS))
    return statistics.mean(operations), products / sum(times.values()), seconds


def in_turns(bench: Bench, model: Path, turns: int) -> str:
    """Median and range of the time of a step with all tokens to that with the first alone."""
    loops = []
    with contextlib.ExitStack() as stack:
        for setting in SETTINGS:
            sets = bench.sets(model, "MRPC", *throughput.FFT, f"training.last_layer={setting}")
            resolved = load(None, sets, {"output.dir": bench.root / "runs"})
            paths = RunPaths(create_run(resolved))
            writer = stack.enter_context(EventWriter(paths.events, 1))
            loop = TrainingLoop(prepare(resolved.config, paths, writer, resume=False))
            loop.prepared.model.train()
            loop.prepared.reporter.begin()
            loops.append(loop)
            _next(loop)
        ratios = []
        for _ in range(turns):
            seconds = []
            for loop in loops:
                began = time.monotonic()
                _next(loop)
                seconds.append(time.monotonic() - began)
            ratios.append(seconds[0] / seconds[1])
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _next(loop: TrainingLoop) -> None:
    loop.step += 1
    loop._train_step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    chosen = {name: SHAPES[name] for name in arguments.shapes.split(",")}
    rows: list[str] = []
    told: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        size = replace(TINY, shapes=chosen, batch=arguments.batch, rows=1000)
        bench = Bench("cpu", size, Path(folder))
        for name, model in bench.models.items():
            if arguments.turns:
                ratio = in_turns(bench, model, arguments.turns)
                told.append(
                    f"{name}: in {arguments.turns} turns of a step each, on the same batches, "
                    f"first_token was {ratio} times as fast as full.\n"
                )
                print(told[-1], flush=True)
            if not arguments.steps:
                continue
            whole = 0.0
            for setting in SETTINGS:
                work, share, seconds = steps(bench, model, setting, arguments.steps)
                whole = whole or work
                rows.append(
                    f"{name} | {setting} | {work / 1e9:.1f} | {1 - work / whole:.1%} | {share:.0%} "
                    f"| {seconds:.2f}"
                )
                print(rows[-1], flush=True)
    text = (
        heading("Time in matrix products", describe(arguments.threads, [42]))
        + f"\nFull fine-tuning, batch {arguments.batch}, {arguments.steps} steps, fp32, on the CPU."
        "\n\n"
        + table(
            "shape | training.last_layer | 10^9 operations a step | saved | share of the time in "
            "matrix products | s a step, profiled",
            rows,
        )
        + "\n"
        + "\n".join(told)
    )
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
