"""Every method, plain and calibrated, on real GLUE tasks with a small model: one table.

    python benchmarks/glue_table.py --data-dir GLUE --work runs-table --out table.md

Run directories stay in `--work`, so that a second call goes on where the first one ended. Each run
is a process of its own, pinned to one thread; its peak resident memory is the system's own figure.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import statistics
from pathlib import Path
from typing import Any

from machine import describe, heading

from calisr_engine.config.load import load
from calisr_engine.runs import load_view
from calisr_engine.runs.create import create_run

TASKS = ("SST-2", "STS-B", "CoLA", "MRPC", "RTE")
# Each run forks off a process that has done its imports, which take longer than some runs.
PROCESSES = multiprocessing.get_context("forkserver")
IMPORTED = [
    "calisr_engine.process.execute",
    "peft",
    "transformers.models.bert.modeling_bert",
    "datasets",
]

FIRST = ("fft", "lora", "mpop", "child_tuning_d")
METHODS = (
    *FIRST,
    "child_tuning_f",
    "mask_bert",
    "bitfit",
    "adapter",
    "prefix",
    "diff_pruning",
)
UNCALIBRATED = ("fft", "adapter", "prefix", "diff_pruning")

# Examples (None: all) and epochs of each task.
LENGTH: dict[str, tuple[int | None, int]] = {
    "SST-2": (4000, 3),
    "MRPC": (None, 3),
    "STS-B": (None, 3),
    "CoLA": (None, 2),
    "RTE": (None, 3),
}

# Learning rates by size of model: that of full fine-tuning, and for each light method that of what
# it trains beside its core (biases, LayerNorm, head) and of its core (None: the same). From a small
# search on 2,000 examples of STS-B with one seed (glue-rates.md), not tuned task by task.
RATES: dict[str, dict[str, tuple[float, float | None]]] = {
    "two-layers": {
        "fft": (3e-4, None),
        "lora": (1e-3, 5e-3),
        "mpop": (1e-2, 1e-3),
        "child_tuning_d": (1e-2, 1e-3),
        "child_tuning_f": (1e-3, None),
        "mask_bert": (1e-2, 2e-3),
        "bitfit": (1e-2, None),
        "adapter": (1e-2, 2e-3),
        "prefix": (1e-2, None),
        "diff_pruning": (1e-2, 3e-4),
    },
    "six-layers": {
        "fft": (5e-5, None),
        "lora": (1e-3, 2e-3),
        "mpop": (1e-3, 2e-4),
        "child_tuning_d": (1e-3, 1e-4),
        "child_tuning_f": (1e-4, None),
        "mask_bert": (1e-3, 2e-3),
        "bitfit": (2e-3, None),
        "adapter": (1e-3, None),
        "prefix": (1e-3, 1e-2),
        "diff_pruning": (1e-3, 1e-4),
    },
}
CORE_KEY = {"mpop": "method.mpo_lr", "mask_bert": "method.mask_lr"}
"""Where a method has a rate of its own; else `training.lft_learning_rate`."""


def rates(method: str, variant: str, arguments: argparse.Namespace) -> list[str]:
    """A plain run takes the method's rates, a calibrated one that of full fine-tuning first."""
    table = RATES[arguments.rates]
    beside, core = table[method]
    found = [f"training.learning_rate={beside if variant == 'off' else table['fft'][0]}"]
    if core is not None:
        found.append(f"{CORE_KEY.get(method, 'training.lft_learning_rate')}={core}")
    return found


def length(task: str, arguments: argparse.Namespace) -> tuple[int | None, int]:
    """Training examples (None: all) and epochs."""
    examples, epochs = LENGTH[task]
    return arguments.examples or examples, arguments.epochs or epochs


def settings(cell: tuple[str, str, str, int], arguments: argparse.Namespace) -> list[str]:
    task, method, variant, seed = cell
    examples, epochs = length(task, arguments)
    limit = [] if examples is None else [f"task.max_train_examples={examples}"]
    sets = [
        *limit,
        f"model.name={arguments.model}",
        f"task.name={task}",
        f"task.data_dir={arguments.data_dir}",
        f"task.max_length={arguments.max_length}",
        f"method.name={method}",
        f"calibration.variant={variant}",
        "calibration.delta=0.5",
        "calibration.samples_per_epoch=5",
        f"training.seed={seed}",
        f"training.epochs={epochs}",
        "training.threads=1",
        "training.batch_size=32",
        "training.warmup_ratio=0.06",
        "training.device=cpu",
        "output.export=false",
        "output.checkpoint_every_steps=100000",
    ]
    return sets + rates(method, variant, arguments)


def train(folder: Path) -> None:
    """Body of a run's process: train to the end, then note the largest resident memory (bytes)."""
    from calisr_engine.process.execute import execute

    if execute(folder) == 0:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        (folder / "peak_memory").write_text(str(peak))


def run(cell: tuple[str, str, str, int], arguments: argparse.Namespace) -> dict[str, Any]:
    """The summary of a finished run of these settings, trained now if there is none yet."""
    name = "-".join(map(str, cell))
    folder = arguments.work / name
    memory = folder / "peak_memory"
    if not memory.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        resolved = load(
            None,
            [*settings(cell, arguments), f"output.name={name}"],
            {"output.dir": arguments.work},
        )
        create_run(resolved)
        process = PROCESSES.Process(target=train, args=(folder,))
        process.start()
        process.join()
        if not memory.is_file():
            failure = load_view(folder).failure
            return {"failed": failure.message if failure else f"status {process.exitcode}"}
        for heavy in ("best", "checkpoints"):
            shutil.rmtree(folder / heavy, ignore_errors=True)
    view = load_view(folder)
    found = {**(view.summary or {}), "peak": int(memory.read_text())}
    return {**found, "step_seconds": undisturbed_seconds(folder)}


