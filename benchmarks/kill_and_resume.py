"""SIGKILL a calibrated run at random moments, resume it, and compare with an undisturbed run.

    python benchmarks/kill_and_resume.py --kills 20

Final weights, counters, switches and metric must be equal to the bit (CPU). Kills fall at random
times over the run's life; some are aimed at checkpoint writing, by waiting for its temporary
folder, and some right after a switch, by waiting for its line in the log.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import describe, heading
from safetensors.torch import load_file

from calisr_engine.config.load import load
from calisr_engine.runs.create import create_run

TIMED = ("seconds", "time", "wall", "per_step")


def worker(run_dir: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "calisr_engine.process.worker", str(run_dir)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def settings(method: str, root: Path, name: str) -> Path:
    sets = [
        f"method.name={method}",
        "task.max_train_examples=640",
        "task.max_validation_examples=200",
        "training.epochs=3",
        "training.threads=1",
        "training.device=cpu",
        "calibration.variant=S",
        "calibration.delta=0.4",
        "output.checkpoint_every_steps=7",
        f"output.name={name}",
    ]
    return create_run(load("demo", sets, {"output.dir": root}))


def facts(run_dir: Path) -> dict[str, Any]:
    """What must be equal: weights, counters, decisions, metric. Times are left out."""
    records = [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]
    kept: list[dict[str, Any]] = []
    for record in records:
        if record["type"] == "run_started" and record.get("resumed_from") is not None:
            kept = [r for r in kept if r["step"] <= record["resumed_from"]]
        kept.append(record)
    story = [
        {k: v for k, v in r.items() if not any(t in k for t in TIMED) and k not in DROPPED}
        for r in kept
        if r["type"] in ("stable_rank_sampled", "srs_evaluated", "group_switched", "evaluated")
    ]
    # A run killed between its last evaluation and its end evaluates that step again.
    story = [each for i, each in enumerate(story) if i == 0 or each != story[i - 1]]
    weights = {
        k: v
        for p in sorted(run_dir.glob("checkpoints/step-*/model.safetensors"))[-1:]
        for k, v in load_file(p).items()
    }
    summary = {k: v for k, v in kept[-1]["summary"].items() if not any(t in k for t in TIMED)}
    summary.pop("calibration_share", None)
    return {"story": story, "weights": weights, "summary": summary}


DROPPED = {"seq", "attempt", "v", "freed_bytes"}


def aimed(run_dir: Path, kind: str, rng: random.Random, length: float) -> Callable[[], bool]:
    """A condition that says when to kill."""
    began = time.monotonic()
    if kind == "checkpoint":
        return lambda: any((run_dir / "checkpoints").glob("step-*.tmp-*"))
    if kind == "switch":
        log = run_dir / "events.jsonl"
        before = log.read_text().count('"group_switched"')
        return lambda: log.read_text().count('"group_switched"') > before
    wait = rng.uniform(0.1, 1.0) * length
    return lambda: time.monotonic() - began > wait


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--methods", default="lora,mpop,child_tuning_d")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    lines, all_equal = [], True
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for method in arguments.methods.split(","):
            calm = settings(method, root, f"{method}-calm")
            began = time.monotonic()
            status = worker(calm).wait()
            length = time.monotonic() - began
            assert status == 0, status
            expected = facts(calm)
            killed = settings(method, root, f"{method}-killed")
            kills: dict[str, int] = {"time": 0, "checkpoint": 0, "switch": 0}
            done = 0
            finished: list[Path] = []
            while done < arguments.kills:
                kind = rng.choice(["time", "time", "checkpoint", "switch"])
                process = worker(killed)
                due = aimed(killed, kind, rng, length)
                while process.poll() is None and not due():
                    time.sleep(0.001)
                if process.poll() is not None:
                    assert process.returncode == 0, process.returncode
                    if done < arguments.kills:  # ended before the kill: begin a new run
                        finished.append(killed)
                        compare = facts(killed)
                        all_equal &= equal(expected, compare)
                        killed = settings(method, root, f"{method}-killed-{len(finished)}")
                    continue
                process.kill()
                process.wait()
                kills[kind] += 1
                done += 1
            assert worker(killed).wait() == 0
            same = equal(expected, facts(killed))
            all_equal &= same
            lines.append(
                f"| {method} | {done} | {kills['time']} / {kills['checkpoint']} / "
                f"{kills['switch']} | {expected['summary']['switched']} | "
                f"{expected['summary']['best']:.4f} | {'equal' if same else 'DIFFERENT'} |"
            )
            print(lines[-1], flush=True)
    text = (
        heading("SIGKILL and resume", describe(1, [42]))
        + "\nWeights, counters, switches and metric of the killed and resumed run against an "
        "undisturbed one, to the bit.\n\n"
        "| method | kills | at random times / in checkpoint writing / after a switch | switches "
        "| best | result |\n|---|---|---|---|---|---|\n" + "\n".join(lines) + "\n"
    )
    if arguments.out:
        arguments.out.write_text(text)
    print(text)
    sys.exit(0 if all_equal else 1)


def equal(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two runs agree to the bit; prints the first difference."""
    for key in ("story", "summary"):
        if first[key] != second[key]:
            print(f"different {key}:\n{first[key]}\n{second[key]}", file=sys.stderr)
            return False
    names = first["weights"].keys() == second["weights"].keys()
    unequal = [n for n, w in first["weights"].items() if not w.equal(second["weights"][n])]
    if unequal:
        print(f"different weights: {unequal[:5]}", file=sys.stderr)
    return names and not unequal


if __name__ == "__main__":
    main()
