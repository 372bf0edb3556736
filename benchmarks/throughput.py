"""Training speed against transformers' Trainer, alone (FFT) and with peft (LoRA), in one run.

    python benchmarks/throughput.py --data-dir GLUE --model MODEL --steps 60 --out result.md

Both sides train the same model on the same batches in the same order, padded to the longest text of
each batch, in fp32, with fused AdamW, clipping and a linear schedule; nothing is evaluated or saved
meanwhile. Turns alternate, and the median of the ratios of each turn is what counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from machine import describe, heading

from calisr_engine.config.load import load
from calisr_engine.config.schema import RunConfig
from calisr_engine.events.log import EventWriter
from calisr_engine.models.load import load_model
from calisr_engine.runs.create import create_run
from calisr_engine.runs.layout import RunPaths
from calisr_engine.tasks.data import load_task
from calisr_engine.training.batching import TaskBatches
from calisr_engine.training.build import prepare
from calisr_engine.training.loop import TrainingLoop


def settings(arguments: argparse.Namespace, root: Path, *more: str) -> list[str]:
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
        *more,
    ]


def ours(arguments: argparse.Namespace, root: Path, *more: str) -> tuple[float, dict[str, float]]:
    """(steps a second, seconds a step by phase) of our loop."""
    run_dir = create_run(load(None, settings(arguments, root, *more), {"output.dir": root}))
    paths = RunPaths(run_dir)
    config = load(None, settings(arguments, root, *more), {"output.dir": root}).config
    with EventWriter(paths.events, 1) as writer:
        loop = TrainingLoop(prepare(config, paths, writer, resume=False))
        loop.run()
    tally = loop.prepared.reporter.tally
    per_step = {str(p): tally.seconds[p] / n for p, n in tally.steps.items() if n}
    return loop.step / tally.wall_seconds, per_step


def trainer(arguments: argparse.Namespace, root: Path, lora: bool) -> float:
    """Steps a second of transformers' Trainer."""
    from peft import LoraConfig, get_peft_model
    from torch.utils.data import DataLoader
    from transformers import Trainer, TrainingArguments

    config: RunConfig = load(None, settings(arguments, root), {"output.dir": root}).config
    data = load_task(config.task)
    assert data.label_names is not None
    loaded = load_model(
        config.model, num_labels=len(data.label_names), kind=data.kind, seed=config.training.seed
    )
    batches = TaskBatches(data, loaded.tokenizer, config)
    order = [(epoch, index) for epoch in range(50) for index in range(batches.per_epoch)]
    order = order[: arguments.steps]
    model: Any = loaded.model
    if lora:
        model = get_peft_model(
            model,
            LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules=["query", "value"]),
        )

    class Same(Trainer):
        """Takes the batches that our loop takes."""

        def get_train_dataloader(self) -> Any:
            return DataLoader(
                order,  # type: ignore[arg-type]
                batch_size=None,
                collate_fn=lambda at: batches.train(at[0], at[1], torch.device("cpu")),
            )

    bf16 = arguments.precision == "bf16"
    with tempfile.TemporaryDirectory() as folder:
        same = Same(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=arguments.batch,
                max_steps=arguments.steps,
                learning_rate=config.training.learning_rate,
                weight_decay=0.01,
                optim="adamw_torch_fused",
                lr_scheduler_type="linear",
                save_strategy="no",
                eval_strategy="no",
                logging_steps=10,
                report_to="none",
                disable_tqdm=True,
                use_cpu=arguments.device == "cpu",
                bf16=bf16,
                seed=config.training.seed,
            ),
            train_dataset=order,  # type: ignore[arg-type]
        )
        began = time.monotonic()
        result = same.train()
        took = time.monotonic() - began
    return result.global_step / took


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
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    plain = ["calibration.variant=off"]
    lora = [*plain, "method.name=lora", "method.reference=true"]
    speeds: dict[str, list[float]] = {"fft": [], "fft peer": [], "lora": [], "lora peer": []}
    phases: dict[str, list[float]] = {"fft": [], "lft": []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for turn in range(arguments.turns + 1):
            found = {
                "fft": ours(arguments, root, *plain, "method.name=fft")[0],
                "fft peer": trainer(arguments, root, lora=False),
                "lora": ours(arguments, root, *lora)[0],
                "lora peer": trainer(arguments, root, lora=True),
            }
            both = ours(
                arguments, root, *plain, "method.name=lora", "schedule.switch_at=0.5",
                'method.components=["query","key","value","attention_output","intermediate","output"]',
            )[1]  # fmt: skip
            if turn:  # the first turn warms caches up
                for name, speed in found.items():
                    speeds[name].append(speed)
                for phase, seconds in both.items():
                    if phase in phases:
                        phases[phase].append(seconds)
    median = {name: statistics.median(values) for name, values in speeds.items()}

    def ratio(a: str, b: str) -> str:
        each = [x / y for x, y in zip(speeds[a], speeds[b], strict=True)]
        return f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"

    fft, lft = (statistics.median(phases[p]) for p in ("fft", "lft"))
    model = Path(arguments.model).name if "/" in arguments.model else arguments.model
    text = (
        heading(f"Training speed, {model} on {arguments.task}", describe(arguments.threads, [42]))
        + f"\n{arguments.turns} turns of {arguments.steps} steps, batch {arguments.batch}, "
        f"{arguments.device}, {arguments.precision}. Medians; ratios above 1: this project is "
        "faster.\n\n| | ours, steps/s | transformers, steps/s | ratio (range over turns) |\n"
        "|---|---|---|---|\n"
        f"| full fine-tuning / Trainer | {median['fft']:.2f} | {median['fft peer']:.2f} | "
        f"{ratio('fft', 'fft peer')} |\n"
        f"| LoRA (query, value, r 8) / Trainer with peft | {median['lora']:.2f} | "
        f"{median['lora peer']:.2f} | {ratio('lora', 'lora peer')} |\n\n"
        f"LoRA on all six components, switched half-way: {fft * 1000:.1f} ms a step before, "
        f"{lft * 1000:.1f} ms after ({fft / lft:.2f} times as fast).\n"
    )
    if arguments.out:
        with arguments.out.open("a") as file:
            file.write(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
