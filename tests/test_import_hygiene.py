"""What is light stays light: imports are measured in fresh processes, not hoped for."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import grimp
import pytest

ROOT = Path(__file__).parents[1]
TRAINING = ("torch", "transformers", "peft", "accelerate", "datasets", "numpy", "sklearn", "scipy")
DRAWING = ("textual", "rich", "plotext", "matplotlib")

# Rooms of which every module is light, and what none of them may bring in. One process imports them
# in this order, so what is forbidden to one is forbidden to all before it.
LIGHT_ROOMS = {
    "calisr_engine.errors": (*TRAINING, *DRAWING, "pydantic"),
    "calisr_engine.storage": (*TRAINING, *DRAWING, "pydantic"),
    "calisr_engine.events": (*TRAINING, *DRAWING),
    "calisr_engine.config": (*TRAINING, *DRAWING),
    "calisr_engine.presets": (*TRAINING, *DRAWING),
    "calisr_engine.runs": (*TRAINING, *DRAWING),
    "calisr_engine.trackers": (*TRAINING, *DRAWING, "tensorboard"),
    "calisr_engine.grid": (*TRAINING, *DRAWING, "ray", "submitit"),
    "calisr_engine.forecast": (*TRAINING, *DRAWING),
    "calisr_engine.figures": (*TRAINING, *DRAWING),
    "calisr_engine.models.catalog": (*TRAINING, *DRAWING),
    "calisr_engine.preview": (*TRAINING, *DRAWING),
    "calisr_engine.tasks.glue": (*TRAINING, *DRAWING),
    "calisr_tui.cli": (*TRAINING, "textual", "matplotlib"),
    "calisr_tui.charts": (*TRAINING, "textual", "matplotlib"),
    "calisr_tui": TRAINING,
}

# The package itself, as every process imports it.
LIGHT_PACKAGES = ("calisr_engine.methods", "calisr_engine.tasks", "calisr_engine.models")

FIRST_VERSION = Path(__file__).parent / "fixtures" / "first_version" / "runs"

COMMANDS = (
    ("--help",),
    ("--version",),
    ("run", "--help"),
    ("presets",),
    ("methods",),
    ("methods", "lora"),
    ("tasks",),
    ("models",),
    ("runs", "--output-dir", str(FIRST_VERSION)),
    ("grid", "list"),
    ("figure", "--help"),
    ("show", "no-such-run"),
)


def imported(code: str, *arguments: str) -> set[str]:
    """Top-level names of the modules that a fresh process has after `code`."""
    ask = "import json, sys\nprint(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{ask}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def imported_after_each(code: str, steps: Sequence[Any]) -> list[set[str]]:
    """The same after each call of the `step` that `code` defines, one after another."""
    loop = f"""
import importlib, json, pkgutil, sys
{code}
for each in json.loads(sys.argv[1]):
    step(each)
    print("\\nimported", json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))
"""
    done = subprocess.run(
        [sys.executable, "-c", loop, json.dumps(steps)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith("imported ")]
    return [set(json.loads(line.removeprefix("imported "))) for line in told]


EVERY_MODULE = """
def step(name):
    room = importlib.import_module(name)
    for each in pkgutil.walk_packages(getattr(room, "__path__", ()), name + "."):
        if not each.name.endswith("__main__"):
            importlib.import_module(each.name)
"""


@pytest.fixture(scope="module")
def after_rooms() -> dict[str, set[str]]:
    found = imported_after_each(EVERY_MODULE, [*LIGHT_ROOMS])
    return dict(zip(LIGHT_ROOMS, found, strict=True))


@pytest.mark.parametrize("room", LIGHT_ROOMS)
def test_every_module_of_a_light_room(room: str, after_rooms: dict[str, set[str]]) -> None:
    assert not after_rooms[room] & set(LIGHT_ROOMS[room])


@pytest.mark.parametrize("package", LIGHT_PACKAGES)
def test_a_package_with_heavy_modules_is_light_itself(package: str) -> None:
    assert not imported(f"import {package}") & {*TRAINING, *DRAWING}


COMMAND = "from calisr_tui.cli.app import run_command_line as step"


@pytest.fixture(scope="module")
def after_commands() -> dict[tuple[str, ...], set[str]]:
    return dict(zip(COMMANDS, imported_after_each(COMMAND, COMMANDS), strict=True))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_that_only_tells_imports_nothing_to_train_with(
    command: tuple[str, ...], after_commands: dict[tuple[str, ...], set[str]]
) -> None:
    assert not after_commands[command] & {*TRAINING, "textual", "matplotlib"}


def test_the_setup_opens_without_what_only_a_grid_needs() -> None:
    code = "from calisr_tui import app, places\nplaces.place('setup').load()\nimport sys\n"
    assert "textual" in imported(f"{code}assert 'calisr_engine.grid' not in sys.modules")


def test_training_is_heavy_or_nothing_was_measured() -> None:
    assert "torch" in imported("import calisr_engine.training.loop")
    assert "textual" in imported("import calisr_tui.app")


def test_no_module_imports_what_imports_it() -> None:
    """Imports within functions count, too: they hide a circle and do not end it."""
    graph = grimp.build_graph("calisr_engine", "calisr_tui", cache_dir=None)
    below = {each: graph.find_modules_directly_imported_by(each) for each in graph.modules}
    assert len(below) > 300
    try:
        TopologicalSorter(below).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' < '.join(error.args[1])}")


def test_one_place_seeds_and_restores_the_processs_random_numbers() -> None:
    """Elsewhere it would disturb a run that trains in another thread."""
    calls = re.compile(
        r"fork_rng|\bmanual_seed\(|set_rng_state|random\.seed\(|\.setstate\(|set_state\("
    )
    own = re.compile(r"torch\.Generator\([^)]*\)\.manual_seed\(")
    found = {
        path.relative_to(ROOT).as_posix()
        for package in ("calisr_engine", "calisr_tui")
        for path in (ROOT / package).rglob("*.py")
        if calls.search(own.sub("", path.read_text(encoding="utf-8")))
    }
    assert found == {"calisr_engine/randomness.py", "calisr_engine/training/determinism.py"}


def test_no_pattern_holds_on_to_what_it_has_matched() -> None:
    """Python 3.11 before 3.11.5 matches possessive quantifiers and atomic groups wrongly."""
    held = re.compile(r"[*+?}]\+|\(\?>")
    found = {
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for package in ("calisr_engine", "calisr_tui")
        for path in (ROOT / package).rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if held.search(line) and re.search(r"\br?b?r?['\"]", line)
    }
    assert found == set()


def test_a_benchmark_finds_what_it_imports_where_it_stands() -> None:
    """Started as `python benchmarks/NAME.py`, when its own folder is on the path, not the root."""
    scripts = sorted((ROOT / "benchmarks").rglob("*.py"))
    names = {script.stem for script in scripts}
    lost = []
    for script in scripts:
        nodes = list(ast.walk(ast.parse(script.read_text())))
        wanted = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
        wanted += [one.name for node in nodes if isinstance(node, ast.Import) for one in node.names]
        for module in names.intersection(wanted):
            if not script.with_name(f"{module}.py").exists():
                lost.append(f"{script.name} imports {module}")
    assert len(scripts) > 20
    assert not lost
