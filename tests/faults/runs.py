"""Small runs of every kind for campaigns, and what must be equal however they were disturbed."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from calisr_engine.events.log import read_records
from calisr_engine.events.rewind import effective
from calisr_engine.runs import load_view
from calisr_engine.storage.whole import MARK
from tests.training.golden import KEPT, cases, digest, newest_checkpoint

SUMMARY = ("best", "best_step", "last", "switched", "trainable", "samples", "steps", "ended_early")
NOT_ALWAYS = ("lock", "log.txt", "control", "checkpoints", "best")
"""A run that was stopped has saved, so it keeps checkpoints of other steps."""

FIGURES = {kind: keys for kind, keys in KEPT.items() if kind != "run_started"}


def configuration(rng: random.Random) -> tuple[str, tuple[str, ...]]:
    """(name, settings): a method, plain, scheduled or calibrated in one of its readings, with
    accumulation, evaluations, patience, samples and checkpoints of any number."""
    name, (sets, _) = rng.choice(sorted(cases().items()))
    drawn = [
        "training.epochs=2",
        f"training.seed={rng.randrange(5)}",
        f"output.checkpoint_every_steps={rng.choice([1, 2, 3, 5])}",
        f"output.keep_checkpoints={rng.choice([1, 2, 3])}",
        f"training.eval_every_steps={rng.choice([1, 2, 3, 4])}",
        f"training.early_stopping={rng.choice(['none', 1, 2])}",
    ]
    if not any(each.startswith("training.accumulate") for each in sets):
        drawn.append(f"training.accumulate={rng.choice([1, 1, 2])}")
    if any(each.startswith("calibration.variant") for each in sets):
        drawn.append(f"calibration.keep_samples={rng.choice(['true', 'false'])}")
    keys = {each.partition("=")[0] for each in sets}
    drawn = [each for each in drawn if each.partition("=")[0] not in keys]
    return name.removesuffix("/killed").removesuffix("/stopped"), (*sets, *drawn)


def command(model: Path, output: Path, name: str, sets: Sequence[str]) -> list[str]:
    """Words of `calisr run` for a tiny run."""
    common = [
        f"model.name={model}",
        "task.max_train_examples=96",
        "task.max_validation_examples=40",
        "task.max_length=64",
        "training.batch_size=16",
        "training.learning_rate=1e-2",
        "training.device=cpu",
        "training.threads=1",
        "output.progress_every_seconds=0",
        f"output.name={name}",
    ]
    words = [f"--set={each}" for each in (*common, *sets)]
    return ["run", "--quiet", "--task", "demo", "--output-dir", str(output), *words]


def warm(model: Path, output: Path) -> None:
    """Train once in this process, so that its children need not import anything."""
    import torch

    from calisr_tui.cli.app import run_command_line

    torch.set_num_threads(1)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = run_command_line(command(model, output, "warm", ()))
        status += run_command_line(["export", str(output / "warm"), str(output / "out")])
    assert status == 0
    shutil.rmtree(output)


def outcome(run: Path) -> dict[str, Any]:
    """Weights, figures of the log, predictions and files of a complete run."""
    view = load_view(run)
    assert view.state == "completed", f"{run.name} is {view.state}"
    assert view.summary is not None
    held = {line.seq for line in effective(read_records(run / "events.jsonl"))}
    records = [r for r in read_records(run / "events.jsonl") if r["type"] in FIGURES]
    figures = [
        json.dumps({key: r[key] for key in ("type", "step", *FIGURES[r["type"]])})
        for r in records
        if r["seq"] in held
    ]
    lines = (run / "events.jsonl").read_text().splitlines()
    numbers = [json.loads(line)["seq"] for line in lines]
    assert numbers == list(range(len(numbers))), "line numbers of the log"
    newest = newest_checkpoint(run)
    tensors = [*newest.glob("*.safetensors"), *(run / "best").glob(f"step-{view.best_step}/*s")]
    tensors += [*(run / "model").glob("*.safetensors"), *(run / "samples").glob("*")]
    texts = [*(run / "predictions").glob("*"), *(run / "model").glob("*.json")]
    tensors, texts = (  # what is left over is told by `leftovers`
        [each for each in files if ".tmp" not in each.name] for files in (tensors, texts)
    )
    return {
        "summary": {key: view.summary[key] for key in SUMMARY},
        "figures": figures,
        "tensors": {str(each.relative_to(run)): digest(each) for each in tensors},
        "texts": {str(each.relative_to(run)): each.read_text() for each in texts},
        "files": sorted(
            str(each.relative_to(run))
            for each in run.rglob("*")
            if each.is_file() and each.relative_to(run).parts[0] not in NOT_ALWAYS
        ),
    }


def differing(first: dict[str, Any], second: dict[str, Any]) -> str:
    """The parts of two outcomes that differ, in a few words; "" if none does."""
    told = []
    for part, value in first.items():
        other = second[part]
        if value != other and isinstance(value, dict):
            names = sorted(k for k in value.keys() | other.keys() if value.get(k) != other.get(k))
            told.append(f"{part}: {', '.join(names)}")
        elif value != other:
            unlike = [pair for pair in zip(value, other, strict=False) if pair[0] != pair[1]][:1]
            told.append(
                f"{part}: {len(value)} and {len(other)}, {unlike or set(value) ^ set(other)}"
            )
    return "; ".join(told)


def leftovers(folder: Path) -> list[str]:
    """Temporary names below a folder: ours, and those of the libraries that write tensors."""
    return [
        str(each.relative_to(folder))
        for each in folder.rglob("*")
        if MARK in each.name or ".tmp" in each.name or ".cache" in each.name
    ]


def place(run: Path, where: str) -> str:
    """In which part of a run's life a fault struck, from "call path" of the layer."""
    call, _, path = where.partition(" ")
    inside = path.removeprefix(f"{run}/").lstrip("/")
    last = ""
    for record in read_records(run / "events.jsonl"):
        last = record["type"]
    first = inside.split("/", 1)[0]
    if call == "remove" and first in ("checkpoints", "best"):
        return "pruning"
    known = {"checkpoints": "saving a checkpoint", "best": "saving the best model"}
    known |= {"model": "exporting", "predictions": "writing predictions", "samples": "sampling"}
    for name, told in known.items():
        if first.startswith(name):
            return told
    if not path.startswith(f"{run}/"):
        return "outside the run"
    return f"log, after {last}" if first == "events.jsonl" else first.split(".tmp")[0]
