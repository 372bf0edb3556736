"""Training speed against transformers' Trainer, alone (FFT) and with peft (LoRA), in one run.

    python benchmarks/throughput.py --data-dir GLUE --model MODEL --steps 60 --out result.md

Both sides train the same model on the same batches in the same order, padded to the longest text of
each batch, in fp32, with fused AdamW, clipping and a linear schedule; nothing is evaluated or saved
meanwhile, and the first fifth of the steps is not timed. Turns alternate, and the median of the
ratios of each turn is what counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from machine import describe, heading

from calisr_engine.config.load import load
from calisr_engine.config.schema import RunConfig
from calisr_engine.events.log import EventWriter
from calisr_engine.models.components import find_targets
from calisr_engine.models.load import load_model
from calisr_engine.runs.create import create_run
from calisr_engine.runs.layout import RunPaths
from calisr_engine.tasks.data import load_task
from calisr_engine.training.batching import TaskBatches
from calisr_engine.training.build import PreparedRun, prepare
from calisr_engine.training.device import choose_device, choose_precision
from calisr_engine.training.loop import TrainingLoop

WARM_UP = 0.2
"""Share of the steps, from the first, that no speed is taken of: kernels are loaded meanwhile."""


def settings(arguments: argparse.Namespace) -> list[str]:
    return [
        f"model.name={arguments.model}",
        f"task.name={arguments.task}",
        f"task.data_dir={arguments.data_dir}",
        f"training.batch_size={arguments.batch}",
        f"training.max_steps={arguments.steps}",
        "training.epochs=50",
        f"training.threads={arguments.threads}",
        f"training.device={arguments.device}",
        f"training.precision={arguments.precision}",
        "task.max_validation_examples=8",
        "output.checkpoint_every_steps=100000",
        "output.export=false",
    ]


def ours(
    sets: list[str], root: Path, each_step: Callable[[TrainingLoop], None] | None = None
) -> tuple[float, dict[str, float]]:
    """(steps a second, seconds a step by phase) of our loop.

    Args:
        each_step: called after each step, out of the time of the phases.
    """
    resolved = load(None, sets, {"output.dir": root})
    paths = RunPaths(create_run(resolved))
    with EventWriter(paths.events, 1) as writer:
        loop = WatchedLoop(prepare(resolved.config, paths, writer, resume=False), each_step)
        loop.run()
    tally = loop.prepared.reporter.tally
    per_step = {str(p): tally.seconds[p] / n for p, n in tally.steps.items() if n}
    return loop.clock.steps_per_second, per_step


class WatchedLoop(TrainingLoop):
    """Our loop, timed; `each_step` is called after each step."""

    def __init__(
        self, run: PreparedRun, each_step: Callable[[TrainingLoop], None] | None = None
    ) -> None:
        super().__init__(run)
        self.clock = Clock(self.plan.total_steps, run.context.device)
        self._each_step = each_step

    def _train_step(self) -> None:
        super()._train_step()
        self.clock.step_done(self.step)
        if self._each_step is not None:
            self._each_step(self)


class Clock:
    """Times the steps after the warm-up; a GPU has done them when the time is taken."""

    def __init__(self, steps: int, device: torch.device) -> None:
        self._first, self._last = int(WARM_UP * steps), steps
        self._device = device
        self.began = time.monotonic()
        self.steps_per_second = 0.0

    def step_done(self, step: int) -> None:
        if step in (self._first, self._last):
            if self._device.type != "cpu":
                torch.accelerator.synchronize()
            now = time.monotonic()
            if step == self._first:
                self.began = now
            else:
                self.steps_per_second = (self._last - self._first) / (now - self.began)


def trainer(sets: list[str], root: Path, lora: bool) -> float:
    """Steps a second of transformers' Trainer."""
    from peft import LoraConfig, get_peft_model
    from torch.utils.data import DataLoader
    from transformers import Trainer, TrainerCallback, TrainingArguments

    config: RunConfig = load(None, sets, {"output.dir": root}).config
    training = config.training
    steps = training.max_steps
    assert steps is not None
    data = load_task(config.task)
    assert data.label_names is not None
    loaded = load_model(
        config.model, num_labels=len(data.label_names), kind=data.kind, seed=training.seed
    )
    batches = TaskBatches(data, loaded.tokenizer, config)
    epochs = -(-steps // batches.per_epoch)
    order = [(epoch, index) for epoch in range(epochs) for index in range(batches.per_epoch)]
    order = order[:steps]
    model: Any = loaded.model
    if lora:
        both = [t.name for t in find_targets(model) if t.component in ("query", "value")]
        model = get_peft_model(
            model, LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules=both)
        )

    class Same(Trainer):
        """Takes the batches that our loop takes."""

        def get_train_dataloader(self) -> Any:
            return DataLoader(
                order,  # type: ignore[arg-type]
                batch_size=None,
                collate_fn=lambda at: batches.train(at[0], at[1], torch.device("cpu")),
            )

    clock = Clock(steps, choose_device(training.device))

    class Timed(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            clock.step_done(state.global_step)

    with tempfile.TemporaryDirectory() as folder:
        same = Same(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=training.batch_size,
                max_steps=steps,
                learning_rate=training.learning_rate,
                weight_decay=0.01,
                optim="adamw_torch_fused",
                lr_scheduler_type="linear",
                save_strategy="no",
                eval_strategy="no",
                logging_steps=10,
                report_to="none",
                disable_tqdm=True,
                use_cpu=training.device == "cpu",
                bf16=choose_precision(choose_device(training.device), training.precision) == "bf16",
                seed=training.seed,
            ),
            train_dataset=order,  # type: ignore[arg-type]
            callbacks=[Timed()],
        )
        same.train()
    return clock.steps_per_second


