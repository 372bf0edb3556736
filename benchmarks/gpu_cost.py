"""Second half of gpu.py: speed, memory, the cost of samples and of the app beside a run."""

from __future__ import annotations

import statistics
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import throughput
import torch
from app_latency import Terminal
from gpu_bench import SIX, TOKENS, TRAIN_EXAMPLES, Bench, events, table
from kill_and_resume import worker
from torch.utils.flop_counter import FlopCounterMode

from calisr_engine.config.load import load
from calisr_engine.events.log import EventWriter
from calisr_engine.methods.catalog import METHODS
from calisr_engine.process.execute import execute
from calisr_engine.runs import load_view
from calisr_engine.runs.create import create_run
from calisr_engine.runs.layout import RunPaths
from calisr_engine.training.build import prepare
from calisr_engine.training.loop import TrainingLoop
from calisr_engine.training.step import forward_loss


def speed(bench: Bench) -> str:
    """Full fine-tuning and LoRA against transformers' Trainer, alone and with peft, in turns."""
    rate = bench.matrix_rate(torch.bfloat16 if bench.precision == "bf16" else torch.float32)
    rows = []
    for shape, model in bench.models.items():
        for task in TOKENS:
            sets = bench.sets(model, task)
            turns = [throughput.turn(sets, bench.root / "runs") for _ in range(bench.size.turns)]
            work = operations_per_step(bench, model, task)
            share = work * throughput.median(turns, "fft") / rate
            for name, peer in (("fft", "Trainer"), ("lora", "Trainer with peft")):
                ours, theirs = (throughput.median(turns, each) for each in (name, f"{name} peer"))
                rows.append(
                    f"{shape} | {task} | {name} / {peer} | {ours:.2f} | {theirs:.2f} | "
                    f"{throughput.ratio(turns, name)} | "
                    + (f"{share:.0%}" if name == "fft" else "")
                )
    return (
        f"{bench.size.turns} turns of {bench.size.steps} steps, batch {bench.size.batch}, "
        f"{bench.precision}, the first fifth not timed; LoRA of rank 8 on query and value. The "
        "last column is the share of the rate of large matrix products, measured here: "
        f"{rate / 1e12:.3g} tera-operations a second.\n\n"
        + table(
            "model | lengths of | what | ours, steps/s | theirs, steps/s | ratio (range) | "
            "share of the matrix rate",
            rows,
        )
    )


def operations_per_step(bench: Bench, model: Path, task: str) -> float:
    """Of matrix products and attention, forward and backward; mean over some batches."""
    resolved = load(
        None, bench.sets(model, task, *throughput.FFT), {"output.dir": bench.root / "runs"}
    )
    paths = RunPaths(create_run(resolved))
    with EventWriter(paths.events, 1) as writer:
        run = prepare(resolved.config, paths, writer, resume=False)
    counts = []
    run.model.train()
    for index in range(min(16, run.batches.per_epoch)):
        with FlopCounterMode(display=False) as counter, run.context.autocast():
            forward_loss(run.model, run.batches.train(0, index, bench.device)).backward()
        counts.append(counter.get_total_flops())
        run.model.zero_grad()
    return statistics.mean(counts)


def around_a_switch(bench: Bench) -> str:
    """Step time and memory of each method before and after all groups switch, half-way."""
    shape, model = next(iter(bench.models.items()))
    rows = []
    for method, each in METHODS.items():
        if not each.has_light_phase:
            continue
        memory: dict[int, tuple[int, int]] = {}
        half = bench.size.steps // 2

        def watch(
            loop: TrainingLoop, memory: dict[int, tuple[int, int]] = memory, half: int = half
        ) -> None:
            if loop.step in (half - 1, half + 3, bench.size.steps):
                state = loop.prepared.optimizer.tensors().values()
                peak = torch.cuda.max_memory_allocated() if bench.on_gpu else 0
                memory[loop.step] = sum(t.numel() * t.element_size() for t in state), peak
            if bench.on_gpu and loop.step == half + 3:
                torch.cuda.reset_peak_memory_stats()

        if bench.on_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        more = [SIX] if "components" in each.model_fields else []
        at = "" if each.calibration_refused else "schedule.switch_at=0.5"
        sets = [throughput.PLAIN, f"method.name={method}", *more, *([at] if at else [])]
        _, phases = throughput.ours(
            bench.sets(model, "MRPC", *sets), bench.root / "runs", each_step=watch
        )
        full, light = phases.get("fft"), phases["lft"]
        before, after = memory[half - 1], memory[bench.size.steps]
        rows.append(
            f"{method} | "
            + (f"{full * 1e3:.1f} | " if full else "- | ")
            + f"{light * 1e3:.1f} | "
            + (f"{light / full:.2f} | " if full else "- | ")
            + f"{before[0] / 2**20:.1f} | {after[0] / 2**20:.1f} | "
            + (f"{before[1] / 2**20:.0f} | {after[1] / 2**20:.0f}" if bench.on_gpu else "- | -")
        )
    return (
        f"{shape}, lengths of MRPC, {bench.precision}; methods that cannot be calibrated are light "
        "from the start.\n\n"
        + table(
            "method | ms a step before | after | ratio | optimizer MiB before | after | "
            "peak MiB before | after",
            rows,
        )
    )


