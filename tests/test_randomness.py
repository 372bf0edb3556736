"""Who draws from the process's random numbers: runs and passers-by do not disturb each other."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from calisr_engine import randomness
from calisr_engine.config.load import load
from calisr_engine.forecast import before_start
from calisr_engine.forecast.dry_run import plan_run
from calisr_engine.process.execute import execute
from calisr_engine.randomness import CPU, Stream, aside, seed_all
from tests.training.tiny_run import events, make_run, save_model


def draw() -> float:
    return torch.rand(()).item()


def draw_aside() -> None:
    with aside():
        draw()


def losses(run_dir: Path) -> list[tuple[int, float, float]]:
    return [(e["step"], e["loss"], e["gradient_norm"]) for e in events(run_dir, "progress")]


def beside(what: Callable[[], Any], work: Callable[[], Any]) -> int:
    """Do `work`, and `what` again and again in another thread; how often."""
    end, done = threading.Event(), []

    def again() -> None:
        while not end.is_set():
            what()
            done.append(1)

    other = threading.Thread(target=again)
    other.start()
    try:
        work()
    finally:
        end.set()
        other.join()
    return len(done)


def test_a_stream_goes_on_where_it_was() -> None:
    seed_all(4)
    alone = [draw() for _ in range(4)]
    seed_all(9)
    around = draw()
    seed_all(9)
    streams = [Stream(CPU), Stream(CPU)]
    for each in streams:
        with each.turn():
            seed_all(4)
    found: list[list[float]] = [[], []]
    for _ in range(4):
        for own, each in zip(found, streams, strict=True):
            with each.turn():
                own.append(draw())
            with aside(8):
                draw()
    assert found == [alone, alone]
    assert draw() == around


def test_who_draws_aside_seeds_every_generator_and_puts_it_back() -> None:
    def all_kinds() -> list[float]:
        return [draw(), random.random(), np.random.rand()]

    seed_all(9)
    expected = all_kinds()
    seed_all(9)
    with aside(8):
        first = all_kinds()
    with aside(8):
        assert all_kinds() == first
    assert all_kinds() == expected


def test_streams_and_passers_by_nest() -> None:
    """A callback of a run may open a model, or train another one."""
    outer, inner = Stream(CPU), Stream(CPU)
    with outer.turn():
        seed_all(1)
        expected = [draw(), draw()]
        seed_all(1)
        found = [draw()]
        with inner.turn(), aside(5):
            draw()
        with contextlib.suppress(ValueError), aside(5):
            draw()
            raise ValueError
        found.append(draw())
    assert found == expected


def test_a_turn_that_ends_in_an_error_is_given_back_where_it_ended() -> None:
    stream = Stream(CPU)
    around = torch.get_rng_state()
    with contextlib.suppress(ValueError), stream.turn():
        seed_all(1)
        first = draw()
        raise ValueError
    assert torch.equal(torch.get_rng_state(), around)
    with stream.turn():
        found = [first, draw()]
    seed_all(1)
    assert found == [draw(), draw()]
    other = threading.Thread(target=draw_aside)
    other.start()
    other.join(20)
    assert not other.is_alive()


def test_a_waiting_thread_gets_its_turn_before_the_next_step() -> None:
    """Also when whoever has the turn asks for it again at once."""
    order: list[str] = []

    def passes_by() -> None:
        with aside():
            order.append("other")

    other = threading.Thread(target=passes_by)
    stream = Stream(CPU)
    with stream.turn():
        other.start()
        while not randomness._turn._queue.locked():
            time.sleep(0.001)
        order.append("first")
    with stream.turn():
        order.append("second")
    other.join()
    assert order == ["first", "other", "second"]


@pytest.mark.parametrize("reading", ["step", "branches"])
def test_a_run_trains_the_same_whatever_goes_on_beside_it(reading: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    model = save_model(tmp_path / "model")
    sets = ("method.name=lora", "calibration.variant=S", "calibration.samples_per_epoch=3")
    sets = (*sets, f"calibration.reading={reading}")
    alone = make_run(model, tmp_path / "runs", "alone", *sets)
    execute(alone)
    other = load(None, [f"model.name={model}", "task.name=demo", "method.name=lora"])
    kept = make_run(model, tmp_path / "runs", "beside", *sets)

    def disturb() -> None:
        before_start.check(other.config)
        plan_run(other.config)

    assert beside(disturb, lambda: execute(kept)) > 0
    assert losses(kept) == losses(alone)


def test_two_runs_of_one_process_train_as_if_alone(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    model = save_model(tmp_path / "model")
    alone = make_run(model, tmp_path / "runs", "alone")
    execute(alone)
    both = [make_run(model, tmp_path / "runs", name) for name in ("one", "two")]
    threads = [threading.Thread(target=execute, args=(each,)) for each in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [losses(each) for each in both] == [losses(alone)] * 2
