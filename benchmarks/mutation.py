"""Deliberate faults, one at a time: which of them do the tests notice?

A sample of the faults of calibration, methods and training (`faults.py`; `pip install cosmic-ray
coverage`), from each file in proportion. Each is put into a checkout of its own, never the one you
work in, and the tests that reach its line run, the fastest first, until one fails, in a fork of a
process that has torch imported already.

    git worktree add --detach ../faults
    python benchmarks/mutation.py map ../faults map.json
    python benchmarks/mutation.py run ../faults map.json result.jsonl --count 600 --seed 1
    python benchmarks/mutation.py run ../faults map.json again.jsonl --only result.jsonl

`run` goes on where a result ends; `--only` repeats what another did not notice. A fault that hangs
or breaks an import is noticed.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import gc
import importlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faults import Fault, faults, faulty, spans

PLACES = ("calibration", "methods", "training")
TESTS = [f"tests/{name}" for name in ("definitions", *PLACES)]


def write_map(root: Path, out: Path) -> None:
    """Which test reaches which line, and how long each takes."""
    import coverage
    import pytest

    rooms = [str(root / "calisr_engine" / place) for place in PLACES]
    watch = coverage.Coverage(data_file=None, source=rooms)
    seconds: dict[str, float] = defaultdict(float)

    class Contexts:
        @pytest.hookimpl(hookwrapper=True)
        def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
            watch.switch_context(item.nodeid)
            yield

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            seconds[report.nodeid] += report.duration

    watch.start()
    status = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *TESTS], [Contexts()])
    watch.stop()
    assert status == 0, "the tests must pass before faults are put in"
    data = watch.get_data()
    lines = {
        str(Path(file).relative_to(root)): {
            line: sorted(set(tests) - {""}) for line, tests in data.contexts_by_lineno(file).items()
        }
        for file in data.measured_files()
    }
    out.write_text(json.dumps({"seconds": seconds, "lines": lines}))


def sampled(root: Path, count: int, seed: int) -> list[Fault]:
    """`count` faults, from each file in proportion to how many it has."""
    chance = random.Random(seed)
    every = {
        str(path.relative_to(root)): faults(root, str(path.relative_to(root)))
        for place in PLACES
        for path in sorted((root / "calisr_engine" / place).rglob("*.py"))
    }
    total = sum(map(len, every.values()))
    print(f"{total} faults in {len(every)} files")
    chosen: list[Fault] = []
    for of_file in every.values():
        exact = count * len(of_file) / total
        number = int(exact) + (chance.random() < exact % 1)
        chosen += chance.sample(of_file, number)
    chance.shuffle(chosen)
    return chosen


def reaching(root: Path, reach: dict[str, Any], file: str, line: int) -> list[str]:
    """Tests that run the statement of a line (all of the file's, where it runs at import), and
    those of test files that name the module, for they may run it in other processes.
    """
    lines = reach["lines"].get(file, {})
    tree = ast.parse((root / file).read_text())
    around = [(first, last) for _, first, last in spans(tree) if first <= line <= last]
    first, last = min(around, key=lambda span: span[1] - span[0], default=(line, line))
    tests = {test for at in range(first, last + 1) for test in lines.get(str(at), [])}
    tests = tests or {test for each in lines.values() for test in each}
    module = file.removesuffix(".py").replace("/", ".")
    sources = {test.partition("::")[0] for test in reach["seconds"]}
    naming = {source for source in sources if module in (root / source).read_text()}
    tests |= {test for test in reach["seconds"] if test.partition("::")[0] in naming}
    of_file: Counter[str] = Counter()
    turn = {}
    for test in sorted(tests, key=lambda test: reach["seconds"][test]):
        source = test.partition("::")[0]
        turn[test] = source not in naming, of_file[source], reach["seconds"][test]
        of_file[source] += 1
    # Those that name it first; then the fastest of each test file, then the next of each.
    return sorted(tests, key=turn.__getitem__)


def noticed(root: Path, file: str, text: str, tests: list[str], seconds: float) -> str:
    """The test that fails with the fault; "hangs" where none ends in time, "" where all pass."""
    path = root / file
    before = path.read_text()
    for cached in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
        cached.unlink()
    path.write_text(text)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(read)
        run_tests(tests, write)
    os.close(write)
    deadline = time.monotonic() + 20 + 6 * seconds
    try:
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                return "hangs"
            time.sleep(0.02)
        with os.fdopen(read, "rb") as said:
            return said.read().decode() or "ends the process"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # also what its tests started
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
        path.write_text(before)


def run_tests(tests: list[str], out: int) -> None:
    """In the child: run until one fails, say which, and leave at once, without cleaning up."""
    import pytest

    def leave(said: str) -> None:
        os.write(out, said.encode())
        os._exit(0)

    class First:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                leave(report.nodeid)

        def pytest_collectreport(self, report: pytest.CollectReport) -> None:
            if report.failed:
                leave(f"import of {report.nodeid}")

        def pytest_sessionfinish(self, exitstatus: int) -> None:
            leave(" " if exitstatus == 0 else f"status {exitstatus}")

    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    own = f"--basetemp={tempfile.gettempdir()}/faults-{os.getppid()}"
    options = ["-q", own, "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "--tb=no"]
    status = pytest.main([*options, *tests], [First()])
    leave(f"status {status}")


def warm() -> None:
    """Import what is slow and not under test."""
    import torch
    import transformers

    for name in ("datasets", "peft", "scipy.stats", "sklearn.metrics", "hypothesis", "textual"):
        importlib.import_module(name)
    for name in ("pytest_asyncio", "pytest_timeout", "pytest_textual_snapshot"):
        importlib.import_module(name)
    torch.set_num_threads(1)
    for name in ("Bert", "Roberta", "Electra", "DistilBert", "DebertaV2"):
        getattr(transformers, f"{name}ForSequenceClassification")
    gc.freeze()  # children need not walk all this when they collect garbage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=["map", "run"])
    parser.add_argument("root", type=Path)
    parser.add_argument("map", type=Path)
    parser.add_argument("result", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=25, help="seconds of tests for one fault")
    parser.add_argument("--only", type=Path, help="repeat what this result did not notice")
    given = parser.parse_args()
    root = given.root.resolve()
    for name in ("map", "result", "only"):
        if getattr(given, name) is not None:
            setattr(given, name, getattr(given, name).resolve())
    os.chdir(root)
    sys.path.insert(0, str(root))
    os.environ |= {"PYTHONPATH": f"{root}:{os.environ.get('PYTHONPATH', '')}"}
    if given.what == "map":
        write_map(root, given.map)
        return
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    reach = json.loads(given.map.read_text())
    if given.only:
        old = [json.loads(line) for line in given.only.read_text().splitlines()]
        chosen = [(r["file"], r["line"], r["what"], r["number"]) for r in old if not r["by"]]
    else:
        chosen = sampled(root, given.count, given.seed)
    warm()
    count: Counter[bool] = Counter()
    before = given.result.read_text() if given.result.exists() else ""
    done = [json.loads(row) for row in before.splitlines()]
    known = {(r["file"], r["line"], r["what"], r["number"]) for r in done}
    with given.result.open("a") as out:
        for fault in chosen:
            if fault in known:
                continue
            file, line, what, number = fault
            text = faulty(root, fault)
            if not text:
                continue
            tests, spent = [], 0.0
            for test in reaching(root, reach, file, line):
                spent += reach["seconds"][test]
                tests.append(test)
                if spent > given.limit:
                    break
            began = time.monotonic()
            by = noticed(root, file, text, tests, spent).strip() if tests else ""
            count[bool(by)] += 1
            record = {"file": file, "line": line, "what": what, "number": number, "by": by}
            record |= {"tests": len(tests), "seconds": round(time.monotonic() - began, 2)}
            out.write(json.dumps(record) + "\n")
            out.flush()
            print(f"{sum(count.values())} {by or 'UNNOTICED'} {file}:{line} {what}", flush=True)
    print(f"{count[True]} of {sum(count.values())} noticed")


if __name__ == "__main__":
    main()
