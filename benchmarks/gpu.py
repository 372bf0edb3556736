"""What a GPU has to show, in one command and under 25 minutes; a dated page of results.

    python benchmarks/gpu.py --out results/gpu.md
    python benchmarks/gpu.py --self-test           # on a CPU, tiny: whether this script works

Needs no network, no data and no weights of a hub: models are drawn, texts are made of words of the
packaged vocabulary, as long as those of MRPC and SST-2. Each part is written to the page when it is
done; one that fails says so there and the next begins; what the time does not allow is named.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import throughput
import torch
from app_latency import Terminal
from calibration_cost import save_model
from kill_and_resume import facts, worker
from machine import describe, heading
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoTokenizer

from calisr_engine.config.load import load
from calisr_engine.events.log import EventWriter
from calisr_engine.methods.catalog import METHODS
from calisr_engine.models import catalog
from calisr_engine.process.execute import execute
from calisr_engine.runs import load_view
from calisr_engine.runs.create import create_run
from calisr_engine.runs.layout import RunPaths
from calisr_engine.training.build import prepare
from calisr_engine.training.device import choose_device, choose_precision
from calisr_engine.training.loop import TrainingLoop
from calisr_engine.training.step import forward_loss

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

    `small` is the shape of the runs that decisions are compared of, `windows` their length.
    """

    shapes: dict[str, tuple[int, int]]
    small: tuple[int, int]
    windows: int
    rows: int
    batch: int
    steps: int
    turns: int
    matrix: int


FULL = Size({"BERT-base": (12, 768), "BERT-large": (24, 1024)}, (2, 128), 3, 4000, 32, 100, 3, 8192)
TINY = Size({"tiny": (1, 64)}, (1, 64), 2, 200, 4, 10, 1, 256)


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


# Correctness ------------------------------------------------------------------------------------


def decisions(bench: Bench) -> str:
    """Each method that can be calibrated: hits and switches on the CPU and on the device."""
    rows = []
    for method in [name for name, each in METHODS.items() if not each.calibration_refused]:
        stories = []
        for device in ("cpu", bench.device):
            run = bench.run(
                f"method.name={method}",
                f"training.device={device}",
                "training.precision=fp32",
                "training.dropout=0",
                f"training.max_steps={10 * bench.size.windows}",
                "training.learning_rate=1e-4",
                "calibration.variant=S",
                "calibration.decide_every_steps=10",
            )
            assert execute(run, raise_errors=True) == 0
            hits = [
                f"{each['step']} {name} {group['hit']:g}"
                for each in events(run, "stable_rank_sampled")
                for name, group in each["groups"].items()
            ]
            switches = [(each["group"], each["step"]) for each in events(run, "group_switched")]
            stories.append((hits, switches, events(run, "evaluated")[-1]["loss"]))
        (here, switched, loss), (there, switched_there, loss_there) = stories
        same = sum(a == b for a, b in zip(here, there, strict=False))
        rows.append(
            f"{method} | {same} of {max(len(here), len(there))} | {len(switched)} | "
            f"{'yes' if switched == switched_there else 'NO'} | {abs(loss - loss_there):.1e}"
        )
    return (
        f"{bench.size.small[0]} layers of {bench.size.small[1]}, fp32 without dropout, "
        f"{bench.size.windows} windows of 10 steps. ChildTuning-F draws its masks on the "
        "device, so after a switch it trains other entries there.\n\n"
        + table("method | equal hits | switches | same switches | difference of the loss", rows)
    )


def killed(bench: Bench) -> str:
    """SIGKILL after a checkpoint, resume, and compare with an undisturbed run."""
    rows = []
    for method in ("lora", "mpop", "child_tuning_d"):
        sets = (
            f"method.name={method}",
            "training.max_steps=40",
            "training.learning_rate=1e-4",
            "calibration.variant=S",
            "calibration.decide_every_steps=10",
            "output.checkpoint_every_steps=5",
            "output.keep_checkpoints=2",
        )
        calm, disturbed = bench.run(*sets), bench.run(*sets)
        assert worker(calm).wait() == 0
        process = worker(disturbed)
        while process.poll() is None and not (disturbed / "checkpoints/step-15").is_dir():
            time.sleep(0.02)
        alive = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert worker(disturbed).wait() == 0
        first, second = facts(calm), facts(disturbed)
        equal = all(torch.equal(t, second["weights"][n]) for n, t in first["weights"].items())
        switches = [
            [(e["group"], e["step"]) for e in each["story"] if e["type"] == "group_switched"]
            for each in (first, second)
        ]
        rows.append(
            f"{method} | {'yes' if alive else 'no, it was done'} | {'yes' if equal else 'no'} | "
            f"{'yes' if switches[0] == switches[1] else 'NO'} | "
            f"{'yes' if first['story'] == second['story'] else 'no'}"
        )
    return table("method | killed | same bits | same switches | same samples and metrics", rows)