def undisturbed_seconds(folder: Path) -> float | None:
    """Seconds a step in the fastest tenth of the progress reports; None where there are none.

    The mean over the run would be that of whatever else the machine did meanwhile.
    """
    lines = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines if '"progress"' in line]
    seconds = sorted(r["seconds_per_step"] for r in records if r.get("seconds_per_step"))
    return seconds[len(seconds) // 10] if seconds else None


def cells(arguments: argparse.Namespace) -> list[tuple[str, str, str]]:
    return [
        (task, method, variant)
        for task in arguments.tasks.split(",")
        for method in arguments.methods.split(",")
        for variant in arguments.variants.split(",")
        if variant == "off" or method not in UNCALIBRATED
    ]


def row(cell: tuple[str, str, str], found: list[dict[str, Any]]) -> str:
    task, method, variant = cell
    good = [f for f in found if "failed" not in f]
    label = method if variant == "off" else f"{method} + CaliSr-{variant}"
    if not good:
        return f"| {task} | {label} | 0 | failed: {found[0]['failed']} | | | | | |"

    def number(key: str, digits: int = 4) -> str:
        values = [f[key] for f in good if f.get(key) is not None]
        if not values:
            return "–"
        text = f"{statistics.mean(values):.{digits}f}"
        return text + (f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else "")

    first = good[0]
    before = 1.0 if variant != "off" else None
    share = first["trainable"] / first["total"]
    shares = f"{share:.2%}" if before is None else f"{before:.0%} → {share:.2%}"
    steps = first.get("switched") or {}
    when = (
        "–"
        if variant == "off"
        else ", ".join(f"{g} {s if s is not None else 'never'}" for g, s in steps.items())
        or "never"
    )
    fastest = min((f["step_seconds"] for f in good if f["step_seconds"]), default=None)
    speed = "–" if fastest is None else f"{fastest:.3f}"
    peak = max(f["peak"] for f in good) / 2**20
    return (
        f"| {task} | {label} | {len(good)} | {number('best')} | {number('last')} | {shares} | "
        f"{when} | "
        f"{speed} | {peak:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo-bert")
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("CALISR_GLUE_DIR"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--methods", default=",".join(FIRST))
    parser.add_argument("--variants", default="off,D,S")
    parser.add_argument("--seeds", default="42")
    parser.add_argument("--title", help="How the page names the model.")
    parser.add_argument("--examples", type=int, help="At most so many, whatever the task.")
    parser.add_argument("--epochs", type=int, help="So many, whatever the task.")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--rates", choices=list(RATES), default="two-layers")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--reading", type=Path, help="Text that follows the table.")
    parser.add_argument("--table-only", action="store_true", help="Only write what is there.")
    arguments = parser.parse_args()
    if arguments.data_dir is None:
        parser.error("give --data-dir or set CALISR_GLUE_DIR")
    arguments.data_dir = Path(arguments.data_dir).resolve()
    arguments.work = arguments.work.resolve()
    arguments.work.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    PROCESSES.set_forkserver_preload(IMPORTED)
    seeds = [int(s) for s in arguments.seeds.split(",")]
    results: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for seed in seeds:
        for cell in cells(arguments):
            ready = (arguments.work / "-".join(map(str, (*cell, seed))) / "peak_memory").is_file()
            if arguments.table_only and not ready:
                continue
            results.setdefault(cell, []).append(run((*cell, seed), arguments))
            print(row(cell, results[cell]), flush=True)
            write(arguments, seeds, results)


def write(
    arguments: argparse.Namespace,
    seeds: list[int],
    results: dict[tuple[str, str, str], list[dict[str, Any]]],
) -> None:
    order = [cell for cell in cells(arguments) if cell in results]
    model = arguments.title or arguments.model
    lengths = ", ".join(
        f"{task} {'all' if n is None else f'{n:,}'} x {epochs}"
        for task in arguments.tasks.split(",")
        for n, epochs in [length(task, arguments)]
    )
    text = (
        heading(f"GLUE with {model}", describe(1, seeds))
        + f"\nTraining examples x epochs: {lengths}; batch 32, inputs up to "
        f"{arguments.max_length} tokens, full validation sets; calibrated runs with delta 0.5 and "
        "n = 5. Learning rates stand in the script. Other work ran on the machine all the while, "
        "so seconds are rough.\n\n"
        "Best and last: the task's metric (mean ± standard deviation where there are several "
        "seeds). Share: trainable parameters, before → after the switches. Seconds a step: in the "
        "fastest tenth of the progress reports. Peak: largest resident memory of the process, "
        "MiB.\n\n"
        "| task | method | seeds | best | last | share | switch steps (first seed) | "
        "s/step | peak |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
        + "\n".join(row(cell, results[cell]) for cell in order)
        + "\n"
    )
    if arguments.reading is not None:
        text += "\n" + arguments.reading.read_text()
    arguments.out.write_text(text)


if __name__ == "__main__":
    main()
