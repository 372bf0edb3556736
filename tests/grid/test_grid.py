"""Grid files, ids, interruptions, reports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from calisr_engine.errors import EXIT_STOPPED, ConfigError, LockedError, NotFoundError
from calisr_engine.events.log import EventWriter
from calisr_engine.events.types import Failed, Warned
from calisr_engine.grid import plan_grid, read_grid
from calisr_engine.grid.executors import LOST, LocalExecutor
from calisr_engine.grid.report import FORMATS, make_report
from calisr_engine.grid.schedule import cancel, read_state, run_grid
from calisr_engine.grid.spec import grid_names
from calisr_engine.runs.create import create_run
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_tui.cli.app import run_command_line
from tests.training.tiny_run import save_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


def write(
    folder: Path, model: Path | str, more: str = "", epochs: int = 2, variants: str = '"off", "S"'
) -> Path:
    path = folder / "grid.toml"
    path.write_text(
        f"""
[grid]
name = "tiny"
extends = "demo"
against = "LoRA"
paper = "table2"

[settings]
"model.name" = "{model}"
"task.max_train_examples" = 64
"task.max_validation_examples" = 32
"task.max_length" = 64
"training.epochs" = {epochs}
"training.batch_size" = 16
"output.checkpoint_every_steps" = 2
"output.export" = false

[axes]
"method.name" = ["lora", "bitfit"]
"calibration.variant" = [{variants}]
"training.seed" = [1, 2]
{more}
"""
    )
    return path


def test_every_combination_is_a_run_and_ids_do_not_change(tmp_path: Path) -> None:
    path = write(tmp_path, "demo-bert")
    one, two = plan_grid(path, tmp_path / "a"), plan_grid(path, tmp_path / "b")
    assert len(one.cells) == 8
    assert [c.run_id for c in one.cells] == [c.run_id for c in two.cells]
    assert len({c.run_id for c in one.cells}) == 8
    other = plan_grid(path, tmp_path / "a", sets=("training.learning_rate=1e-4",))
    assert not {c.run_id for c in one.cells} & {c.run_id for c in other.cells}


def test_where_the_data_lies_does_not_change_an_id(tmp_path: Path) -> None:
    path = write(tmp_path, "demo-bert")
    here, there = (plan_grid(path, tmp_path, data_dir=tmp_path / d) for d in ("x", "y"))
    assert [c.run_id for c in here.cells] == [c.run_id for c in there.cells]


def test_rules_zips_and_exclusions(tmp_path: Path) -> None:
    more = """
[[zip]]
"task.max_length" = [16, 32]
"training.batch_size" = [8, 4]

[[when]]
match = { "method.name" = "bitfit", "calibration.variant" = "S" }
exclude = true

[[when]]
match = { "method.name" = "lora" }
set = { "method.rank" = 2 }
"""
    plan = plan_grid(write(tmp_path, "demo-bert", more), tmp_path)
    assert len(plan.cells) == 12
    assert plan.excluded == 4
    pairs = {
        (c.resolved.config.task.max_length, c.resolved.config.training.batch_size)
        for c in plan.cells
    }
    assert pairs == {(16, 8), (32, 4)}
    ranks = [c.resolved.config.method for c in plan.cells if c.values["method.name"] == "lora"]
    assert all(method.rank == 2 for method in ranks)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "[grid]"),
        ('[grid]\nname = "x"\n', "at least one axis"),
        ('[grid]\nname = "x y"\n[axes]\na = [1]\n', "name"),
        ('[grid]\nname = "x"\nnmae = 1\n[axes]\na = [1]\n', "nmae"),
        ('[grid]\nname = "x"\n[axes]\n"training.seed" = []\n', "no values"),
        ('[grid]\nname = "x"\n[axes]\n"training.seeed" = [1]\n', "seeed"),
        ('[grid]\nname = "x"\n[axes]\n"training.seed" = ["a"]\n', "training.seed"),
        ('[grid]\nname = "x"\n[axes]\n"training.seed" = [1, 1]\n', "the same run"),
        ('[grid]\nname = "x"\n[[zip]]\na = [1]\nb = [1, 2]\n', "equally long"),
        ("[grid\n", "not valid TOML"),
    ],
)
def test_mistakes_name_the_file_and_the_mend(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        plan_grid(path, tmp_path)
    assert "bad.toml" in str(error.value)
    assert words in str(error.value) or any(words in str(each) for each in error.value.problems)


def test_an_unknown_grid_lists_the_shipped_ones() -> None:
    with pytest.raises(NotFoundError, match="small/table2"):
        read_grid("no-such-grid")


@pytest.mark.parametrize("name", grid_names())
def test_every_shipped_grid_is_valid(name: str, tmp_path: Path) -> None:
    assert plan_grid(name, tmp_path).cells


def test_a_grid_is_trained_reported_and_skipped_the_second_time(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, model)
    at = ["--output-dir", str(tmp_path / "runs")]
    assert run_command_line(["grid", "plan", str(path), *at]) == 0
    assert capfd.readouterr()[0].count("waiting") == 8
    assert run_command_line(["grid", "run", str(path), "--jobs", "2", *at]) == 0
    capfd.readouterr()
    plan = plan_grid(path, tmp_path / "runs")
    logs = {c.run_id: (plan.folder / c.run_id / "events.jsonl").read_bytes() for c in plan.cells}
    assert run_command_line(["grid", "run", str(path), *at]) == 0
    assert "8 complete" in capfd.readouterr()[1]
    for run_id, log in logs.items():
        assert (plan.folder / run_id / "events.jsonl").read_bytes() == log
    assert run_command_line(["grid", "status", str(path), *at, "--json"]) == 0
    assert json.loads(capfd.readouterr()[0])["counts"] == {"completed": 8}
    for style in FORMATS:
        assert run_command_line(["report", str(path), *at, "--format", style]) == 0
        assert "LoRA" in capfd.readouterr()[0]

    report = make_report(plan)
    assert report.rows == ("LoRA", "LoRA+CaliSr-S", "BitFit", "BitFit+CaliSr-S")
    entry = report.entries["BitFit", "demo"]
    state = read_state(plan)
    values = [
        100 * state.runs[c.run_id].best  # type: ignore[operator]
        for c in plan.cells
        if c.values["method.name"] == "bitfit" and c.values["calibration.variant"] == "off"
    ]
    assert entry.mean == pytest.approx(sum(values) / 2)
    assert entry.paired == 2


def test_a_killed_grid_goes_on(model: Path, tmp_path: Path) -> None:
    """SIGKILL of the process that works on the grid, then of a worker; then it finishes."""
    path = write(tmp_path, model, epochs=3, variants='"off"')
    command = [sys.executable, "-m", "calisr_tui", "grid", "run", str(path)]
    command += ["--output-dir", str(tmp_path / "runs")]
    plan = plan_grid(path, tmp_path / "runs")

    def complete() -> int:
        return read_state(plan).counts(plan)["completed"]

    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while complete() < 1 and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    process.wait()
    held = next((c for c in plan.cells if (plan.folder / c.run_id / "lock").exists()), None)
    if held is not None:
        from calisr_engine.runs.lock import holder_of

        holder = holder_of(RunPaths(plan.folder / held.run_id))
        if holder is not None:
            os.kill(int(holder["pid"]), signal.SIGKILL)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert complete() == 4


def test_two_processes_cannot_work_on_one_grid(model: Path, tmp_path: Path) -> None:
    plan = plan_grid(write(tmp_path, model), tmp_path / "runs")
    plan.folder.mkdir(parents=True)
    with RunLock(RunPaths(plan.folder)), pytest.raises(LockedError):
        run_grid(plan, LocalExecutor(1))


def test_cancel_says_when_nothing_runs(tmp_path: Path) -> None:
    plan = plan_grid(write(tmp_path, "demo-bert"), tmp_path / "runs")
    with pytest.raises(NotFoundError):
        cancel(plan)


def test_a_failing_run_does_not_stop_the_others(model: Path, tmp_path: Path) -> None:
    more = """