PLAIN = "calibration.variant=off"
FFT = (PLAIN, "method.name=fft")
LORA = (PLAIN, "method.name=lora", "method.reference=true")
"""Trains what plain peft trains: factors of query and value, and the head."""


def turn(sets: list[str], root: Path, more: Sequence[str] = ()) -> dict[str, float]:
    """Steps a second of each side, one after the other.

    Args:
        more: settings that our side is also timed with.
    """
    found = {
        "fft": ours([*sets, *FFT], root)[0],
        "fft peer": trainer(sets, root, lora=False),
        "lora": ours([*sets, *LORA], root)[0],
        "lora peer": trainer(sets, root, lora=True),
    }
    if more:
        found["fft with"] = ours([*sets, *FFT, *more], root)[0]
        found["lora with"] = ours([*sets, *LORA, *more], root)[0]
    return found


def ratio(turns: list[dict[str, float]], name: str, to: str = "") -> str:
    """Median and range over turns of `name` to `to`, by itself of ours to theirs."""
    each = [found[name] / found[to or f"{name} peer"] for found in turns]
    return f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"


def median(turns: list[dict[str, float]], name: str) -> float:
    return statistics.median(found[name] for found in turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo-bert")
    parser.add_argument("--task", default="MRPC")
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("CALISR_GLUE_DIR"))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--with", dest="more", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sets = settings(arguments)
    turns: list[dict[str, float]] = []
    phases: dict[str, list[float]] = {"fft": [], "lft": []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number in range(arguments.turns + 1):
            found = turn(sets, root, arguments.more)
            both = ours(
                [*sets, PLAIN, "method.name=lora", "schedule.switch_at=0.5",
                'method.components=["query","key","value","attention_output","intermediate","output"]'],
                root,
            )[1]  # fmt: skip
            if number:  # the first turn warms caches up
                turns.append(found)
                for phase in phases:
                    phases[phase].append(both[phase])
    fft, lft = (statistics.median(phases[p]) for p in ("fft", "lft"))
    model = Path(arguments.model).name if "/" in arguments.model else arguments.model
    text = (
        heading(f"Training speed, {model} on {arguments.task}", describe(arguments.threads, [42]))
        + f"\n{arguments.turns} turns of {arguments.steps} steps, batch {arguments.batch}, "
        f"{arguments.device}, {arguments.precision}. Medians; ratios above 1: this project is "
        "faster.\n\n| | ours, steps/s | transformers, steps/s | ratio (range over turns) |\n"
        "|---|---|---|---|\n"
        f"| full fine-tuning / Trainer | {median(turns, 'fft'):.2f} | "
        f"{median(turns, 'fft peer'):.2f} | {ratio(turns, 'fft')} |\n"
        f"| LoRA (query, value, r 8) / Trainer with peft | "
        f"{median(turns, 'lora'):.2f} | {median(turns, 'lora peer'):.2f} | "
        f"{ratio(turns, 'lora')} |\n\n"
        f"LoRA on all six components, switched half-way: {fft * 1000:.1f} ms a step before, "
        f"{lft * 1000:.1f} ms after ({fft / lft:.2f} times as fast).\n"
    )
    if arguments.more:
        text += (
            f"\nWith {', '.join(arguments.more)}, against ours without and the other side:\n\n"
            "| | steps/s | / without | / transformers |\n|---|---|---|---|\n"
        ) + "".join(
            f"| {name} | {median(turns, f'{name} with'):.2f} | "
            f"{ratio(turns, f'{name} with', name)} | "
            f"{ratio(turns, f'{name} with', f'{name} peer')} |\n"
            for name in ("fft", "lora")
        )
    if arguments.out:
        with arguments.out.open("a") as file:
            file.write(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
