"""Damaged logs and run directories through everything that reads them: shown, or refused by name.

    python -m tests.events.campaign 5000 [FIRST_SEED]

Each seed makes a folder of two runs, one whole and one damaged: its log by the grammar of logs or
by bytes, or the log or a file beside it replaced by a folder, a pipe, a device. Every reader must
show the damaged run or refuse it by a `CalisrError`, and the whole run must be listed as ever.
Every hundredth goes through the app, screen by screen.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from calisr_engine.errors import CalisrError
from calisr_engine.runs import store
from calisr_tui.feed import EXAMPLE
from tests.events.damage import NEIGHBOURS, damaged_log, make_strange
from tests.events.readers import READERS, WHOLE, whole_is_listed

FIXTURES = Path(__file__).parents[1] / "fixtures" / "first_version" / "runs"
LONGEST_SECONDS = 30
LARGE = 300
"""One log in so many gets a line of 100 MB."""


@dataclass(frozen=True)
class Outcome:
    """What a reader did with a damaged run.

    Attributes:
        end: "shown", "refused", or "exception" with its traceback in `message`.
    """

    seed: int
    did: str
    reader: str
    end: str
    message: str = ""


def sources() -> list[bytes]:
    """Real logs, the long one without most of its progress lines."""
    found = [path.read_bytes() for path in sorted(FIXTURES.glob("*/events.jsonl"))]
    lines = (EXAMPLE / "events.jsonl").read_bytes().splitlines(keepends=True)
    kept = [x for n, x in enumerate(lines) if n % 9 == 0 or b'"progress"' not in x]
    newer = [json.dumps(json.loads(line) | {"v": 2}).encode() + b"\n" for line in kept]
    return [*found, b"".join(kept), b"".join(newer)]


def fresh_run(folder: Path) -> bytes:
    """The log of a small run, trained now."""
    from calisr_engine.config.load import load
    from calisr_engine.process.execute import execute
    from calisr_engine.runs.create import create_run

    settings = ["training.max_steps=12", "training.eval_every_steps=4", "output.export=false"]
    sets = [*settings, "task.max_train_examples=128", "calibration.samples_per_epoch=3"]
    run_dir = create_run(load("demo", sets), folder, name="fresh")
    assert execute(run_dir, raise_errors=True) == 0
    return (run_dir / "events.jsonl").read_bytes()


def make(seed: int, root: Path, logs: list[bytes]) -> tuple[Path, str]:
    """(the damaged run of a seed in `root`, what was done); a whole one lies beside it."""
    draw = random.Random(seed)
    for name in (WHOLE, "damaged"):
        (root / name).mkdir(parents=True)
        shutil.copy(EXAMPLE / "config.toml", root / name)
    (root / WHOLE / "events.jsonl").write_bytes(logs[-1])
    run = root / "damaged"
    log = run / "events.jsonl"
    data = draw.choice(logs)
    if draw.random() < 0.1:
        for name in ("control", "checkpoints/step-4", "best/step-4", "samples"):
            (run / name).mkdir(parents=True)
    if seed % LARGE == 7:
        with log.open("wb") as file:
            at = draw.randrange(len(data))
            file.write(data[:at])
            for _ in range(100):
                file.write(draw.choice((b"x", b"[", b'{"a":', b" ")) * 200_000 * 5)
            file.write(data[at:])
        return run, "100 MB line"
    chance = draw.random()
    if chance < 0.06:
        return run, f"log is {make_strange(draw, log)}"
    if chance < 0.2:
        log.write_bytes(data)
        store.list_runs(root)
        name = draw.choice(NEIGHBOURS)
        return run, f"{name} is {make_strange(draw, Path(os.path.normpath(run / name)))}"
    did, data = damaged_log(draw, data)
    log.write_bytes(data)
    return run, did


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """A reader that waits for ever is one that failed."""

    def ring(number: int, frame: object) -> None:
        raise TimeoutError(f"not done in {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attempt(seed: int, did: str, reader: str, work: Callable[[], object]) -> Outcome:
    said = io.StringIO()
    try:
        with (
            limited(LONGEST_SECONDS),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            work()
    except CalisrError as error:
        return Outcome(seed, did, reader, "refused", error.message)
    except Exception:
        return Outcome(seed, did, reader, "exception", traceback.format_exc())
    return Outcome(seed, did, reader, "shown")


def one(seed: int, folder: Path, logs: list[bytes], in_app: bool) -> list[Outcome]:
    """One damaged run through all readers."""
    root = folder / "runs"
    run, did = make(seed, root, logs)
    whole = store.summarise(root / WHOLE)
    outcomes = []
    if in_app:
        from tests.events.in_app import through_the_app

        work = lambda: asyncio.run(through_the_app(root, run))  # noqa: E731
        outcomes.append(attempt(seed, did, "app", work))
    for name, reader in READERS.items():
        outcomes.append(attempt(seed, did, name, lambda reader=reader: reader(root, run)))
        if name in ("runs", "resume"):
            listed = attempt(seed, did, "list", lambda: whole_is_listed(root, whole))
            outcomes.append(listed)
    return outcomes


def main(count: int, first: int) -> int:
    """Run a campaign and print its figures; the number of failures."""
    began = time.monotonic()
    ends: dict[str, Counter[str]] = {}
    did: Counter[str] = Counter()
    failures: list[Outcome] = []
    with tempfile.TemporaryDirectory() as name:
        logs = [*sources(), fresh_run(Path(name))]
        for seed in range(first, first + count):
            folder = Path(name) / str(seed)
            for outcome in one(seed, folder, logs, in_app=seed % 100 == 0):
                ends.setdefault(outcome.reader, Counter())[outcome.end] += 1
                if outcome.end == "exception":
                    failures.append(outcome)
                    print(f"FAILED seed {seed} {outcome.reader}: {outcome.did}\n{outcome.message}")
            did.update(outcome.did.split("+"))
            shutil.rmtree(folder)
    total = sum(ends.values(), Counter())
    print(f"{count:,} damaged runs, {sum(total.values()):,} readings: {dict(total)}")
    for reader, found in ends.items():
        print(f"  {reader:22} {dict(found)}")
    print("damage: " + ", ".join(f"{what} {number:,}" for what, number in did.most_common()))
    print(f"{time.monotonic() - began:.0f} s")
    return len(failures)


if __name__ == "__main__":
    sys.exit(bool(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)))
