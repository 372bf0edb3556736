"""Opening a log of 100,000 steps, a history of 2,000 runs, a grid of 1,000.

    python benchmarks/many_runs.py --out results/many-runs.md

The logs are copies of the recorded run of the package; the long one repeats its progress lines.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from machine import describe, heading

from calisr_engine.grid import plan_grid
from calisr_engine.grid.report import make_report
from calisr_engine.grid.schedule import read_state
from calisr_engine.runs import load_view, store
from calisr_tui.app import EXAMPLE


def timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def long_log(folder: Path, steps: int) -> Path:
    """A finished run of that many steps, one progress line for each."""
    folder.mkdir()
    (folder / "config.toml").write_bytes((EXAMPLE / "config.toml").read_bytes())
    records = [json.loads(line) for line in (EXAMPLE / "events.jsonl").read_text().splitlines()]
    progress = next(r for r in records if r["type"] == "progress")
    with (folder / "events.jsonl").open("w") as file:
        for record in records:
            if record["type"] == "run_started":
                record["total_steps"] = steps
            if record["type"] == "completed":
                for step in range(1, steps + 1):
                    file.write(json.dumps({**progress, "step": step}) + "\n")
                record["step"] = steps
            file.write(json.dumps(record) + "\n")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    log = (EXAMPLE / "events.jsonl").read_bytes()
    config = (EXAMPLE / "config.toml").read_bytes()

    def copy(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "events.jsonl").write_bytes(log)
        (folder / "config.toml").write_bytes(config)

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        run = long_log(root / "long", 100_000)
        opening = timed(lambda: load_view(run))
        for number in range(2000):
            copy(root / "history" / f"run-{number:04}")
        first = timed(lambda: store.list_runs(root / "history"))
        later = timed(lambda: store.list_runs(root / "history"))
        file = root / "grid.toml"
        seeds = ", ".join(map(str, range(250)))
        file.write_text(
            '[grid]\nname = "many"\nextends = "demo"\n[axes]\n'
            '"method.name" = ["lora", "mpop"]\n"calibration.variant" = ["D", "S"]\n'
            f'"training.seed" = [{seeds}]\n'
        )
        planning = timed(lambda: plan_grid(file, root))
        plan = plan_grid(file, root)
        for cell in plan.cells:
            copy(plan.folder / cell.run_id)
        status_first = timed(lambda: read_state(plan))
        status = timed(lambda: read_state(plan))
        report = timed(lambda: make_report(plan).render("text"))
    lines = log.count(b"\n")
    text = (
        heading("Long logs and many runs", describe(1, []))
        + f"\n- A log of 100,000 steps, a line for each: read and folded in {opening:.2f} s.\n"
        f"- A history of 2,000 runs of {lines} lines each: listed in {first:.2f} s the first time, "
        f"{later:.2f} s with the index.\n"
        f"- A grid of {len(plan.cells)} runs: planned in {planning:.2f} s; state read in "
        f"{status_first:.2f} s the first time, {status:.2f} s with the index; report in "
        f"{report:.2f} s.\n"
    )
    if arguments.out:
        arguments.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
