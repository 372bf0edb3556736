"""`calisr tune` against a grid of the same number of runs, on one task.

    python benchmarks/tune_against_grid.py --data-dir GLUE --work FOLDER --out result.md

The packaged BERT with LoRA on 2,000 examples of SST-2: the rate of the full part and head, and that
of LoRA's factors, over three decades each. The grid takes four values of each, evenly on a
logarithmic scale; the searches take as many trials as the grid has runs. Then the best settings of
each are trained with five seeds that had no part in the choice. The folder keeps all runs: the same
command goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from machine import describe, heading

from calisr_engine.runs import load_view

RATES = (1e-5, 1e-4, 1e-3, 1e-2)
LIGHT = (1e-4, 1e-3, 1e-2, 1e-1)
SEEDS = 5
COMMON = (
    "model.name=demo-bert",
    "task.name=SST-2",
    "task.max_train_examples=2000",
    "method.name=lora",
    "training.epochs=3",
    "training.threads=1",
    "training.device=cpu",
    "output.export=false",
    "output.predictions=false",
)
SEARCHES = {
    "tpe, no early ends": ("--pruner", "none"),
    "tpe, median": ("--pruner", "median"),
    "random, no early ends": ("--sampler", "random", "--pruner", "none"),
}


def calisr(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "calisr_tui", *words], check=False, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def sets(*more: str) -> list[str]:
    return [word for each in (*COMMON, *more) for word in ("--set", each)]


def grid(work: Path, data: str) -> dict[str, object]:
    """Every run of the grid, in its order, and the best one's other seeds."""
    scores: list[tuple[float, float, float]] = []
    steps = 0
    for rate in RATES:
        for light in LIGHT:
            score, done = one(work, data, rate, light, 42)
            steps += done
            scores.append((score, rate, light))
    best = max(scores, key=lambda each: each[0])
    fresh = [one(work, data, *best[1:], seed)[0] for seed in range(43, 43 + SEEDS)]
    return {"scores": [each[0] for each in scores], "steps": steps, "best": best, "fresh": fresh}


def one(work: Path, data: str, rate: float, light: float, seed: int) -> tuple[float, int]:
    name = f"grid-{rate:g}-{light:g}-{seed}"
    if not (work / name / "best").is_dir():
        calisr(
            "run", "--data-dir", data, "--output-dir", str(work), "-q",
            *sets(
                f"training.learning_rate={rate}", f"training.lft_learning_rate={light}",
                f"training.seed={seed}", f"output.name={name}",
            ),
        )  # fmt: skip
    view = load_view(work / name)
    return view.best or 0.0, view.step


def search(work: Path, data: str, name: str, seed: int, *how: str) -> dict[str, object]:
    folder = f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
    printed = calisr(
        "tune", "--data-dir", data, "--output-dir", str(work), "--name", folder,
        "--trials", str(len(RATES) * len(LIGHT)), "--seeds", str(SEEDS), "--search-seed", str(seed),
        "--search", f"training.learning_rate={RATES[0]}..{RATES[-1]}",
        "--search", f"training.lft_learning_rate={LIGHT[0]}..{LIGHT[-1]}",
        *how, "--threads", "1", "--json", *sets(),
    )  # fmt: skip
    told = json.loads(printed)
    trials = told["trials"]
    best = next(each for each in trials if each["run"] == told["best"])
    return {
        "scores": [each["score"] or 0.0 for each in trials],
        "steps": sum(each["step"] for each in trials),
        "best": (best["score"], *best["values"].values()),
        "fresh": list(told["seeds"].values()),
    }


def row(name: str, found: dict[str, object]) -> str:
    scores, fresh = found["scores"], found["fresh"]
    assert isinstance(scores, list)
    assert isinstance(fresh, list)
    curve = [max(scores[: n + 1]) for n in range(len(scores))]
    best = found["best"]
    assert isinstance(best, tuple)
    at = " | ".join(f"{curve[n - 1]:.4f}" for n in (4, 8, 12, 16))
    spread = f"{statistics.mean(fresh):.4f} ± {statistics.stdev(fresh):.4f}"
    return f"| {name} | {at} | {best[1]:.1e} / {best[2]:.1e} | {spread} | {found['steps']} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--search-seeds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    lines = [
        heading("Search against a grid", describe(1, list(range(42, 43 + SEEDS)))),
        (main.__globals__["__doc__"] or "").split("\n\n", 2)[2].strip(),
        "",
        "| | best after 4 | 8 | 12 | 16 | its rates (full / light) | other seeds | steps |",
        "|---|---|---|---|---|---|---|---|",
        row("grid, 4 x 4", grid(arguments.work, arguments.data_dir)),
    ]
    for name, how in SEARCHES.items():
        for seed in range(arguments.search_seeds):
            found = search(arguments.work, arguments.data_dir, name, seed, *how)
            lines.append(row(f"{name}, search seed {seed}", found))
    text = "\n".join(lines) + "\n"
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
