"""Signals at any moment of runs, resumes, exports and grids: all end as if undisturbed.

    python -m tests.faults.kills 300 [SEED] [--out PAGE]

SIGKILL mostly, SIGTERM, SIGINT and SIGHUP; at a call of the system that was drawn (so inside
saving, pruning, finishing and exporting, too), or at a random time from outside.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from calisr_engine.runs import load_view
from tests.faults.layer import EVERY, NAMES, Child, Fault, preloaded
from tests.faults.runs import command, configuration, differing, leftovers, outcome, place, warm

SIGNALS = (signal.SIGKILL,) * 7 + (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
MOST_FAULTS = 20
STOPPED = (0, 75, 130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP)
"""Statuses that a command may end with: done, stopped and saved, Ctrl-C, ended by the signal."""


def call(words: list[str]) -> int:
    from calisr_tui.cli.app import run_command_line

    return run_command_line(words)


class Campaign:
    """Counts signals by where they landed, and runs by how they came out."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.rng = root, random.Random(seed)
        self.signals: Counter[str] = Counter()
        self.places: Counter[str] = Counter()
        self.doors: Counter[str] = Counter()
        self.configurations: set[str] = set()
        self.runs = 0
        self.faults: list[str] = []
        from tests.training.golden import keep_head
        from tests.training.tiny_run import save_model

        self.model = save_model(root / "tiny")
        keep_head(self.model)
        warm(self.model, root / "runs")

    @property
    def count(self) -> int:
        return sum(self.signals.values())

    def fault(self, what: str) -> None:
        self.faults.append(what)
        print("FAULT", what, flush=True)

    def strike(
        self, door: str, words: list[str], folder: Path, run: Path, calls: int, length: float
    ) -> int:
        """One command with one signal; counts it. Returns the command's status."""
        which = self.rng.choice(SIGNALS)
        outside = self.rng.random() < 0.25
        fault = Fault() if outside else Fault.signal(self.rng.randrange(calls), which, EVERY)
        child = Child(lambda: call(words), folder, self.root, fault)
        if outside:
            if child.signal_after(self.rng.uniform(0, 1) * length, which):
                self.note(door, which, "at a random time")
        else:
            child.wait()
            if child.where:
                self.note(door, which, place(run, child.where))
        if child.status not in STOPPED or "Traceback" in child.said:
            self.fault(
                f"{run.name}: {NAMES[which]} {child.where}: {child.status} {child.said[-600:]}"
            )
        return child.status

    def note(self, door: str, which: int, where: str) -> None:
        self.signals[NAMES[which]] += 1
        self.places[where] += 1
        self.doors[door] += 1

    def one_run(self) -> None:
        """An undisturbed run, and the same run hit again and again, resumed each time."""
        name, sets = configuration(self.rng)
        self.configurations.add(name)
        self.runs += 1
        runs = self.root / "runs"
        calm, hit = runs / "calm", runs / "hit"
        began = time.monotonic()
        child = Child(lambda: call(command(self.model, runs, "calm", sets)), calm, self.root).wait()
        length, calls = time.monotonic() - began, child.count
        if child.status:
            self.fault(f"{name} {sets}: undisturbed {child.status} {child.said[-600:]}")
            return
        words, status = command(self.model, runs, "hit", sets), -1
        for number in range(self.rng.choice([1, 3, 6])):
            status = self.strike("resume" if number else "run", words, hit, hit, calls, length)
            if not (hit / "events.jsonl").exists():
                shutil.rmtree(hit, ignore_errors=True)
                continue
            words = ["resume", "--quiet", str(hit)]
            if load_view(hit).state == "completed":  # killed after its last line, perhaps
                status = 0
                break
        if status:
            child = Child(lambda: call(words), hit, self.root).wait()
            if child.status:
                self.fault(f"{name} {sets}: resumed {child.status} {child.said[-600:]}")
                return
        try:
            wrong = differing(outcome(calm), outcome(hit)) or ", ".join(leftovers(hit))
        except Exception as error:  # what is half written cannot be read
            wrong = f"{error!r}, {', '.join(leftovers(hit))}"
        if wrong:
            self.fault(f"{name} {sets}: {wrong}")
        self.export(calm)
        shutil.rmtree(runs)

    def export(self, run: Path) -> None:
        """An export that is hit leaves nothing or all, and the next one is the whole model."""
        out = run.parent / "out"
        neighbours = [run.parent / each for each in ("out.partial-x", "out.tmp-1234567", ".out")]
        for each in neighbours:
            each.mkdir()
        status = self.strike("export", ["export", str(run), str(out)], run.parent, run, 60, 1.0)
        if status and not out.exists():
            child = Child(lambda: call(["export", str(run), str(out)]), out, self.root).wait()
            if child.status:
                self.fault(f"export again: {child.status} {child.said[-600:]}")
        for file in (run / "model").rglob("*"):
            there = out / file.relative_to(run / "model")
            if not there.exists() or there.read_bytes() != file.read_bytes():
                self.fault(f"export: {file.name} differs")
        left = {each.name for each in run.parent.iterdir()} - {each.name for each in neighbours}
        if not all(each.is_dir() for each in neighbours) or left - {"calm", "hit", "out"}:
            self.fault(f"export: neighbours {left}")

    def one_grid(self) -> None:
        """A grid of two runs whose command or worker is hit, and goes on with the same command."""
        from tests.grid.tiny_grid import write_grid

        self.runs += 2
        settings = '"training.threads" = 1'
        grids = [self.root / "grids" / name for name in ("calm", "hit")]
        for folder in grids:
            folder.mkdir(parents=True)
        file = write_grid(self.root, self.model, axes='"method.name" = ["lora"]', settings=settings)
        words = [["grid", "run", str(file), "--output-dir", str(each)] for each in grids]
        began = time.monotonic()
        child = Child(lambda: call(words[0]), grids[0], self.root).wait()
        length = time.monotonic() - began
        if child.status:
            self.fault(f"grid: undisturbed {child.status} {child.said[-600:]}")
        for _ in range(4):
            which = self.rng.choice(SIGNALS)
            if self.rng.random() < 0.5:
                fault = Fault.signal(self.rng.randrange(250), which)
                folder = grids[1] / "tiny"
                child = Child(lambda: call(words[1]), folder, self.root, fault, worker_fault=True)
                child.wait()
                path = Path(child.where.partition(" ")[2])
                if path.is_relative_to(folder):
                    run = folder / path.relative_to(folder).parts[0]
                    self.note("worker of a grid", which, place(run, child.where))
            else:
                child = Child(lambda: call(words[1]), grids[1], self.root)
                if child.signal_after(self.rng.uniform(0.1, 1) * length, which):
                    self.note("grid run", which, "at a random time")
            if child.status not in STOPPED:
                self.fault(f"grid: {NAMES[which]} {child.status} {child.said[-600:]}")
            time.sleep(0.5)
        child = Child(lambda: call(words[1]), grids[1], self.root).wait()
        if child.status:
            self.fault(f"grid: at last {child.status} {child.said[-900:]}")
        for calm in sorted(each.parent for each in grids[0].rglob("events.jsonl")):
            hit = grids[1] / calm.relative_to(grids[0])
            wrong = differing(outcome(calm), outcome(hit)) or ", ".join(leftovers(hit))
            if wrong:
                self.fault(f"grid: {hit.name}: {wrong}")
        shutil.rmtree(self.root / "grids")

    def page(self) -> str:
        def rows(counted: Counter[str]) -> str:
            return "\n".join(f"| {what} | {count} |" for what, count in counted.most_common())

        return (
            f"{self.count} signals, {self.runs} runs of {len(self.configurations)} configurations: "
            f"{len(self.faults)} faults.\n\n| where the signal landed | |\n|---|---|\n"
            f"{rows(self.places)}\n\n| signal | |\n|---|---|\n{rows(self.signals)}\n\n"
            f"| through | |\n|---|---|\n{rows(self.doors)}\n"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("--grids", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    preloaded("tests.faults.kills")
    import torch

    import calisr_tui.cli.app  # noqa: F401

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="calisr-kills-") as folder:
        campaign = Campaign(Path(folder), options.seed)
        while campaign.count < options.count and len(campaign.faults) < MOST_FAULTS:
            campaign.one_run()
            print(f"{campaign.count} signals, {len(campaign.faults)} faults", flush=True)
        for _ in range(options.grids):
            campaign.one_grid()
    print(campaign.page())
    if options.out is not None:
        options.out.write_text(campaign.page())
    return int(bool(campaign.faults))


if __name__ == "__main__":
    sys.exit(main())
