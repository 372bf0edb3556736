"""How many runs begin at a time: memory that was measured, cores, options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calisr_engine.errors import ConfigError
from calisr_engine.grid import room
from calisr_engine.grid.executors import LocalExecutor, overbooked
from calisr_engine.grid.room import MeasuredRoom, begins
from calisr_tui.cli.grid_places import Place


def test_another_run_begins_when_all_are_measured_and_one_as_large_fits() -> None:
    assert begins(0, 0, 0, 0) == 1, "one run always begins"
    assert begins(1, 0, 0, 10**12) == 0, "the first has not said what it takes"
    assert begins(2, 2, 800, 1000) == 1
    assert begins(2, 2, 801, 1000) == 0


def test_the_measure_is_what_this_attempt_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_free_bytes", lambda: 1000)
    log = tmp_path / "events.jsonl"

    def say(taken: int) -> None:
        record = {"type": "resources", "seq": 1, "attempt": 1, "step": 1, "memory_bytes": taken}
        with log.open("a") as file:
            file.write(json.dumps(record) + "\n")

    say(100)
    measured = MeasuredRoom()
    assert measured.more([]) == 1
    assert measured.more([tmp_path]) == 0, "an earlier process's memory does not count"
    say(700)
    assert measured.more([tmp_path]) == 1
    say(900)
    say(500)
    assert measured.more([tmp_path]) == 0, "the largest counts"
    assert measured.more([]) == 1


def test_auto_is_bounded_by_cores_and_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert LocalExecutor(None).free() == 1
    assert LocalExecutor(None, ("0", "1", "2")).free() == 3
    assert LocalExecutor(5).free() == 5
    assert not overbooked(8, (), None)
    assert not overbooked(4, (), 2)
    assert "share 8 cores" in overbooked(4, (), 3)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Place(jobs="many"), "--jobs"),
        (Place(jobs="0"), "--jobs"),
        (Place(jobs="auto", slurm=True), "--jobs"),
        (Place(jobs="2", ray="auto"), "--jobs"),
        (Place(ray="auto", slurm=True), "choose one"),
        (Place(partition="short"), "--slurm"),
        (Place(sbatch=("qos=high",)), "--slurm"),
        (Place(gpus=1), "--devices"),
        (Place(devices="0", slurm=True), "--gpus"),
        (Place(gpus=0.5, slurm=True), "whole GPUs"),
        (Place(slurm=True, sbatch=("qos",)), "KEY=VALUE"),
    ],
)
def test_options_that_do_not_go_together(place: Place, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        place.executor(tmp_path)
    assert words in str(error.value)