LESS_WORK = {
    "packing": "training.packing=true",
    "first token": "training.last_layer=first_token",
    "checkpointing": "training.activation_checkpointing=true",
}


def less_work(bench: Bench) -> str:
    """Full fine-tuning with each setting that saves work or memory, in turns with none."""
    rows = []
    for shape, model in bench.models.items():
        for task in TOKENS:
            turns: list[dict[str, float]] = []
            for _ in range(bench.size.turns):
                ways = {"plain": "training.packing=false"} | LESS_WORK
                sets = {way: bench.sets(model, task, *throughput.FFT, ways[way]) for way in ways}
                root = bench.root / "runs"
                turns.append({way: throughput.ours(each, root)[0] for way, each in sets.items()})
            plain = throughput.median(turns, "plain")
            ratios = " | ".join(throughput.ratio(turns, way, "plain") for way in LESS_WORK)
            rows.append(f"{shape} | {task} | {plain:.2f} | {ratios}")
    return (
        f"Full fine-tuning, {bench.precision}, {bench.size.turns} turns of {bench.size.steps} "
        "steps; times as fast as without the setting, median and range.\n\n"
        + table(f"model | lengths of | steps/s | {' | '.join(LESS_WORK)}", rows)
    )


def samples(bench: Bench) -> str:
    """What samples cost: the first, the later ones, and five an epoch against the training."""
    rows = []
    for shape, model in bench.models.items():
        for task in TOKENS:
            run = bench.run(
                "method.name=lora",
                "calibration.variant=S",
                f"calibration.every_steps={max(2, bench.size.steps // 6)}",
                "calibration.decide_every_steps=100000",
                model=model,
                task=task,
            )
            assert execute(run, raise_errors=True) == 0
            taken = [each["seconds"] for each in events(run, "stable_rank_sampled")]
            summary = load_view(run).summary
            assert summary is not None
            step = summary["seconds"] / summary["steps"]
            later = statistics.mean(taken[1:])
            epoch = -(-TRAIN_EXAMPLES[task] // 32) * step
            rows.append(
                f"{shape} | {task} | {step * 1e3:.1f} ms | {taken[0]:.2f} s | {later:.2f} s | "
                f"{5 * later / (5 * later + epoch):.2%}"
            )
    return (
        "LoRA on all six components, CaliSr-S; the share is that of five later samples in an epoch "
        "of the whole task.\n\n"
        + table("model | lengths of | a step | first sample | later samples | share", rows)
    )


def app(bench: Bench) -> str:
    """Seconds a step with the app's live screen open on the run, and alone; start to first step."""
    shape, model = next(iter(bench.models.items()))
    slower, starts = [], []
    for _ in range(bench.size.turns):
        taken = []
        for watched in (False, True):
            sets = ("method.name=lora", "calibration.variant=S")
            run = bench.run(*sets, f"training.max_steps={3 * bench.size.steps}", model=model)
            began = time.time()
            process = worker(run)
            with LiveScreen(run) if watched else nullcontext():
                assert process.wait() == 0
            summary = load_view(run).summary
            assert summary is not None
            taken.append(summary["seconds"] / summary["steps"])
            if not watched:
                starts.append(first_step(run) - began)
        slower.append(taken[1] / taken[0] - 1)
    return (
        f"{shape}, LoRA, CaliSr-S. With the live screen open a step took "
        f"{statistics.median(slower):+.1%} ({min(slower):+.1%} to {max(slower):+.1%}). From the "
        f"start of a process to the end of its first step: {statistics.median(starts):.1f} s.\n"
    )


class LiveScreen:
    """The app on a run, in a pseudo-terminal that is read in a thread."""

    def __init__(self, run: Path) -> None:
        self._terminal = Terminal(["watch", str(run), "--tui"])
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._drain)

    def _drain(self) -> None:
        while not self._over.is_set():
            self._terminal.read(0.1)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self._terminal.close()


def first_step(run: Path) -> float:
    """Unix time of the first line of progress."""
    return float(events(run, "progress")[0]["time"])
