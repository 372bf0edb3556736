"""What calibration costs: a sample against fp64 `svdvals`, and its share of training time.

    python benchmarks/calibration_cost.py --data-dir GLUE --out result.md

BERT-base (or --layers 24 --hidden 1024: BERT-large) with random weights: Gaussian, as initialised,
and spiked (a Gaussian plus a few strong directions, as trained weights have). A real run trains it
on RTE and on SST-2 and takes samples; the share is that of five samples in an epoch of the task.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from pathlib import Path

import torch
from machine import describe, heading
from safetensors.torch import load_file
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from calisr_engine.calibration.certified import CertifiedComparison
from calisr_engine.config.load import load
from calisr_engine.models import catalog
from calisr_engine.models.components import find_targets
from calisr_engine.process.execute import execute
from calisr_engine.runs import load_view
from calisr_engine.runs.create import create_run

TRAIN_EXAMPLES = {"RTE": 2490, "SST-2": 67349}


def save_model(folder: Path, layers: int, hidden: int, spiked: bool) -> Path:
    """A random BERT of that size, with the vocabulary of the packaged one."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(catalog.resolve("demo-bert"))
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        intermediate_size=4 * hidden,
    )
    model = BertForSequenceClassification(config)
    if spiked:
        with torch.no_grad():
            for target in find_targets(model):
                weight = target.weight
                for strength in (1.0, 0.6, 0.4, 0.3):
                    left, right = torch.randn(weight.shape[0]), torch.randn(weight.shape[1])
                    scale = strength * 0.1 * math.sqrt(weight.numel()) * 0.02 * 4
                    weight += scale * torch.outer(left / left.norm(), right / right.norm())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def sample_against_svdvals(model: Path, device: str, steps: int = 3) -> tuple[float, float, float]:
    """(first sample, later samples, svdvals of the same matrices), seconds."""
    weights = {
        name: tensor.double().to(device)
        for name, tensor in load_file(model / "model.safetensors").items()
        if name.startswith("bert.encoder") and tensor.ndim == 2
    }
    generator = torch.Generator().manual_seed(1)
    comparison = CertifiedComparison()
    times = []
    for _ in range(steps):
        pairs = {}
        for name, weight in weights.items():
            # AdamW moves each weight by about the learning rate.
            core = 2e-5 * torch.randn(weight.shape, generator=generator).to(device)
            extra = 2e-5 * torch.randn(weight.shape, generator=generator).to(device)
            pairs[name] = (weight + core, weight + core + extra)
            weights[name] = pairs[name][1]
        synchronise(device)
        began = time.monotonic()
        comparison.compare(pairs)
        synchronise(device)
        times.append(time.monotonic() - began)
    synchronise(device)
    began = time.monotonic()
    for pair in pairs.values():
        for weight in pair:
            torch.linalg.svdvals(weight)
    synchronise(device)
    return times[0], min(times[1:]), time.monotonic() - began


def synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def training_share(
    arguments: argparse.Namespace, model: Path, task: str, root: Path
) -> tuple[float, float, float]:
    """(seconds a step, seconds a sample, share of five samples an epoch) of a real run."""
    sets = [
        f"model.name={model}",
        f"task.name={task}",
        f"task.data_dir={arguments.data_dir}",
        "task.max_length=128",
        "task.max_train_examples=320",
        "task.max_validation_examples=8",
        "method.name=lora",
        "calibration.variant=S",
        "calibration.every_steps=2",
        "calibration.decide_every_steps=1000",
        "training.batch_size=32",
        f"training.max_steps={arguments.steps}",
        f"training.threads={arguments.threads}",
        f"training.device={arguments.device}",
        f"training.precision={arguments.precision}",
        "output.export=false",
    ]
    run_dir = create_run(load(None, sets, {"output.dir": root}))
    assert execute(run_dir, raise_errors=True) == 0
    summary = load_view(run_dir).summary
    assert summary is not None
    lines = (run_dir / "events.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    samples = [r["seconds"] for r in records if r["type"] == "stable_rank_sampled"]
    step = summary["seconds"] / summary["steps"]
    sample = sum(samples[1:]) / len(samples[1:])  # the first one makes the anchors, once a run
    steps_per_epoch = math.ceil(TRAIN_EXAMPLES[task] / 32)
    return step, sample, 5 * sample / (steps_per_epoch * step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("CALISR_GLUE_DIR"))
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--tasks", default="RTE,SST-2")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows, shares = [], []
    for kind in ("spiked", "Gaussian"):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            model = save_model(root / "model", arguments.layers, arguments.hidden, kind == "spiked")
            first, later, svd = sample_against_svdvals(model, arguments.device)
            rows.append(f"| {kind} | {first:.2f} | {later:.2f} | {svd:.2f} | {svd / later:.1f} |")
            print(rows[-1], flush=True)
            for task in arguments.tasks.split(","):
                step, sample, share = training_share(arguments, model, task, root / "runs")
                shares.append(f"| {kind} | {task} | {step:.2f} | {sample:.2f} | {share:.2%} |")
                print(shares[-1], flush=True)
    size = f"BERT of {arguments.layers} layers and hidden size {arguments.hidden}"
    text = (
        heading(f"Cost of calibration, {size}", describe(arguments.threads, [42]))
        + f"\n{arguments.device}, {arguments.precision}.\n\nOne sample of all targets against "
        "float64 `svdvals` of the same matrices (W_LFT and W_FFT of each), seconds:\n\n"
        "| weights | first sample | later samples | svdvals | times faster |\n"
        "|---|---|---|---|---|\n" + "\n".join(rows) + "\n\nA real run (LoRA, CaliSr-S, batch 32), "
        "and the share of training time that five samples take in an epoch of the whole task:\n\n"
        "| weights | task | s/step | s/sample | share |\n|---|---|---|---|---|\n"
        + "\n".join(shares)
        + "\n"
    )
    if arguments.out:
        with arguments.out.open("a") as file:
            file.write(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
