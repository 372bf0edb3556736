"""The report's clock: evaluations, checkpoints and pauses are no training time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from calisr_engine.training import reporter as module
from calisr_engine.training.reporter import Reporter
from calisr_engine.training.schedule import StepPlan


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


def make(every: float, said: list[tuple[int, Any]]) -> Reporter:
    context = SimpleNamespace(
        device=torch.device("cpu"),
        ranks=SimpleNamespace(is_first=True),
        emit=lambda step, event: said.append((step, event)),
        config=SimpleNamespace(
            output=SimpleNamespace(progress_every_seconds=every),
            training=SimpleNamespace(learning_rate=1e-3),
        ),
    )
    plan = StepPlan(batches_per_epoch=100, accumulate=1, total_steps=10**6, window=100)
    reporter = Reporter(context, plan)  # type: ignore[arg-type]
    reporter.begin()
    return reporter


STEP: Any = SimpleNamespace(loss=torch.tensor(0.5), norm=None, examples=32, settle=lambda: None)


def progress(said: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    return [(step, event) for step, event in said if event.type == "progress"]


def test_speed_is_that_of_training_whatever_is_done_beside(clock: Clock) -> None:
    said: list[tuple[int, Any]] = []
    reporter = make(0.5, said)
    for step in range(1, 101):
        clock.now += 0.1
        reporter.step_done(step, STEP, "fft", 10, 0.1)
        with reporter.aside():  # an evaluation after every step, four times as long
            clock.now += 0.4
    found = progress(said)
    assert len(found) > 50  # evaluations do not put reports off
    for _, event in found:
        assert event.examples_per_second == pytest.approx(320)
        assert event.seconds_per_step == pytest.approx(0.1)
    assert reporter.tally.seconds["fft"] == pytest.approx(10)
    assert reporter.tally.wall_seconds == pytest.approx(50 - 0.4)


def test_reports_come_at_most_as_often_as_asked(clock: Clock) -> None:
    said: list[tuple[int, Any]] = []
    reporter = make(1.0, said)
    for step in range(1, 51):
        clock.now += 0.1
        reporter.step_done(step, STEP, "fft", 10, 0.1)
    assert [step for step, _ in progress(said)] == [1, 11, 21, 31, 41]


def test_a_real_run_reports_a_speed_that_its_clock_confirms(tmp_path: Path) -> None:
    """Many evaluations and checkpoints in a short run: examples over reported seconds add up."""
    from calisr_engine.process.execute import execute
    from tests.training.tiny_run import events, make_run, save_model

    torch.set_num_threads(1)
    run = make_run(
        save_model(tmp_path / "model"),
        tmp_path,
        "often",
        "method.name=fft",
        "training.eval_every_steps=1",
        "output.checkpoint_every_steps=1",
    )
    assert execute(run, raise_errors=True) == 0
    said = events(run, "progress")
    assert len(said) == 18
    for each in said[1:]:
        assert each["examples_per_second"] * each["seconds_per_step"] < 3 * 16