def waiting(bench: Bench) -> str:
    """Operations of ordinary steps for which the host waited, as torch's CUDA calls tell them."""
    if not bench.on_gpu:
        return "Nothing waits on a CPU.\n"
    rows = []
    for method, each in METHODS.items():

        def listen(loop: TrainingLoop) -> None:
            # From the third step to the last but one nothing is reported, sampled or evaluated.
            ordinary = 2 <= loop.step < 18
            torch.cuda.set_sync_debug_mode("warn" if ordinary else "default")

        light = "" if each.calibration_refused else "schedule.switch_at=0.0"
        sets = [throughput.PLAIN, f"method.name={method}", "training.max_steps=20"]
        sets += ["output.progress_every_seconds=1000", *([light] if light else [])]
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                throughput.ours(
                    bench.sets(bench.small, "MRPC", *sets), bench.root / "runs", each_step=listen
                )
            finally:
                torch.cuda.set_sync_debug_mode("default")
        found = [str(each.message) for each in said if "synchronizing" in str(each.message)]
        places = Counter(
            f"{each.filename}:{each.lineno}" for each in said if str(each.message) in found
        )
        where = ", ".join(f"{place} ({count})" for place, count in places.most_common(3))
        rows.append(f"{method} | {len(found)} | {where or '-'}")
    return "16 steps in the light phase.\n\n" + table("method | waits | where", rows)


# Speed ------------------------------------------------------------------------------------------


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
            with live_screen(run) if watched else NOTHING():
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


class NOTHING:
    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


class live_screen:  # noqa: N801
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


# ------------------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[Bench], str]] = {
    "Decisions on the CPU and on the device": decisions,
    "Killed and resumed": killed,
    "Waiting in ordinary steps": waiting,
    "Training speed": speed,
    "Before and after a switch": around_a_switch,
    "What samples cost": samples,
    "The app beside it": app,
}


def results(bench: Bench, minutes: float) -> Iterator[str]:
    """Each part of the page when it is done."""
    began = time.monotonic()
    for title, part in PARTS.items():
        if time.monotonic() - began > 60 * minutes:
            yield f"\n## {title}\n\nNot measured: the {minutes:g} minutes were over.\n"
            continue
        since = time.monotonic()
        try:
            found = part(bench)
        except Exception as error:
            traceback.print_exc()
            found = f"FAILED: {type(error).__name__}: {str(error).strip()[:500]}\n"
        yield f"\n## {title}\n\n{found}\nTook {time.monotonic() - since:.0f} s.\n"


def gpu_words(bench: Bench) -> str:
    if not bench.on_gpu:
        return "on the CPU, tiny: this page shows that the script works, and no more"
    found = torch.cuda.get_device_properties(bench.device)
    driver = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split("\n")[0]
    return (
        f"{found.name}, {found.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}, driver "
        f"{driver or 'unknown'}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--self-test", action="store_true", help="tiny, on the CPU")
    parser.add_argument("--minutes", type=float, default=20, help="begin no part after so long")
    parser.add_argument("--out", type=Path, default=Path("gpu.md"))
    arguments = parser.parse_args()
    device, size = ("cpu", TINY) if arguments.self_test else (arguments.device, FULL)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(device, size, Path(folder))
        title = heading("On a GPU" if bench.on_gpu else "The GPU's page on a CPU", describe(1, []))
        page = [f"{title}\nDevice: {gpu_words(bench)}.\n"]
        for part in results(bench, arguments.minutes):
            page.append(part)
            arguments.out.write_text("".join(page))
            print(part, flush=True)
    return int(any("\nFAILED" in part for part in page))


if __name__ == "__main__":
    sys.exit(main())
