"""The first sample of a run and later ones, as they are and prepared in a thread.

    python benchmarks/first_sample.py --data-dir GLUE --out results/first-sample.md

Runs of LoRA, CaliSr-S on SST-2, in turns with and without `calibration.prepare_first_sample`:
the packaged BERT, and random weights with a few strong directions in the shape of BERT-base. Each
pair must end with the same weights and hits.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from calibration_cost import save_model
from gpu_bench import events, table
from machine import describe, heading
from safetensors.torch import load_file

from calisr_engine.config.load import load
from calisr_engine.process.execute import execute
from calisr_engine.runs import load_view
from calisr_engine.runs.create import create_run

EVERY = 6
"""Steps from sample to sample; a prepared one is begun before the fourth."""


def sampled(arguments: argparse.Namespace, model: str, root: Path, prepared: bool) -> Any:
    """(seconds of each sample, seconds a step, hits, weights) of one run."""
    sets = [
        f"model.name={model}",
        "task.name=sst2",
        f"task.data_dir={arguments.data_dir}",
        "task.max_train_examples=400",
        "task.max_validation_examples=8",
        "method.name=lora",
        "calibration.variant=S",
        f"calibration.every_steps={EVERY}",
        "calibration.decide_every_steps=1000",
        f"calibration.prepare_first_sample={str(prepared).lower()}",
        f"training.batch_size={arguments.batch}",
        f"training.max_steps={3 * EVERY}",
        "training.learning_rate=2e-5",
        f"training.threads={arguments.threads}",
        f"training.device={arguments.device}",
        "output.export=false",
    ]
    run = create_run(load(None, sets, {"output.dir": root}))
    assert execute(run, raise_errors=True) == 0
    taken = events(run, "stable_rank_sampled")
    hits = [[group["hit"] for group in each["groups"].values()] for each in taken]
    summary = load_view(run).summary
    assert summary is not None
    newest = max((run / "checkpoints").glob("step-*"), key=lambda p: int(p.name.split("-")[1]))
    step = summary["seconds"] / summary["steps"]
    weights = load_file(newest / "model.safetensors")
    return [each["seconds"] for each in taken], step, json.dumps(hits), weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("CALISR_GLUE_DIR"))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--models", default="demo-bert,BERT-base")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in arguments.models.split(","):
            model = name
            if name == "BERT-base":
                model = str(save_model(root / "base", 12, 768, spiked=True))
            found: dict[bool, list[Any]] = {False: [], True: []}
            for _ in range(arguments.turns):
                for prepared in found:
                    found[prepared].append(sampled(arguments, model, root / "runs", prepared))
                (*_, hits, weights), (*_, others, same) = (each[-1] for each in found.values())
                assert hits == others, "the two decide differently"
                assert all(torch.equal(value, same[key]) for key, value in weights.items())
            for prepared, each in found.items():
                first = statistics.median(samples[0] for samples, *_ in each)
                later = statistics.median(s for samples, *_ in each for s in samples[1:])
                step = statistics.median(step for _, step, *_ in each)
                rows.append(
                    f"{name} | {'in a thread' if prepared else 'at the sample'} | {first:.2f} | "
                    f"{later:.2f} | {step:.2f}"
                )
                print(rows[-1], flush=True)
    text = (
        heading("The first sample of a run", describe(arguments.threads, [42]))
        + f"\nLoRA on all six components, CaliSr-S, SST-2, batch {arguments.batch}, "
        f"{arguments.device}; {arguments.turns} turns, a sample every {EVERY} steps, seconds. Both "
        "ways gave the same weights and hits.\n\n"
        + table("model | certificates made | first sample | later ones | a step", rows)
    )
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