[[when]]
match = { "method.name" = "bitfit" }
set = { "model.name" = "/no/such/model" }
"""
    plan = plan_grid(write(tmp_path, model, more, variants='"off"'), tmp_path / "runs")
    assert run_grid(plan, LocalExecutor(2)) == 1
    counts = read_state(plan).counts(plan)
    assert counts["completed"] == 2
    assert counts["failed"] == 2


def test_status_says_why_a_run_failed_and_run_how_to_begin_it_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "demo-bert", variants='"off"')
    at = ["--output-dir", str(tmp_path / "runs")]
    plan = plan_grid(path, tmp_path / "runs")
    for cell in plan.cells:
        run_dir = create_run(cell.resolved, plan.folder, name=cell.run_id)
        with EventWriter(run_dir / "events.jsonl", 1) as writer:
            writer.write(0, Failed(message="there is no such model"))
    assert run_command_line(["grid", "status", str(path), *at]) == 0
    assert capfd.readouterr()[0].count("step 0/0: there is no such model") == 4
    assert run_command_line(["grid", "run", str(path), *at]) == 1
    assert "4 failed" in capfd.readouterr()[1]


def test_a_lost_run_begins_again_as_long_as_it_gets_further(model: Path, tmp_path: Path) -> None:
    class Flaky:
        """Ends each run as lost, for a while a step further each time, in the end at the same."""

        calls = 0

        def free(self) -> int:
            return 1

        def submit(self, run_dir: Path) -> None:
            self.calls += 1
            self.ended = [(run_dir, LOST)]
            with EventWriter(run_dir / "events.jsonl", self.calls) as writer:
                writer.write(min(self.calls, 6), Warned(message="lost"))

        def finished(self) -> list[tuple[Path, int]]:
            ended, self.ended = self.ended, []
            return ended

        def stop(self) -> None: ...

        def close(self) -> None: ...

    flaky = Flaky()
    said: list[str] = []
    plan = plan_grid(write(tmp_path, model, variants='"off"'), tmp_path / "runs")
    one = replace(plan, cells=plan.cells[:1])
    assert run_grid(one, flaky, on_change=lambda cell, what: said.append(what)) == EXIT_STOPPED
    assert said[-1] == "was lost 3 times"
    assert flaky.calls == 6 + 2


def test_the_papers_figures_stand_beside_ours(tmp_path: Path) -> None:
    plan = plan_grid("paper/table2", tmp_path)
    report = make_report(plan)
    assert len(report.rows) == 9
    assert report.columns == ("SST-2", "MRPC", "RTE")
    assert report.entries["MPOP+CaliSr-S", "RTE"].paper == 76.2
    assert all(entry.paper is not None for entry in report.entries.values())
    assert report.missing == 135


def test_set_is_above_what_the_file_says(tmp_path: Path) -> None:
    plan = plan_grid("small/table2", tmp_path, sets=("training.epochs=9",))
    assert {cell.resolved.config.training.epochs for cell in plan.cells} == {9}


def test_set_does_not_touch_an_axis(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="differ in it"):
        plan_grid("small/table2", tmp_path, sets=("training.seed=1",))
