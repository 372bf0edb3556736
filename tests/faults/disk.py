"""Full disks and failing calls through whole runs: said, nothing left half, and an exact resume.

    python -m tests.faults.disk 20 300 [SEED]

First 20 sizes of a disk (a tmpfs; this needs the right to mount), which so fills at different
moments; then 300 calls of the system that fail, of every kind. Without the right to mount the first
part is left out, visibly.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from calisr_engine.errors import CalisrError
from calisr_engine.runs import load_view
from tests.faults.kills import call
from tests.faults.layer import KINDS, NONE, Child, Fault, preloaded
from tests.faults.runs import command, configuration, differing, leftovers, outcome, place, warm

EVERYTHING = (
    "method.name=lora",
    "calibration.variant=S",
    "calibration.delta=0.3",
    "calibration.samples_per_epoch=3",
    "calibration.keep_samples=true",
    "training.epochs=2",
    "training.eval_every_steps=3",
    "output.checkpoint_every_steps=4",
)
ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT)
SAID = re.compile(
    r"(could not be written to|cannot be written:).*(disk is full|Input/output error)", re.DOTALL
)


def draw(out: Path) -> None:
    """As `calisr figure --out` ends, for which the runs of a grid would be needed."""
    from calisr_engine.figures import picture
    from tests.figures.test_figures import PICTURE

    picture.draw(PICTURE, out)


def write_zip(out: Path) -> None:
    """As `calisr submit` ends, for which runs of nine tasks would be needed."""
    from calisr_engine.submission import files

    files.write_zip(out, {each.name: files.sample(each) for each in files.FILES[:5]})


WRITERS = {"draw": draw, "zip": write_zip}


def told(act: Callable[[], None]) -> int:
    try:
        act()
    except CalisrError as error:
        print(f"calisr: {error}", file=sys.stderr)
        return error.exit_code
    return 0


class Disk:
    """A tmpfs of a size that can grow."""

    def __init__(self, place: Path, size: int) -> None:
        self.place = place
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], check=True)

    def grow(self, size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", self.place], check=True)

    def leave(self, free: int) -> Path:
        """Fill it up to so many bytes; returns the file to remove."""
        filler = self.place / "filler"
        with filler.open("wb") as file:
            file.truncate(0)
            os.posix_fallocate(file.fileno(), 0, max(4096, shutil.disk_usage(filler).free - free))
        return filler

    def unmount(self) -> None:
        subprocess.run(["umount", self.place], check=True)
        self.place.rmdir()


class Campaign:
    def __init__(self, root: Path, seed: int) -> None:
        from tests.training.golden import keep_head
        from tests.training.tiny_run import save_model

        self.root, self.rng = root, random.Random(seed)
        self.places: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.model = save_model(root / "tiny")
        keep_head(self.model)
        warm(self.model, root / "calm")

    def fault(self, what: str) -> None:
        self.wrong.append(what)
        print("FAULT", what, flush=True)

    def do(self, words: list[str], fault: Fault = NONE, folder: Path | None = None) -> Child:
        act = WRITERS.get(words[0])
        return Child(
            lambda: call(words) if act is None else told(lambda: act(Path(words[-1]))),
            folder or self.root,
            self.root,
            fault,
        ).wait()

    def calm(self, sets: tuple[str, ...]) -> Path:
        child = self.do(command(self.model, self.root / "calm", "run", sets))
        assert child.status == 0, child.said
        return self.root / "calm" / "run"

    def check_end(self, child: Child, run: Path, what: str, told: bool) -> None:
        """How a command ended that met a fault: done, or it failed and said so."""
        text = child.said
        if child.status not in (0, 1) or "Traceback" in text or "unexpected" in text:
            self.fault(f"{what}: status {child.status}: {text[-700:]}")
        elif child.status == 1 and not SAID.search(text):
            self.fault(f"{what}: not said: {text[-700:]}")
        elif child.status == 1 and told and "is needed" not in text and "event log" not in text:
            self.fault(f"{what}: how much is needed is not said: {text[-700:]}")
        left = leftovers(run)
        if left and told:
            self.fault(f"{what}: left {left}")

    def go_on(self, run: Path, sets: tuple[str, ...], calm: Path, what: str) -> None:
        """Without the fault: resumed, or begun anew where nothing had begun, and compared."""
        if not run.exists():
            child = self.do(command(self.model, run.parent, run.name, sets))
        elif load_view(run).state != "completed":
            child = self.do(["resume", "--quiet", str(run)])
        else:
            child = None
        if child is not None and child.status:
            self.fault(f"{what}: then {child.status}: {child.said[-700:]}")
            return
        wrong = differing(outcome(calm), outcome(run)) or ", ".join(leftovers(run))
        if wrong:
            self.fault(f"{what}: then other: {wrong}")

    # --- disks of many sizes ---

    def sizes(self, count: int) -> None:
        calm = self.calm(EVERYTHING)
        total = sum(f.stat().st_size + 4096 for f in calm.rglob("*") if f.is_file())
        for number in range(count):
            size = int(total * 1.2 * ((number + 1) / count) ** 2)
            self.one_size(size, calm)
            self.grid(size)
        for _ in range(count):
            self.commands(calm, int(self.rng.uniform(0, 1) ** 3 * 60_000))
        shutil.rmtree(calm.parent)

    def one_size(self, size: int, calm: Path) -> None:
        disk = Disk(self.root / "disk", size)
        run = disk.place / "run"
        child = self.do(command(self.model, disk.place, "run", EVERYTHING))
        what = f"disk of {size / 1e3:.0f} kB"
        reason = re.search(r"calisr: (.*) could not be written to (\S+)", child.said)
        self.places["disk: " + (reason[1] if reason else "large enough")] += 1
        self.check_end(child, run, what, told=True)
        again = self.do(["resume", "--quiet", str(run)]) if child.status and run.exists() else None
        if again is not None:  # still full: it fails the same way
            self.check_end(again, run, f"{what}, resumed while full", told=True)
        disk.grow(100_000_000)
        self.go_on(run, EVERYTHING, calm, what)
        disk.unmount()

    def grid(self, size: int) -> None:
        """A grid on a full disk ends by itself, says so, and goes on when there is room."""
        from tests.grid.tiny_grid import write_grid

        if self.rng.random() < 0.75:  # its workers are processes, which take long to start
            return
        disk = Disk(self.root / "disk", size)
        file = write_grid(self.root, self.model, settings='"training.threads" = 1')
        words = ["grid", "run", str(file), "--output-dir", str(disk.place)]
        child = self.do(words)
        text = child.said + "".join(p.read_text() for p in disk.place.rglob("log.txt"))
        if child.status not in (0, 1, 75) or "Traceback" in text:
            self.fault(f"grid on {size}: {child.status}: {text[-700:]}")
        if child.status and "disk is full" not in text:
            self.fault(f"grid on {size}: not said: {text[-700:]}")
        disk.grow(100_000_000)
        child = self.do([*words, "--retry-failed"])
        if child.status:
            self.fault(f"grid on {size}, then: {child.status}: {child.said[-700:]}")
        disk.unmount()

    def commands(self, calm: Path, free: int) -> None:
        """Exports, figures and zips where so many bytes are free; then again with room."""
        disk = Disk(self.root / "disk", 50_000_000)
        filler = disk.leave(free)
        out = disk.place / "out"
        runs = str(calm.parent)
        every = {
            "export": ["export", str(calm), str(out / "model")],
            "zip": ["zip", str(disk.place / "a.zip")],
            "figure": ["draw", str(disk.place / "a.svg")],
            "picture": ["draw", str(disk.place / "a.png")],
            "run": command(self.model, disk.place, "new", EVERYTHING),
            "audit": ["audit", str(calm)],
            "show": ["show", str(calm)],
            "runs": ["runs", "--output-dir", runs],
        }
        for name, words in every.items():
            before = sorted(each.name for each in disk.place.iterdir())
            child = self.do(words)
            self.places[f"{name}: {'full' if child.status else 'done'}"] += 1
            if child.status and name != "run":
                self.check_end(
                    child, disk.place, f"{name} with {free} bytes", told=name == "export"
                )
                after = sorted(each.name for each in disk.place.iterdir())
                if after != before:
                    self.fault(f"{name} with {free} bytes left {after}")
        filler.unlink()
        for name in ("export", "zip", "figure", "picture"):
            if not Path(every[name][-1]).exists():
                child = self.do(every[name])
                if child.status:
                    self.fault(f"{name} with room: {child.said[-500:]}")
        disk.unmount()

    # --- calls that fail ---

    def failing(self, count: int, each: int = 25) -> None:
        done = 0
        while done < count:
            name, sets = configuration(self.rng)
            calm = self.calm(sets)
            totals: dict[str, int] = {}
            for _ in range(each):
                kind = self.rng.choice(KINDS)
                folder = self.root / "hit"
                words = command(self.model, folder, "run", sets)
                if kind not in totals:
                    counted = Fault(1 << KINDS.index(kind))
                    totals[kind] = max(1, self.do(words, counted, folder).count)
                    shutil.rmtree(folder)
                number, error = self.rng.randrange(totals[kind]), self.rng.choice(ERRORS)
                on = self.rng.random() < 0.3
                fault = Fault.failing(kind, number, error, on)
                child = self.do(words, fault, folder)
                run, done = folder / "run", done + 1
                self.places[f"{kind} in {place(run, child.where)}"] += bool(child.where)
                what = f"{name} {errno.errorcode[error]}{' on' * on} at {child.where}"
                self.check_end(child, run, what, told=False)
                self.go_on(run, sets, calm, what)
                shutil.rmtree(folder)
                if len(self.wrong) > 20:
                    return
            shutil.rmtree(calm.parent)
            print(done, len(self.wrong), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int)
    parser.add_argument("calls", type=int)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    options = parser.parse_args()
    preloaded("tests.faults.disk")
    with tempfile.TemporaryDirectory(prefix="calisr-disk-") as folder:
        campaign = Campaign(Path(folder), options.seed)
        if options.sizes and os.geteuid() == 0:
            campaign.sizes(options.sizes)
        elif options.sizes:
            print("no right to mount: disks of many sizes are left out")
        campaign.failing(options.calls)
    for where, number in campaign.places.most_common():
        print(f"{number:5} {where}")
    print(f"{options.sizes} sizes, {options.calls} calls: {len(campaign.wrong)} faults")
    return int(bool(campaign.wrong))


if __name__ == "__main__":
    sys.exit(main())
