"""A log that was cut anywhere and resumed shows what an undisturbed one shows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calisr_engine.events import types as ev
from calisr_engine.events.fold import fold_all
from calisr_engine.events.rewind import effective
from calisr_engine.events.view import RunView
from tests.events.cases import CASES, record

STEPS, WINDOW = 24, 6
GROUPS = ("query", "key")


def started(resumed_from: int | None, switched: set[str]) -> ev.RunStarted:
    return ev.RunStarted(
        groups=GROUPS,
        phases={name: "lft" if name in switched else "fft" for name in GROUPS},
        total_steps=STEPS,
        steps_per_epoch=WINDOW,
        epochs=STEPS // WINDOW,
        trainable=1000 - 300 * len(switched),
        total=1000,
        trainable_lft=400,
        train_examples=96,
        validation_examples=40,
        metric="f1",
        device="cpu",
        precision="fp32",
        resumed_from=resumed_from,
    )


def story(switch_at: dict[str, int], by_hand: int, best_at: int) -> list[tuple[int, ev.Event]]:
    """What a run says after its start, with its steps."""
    said: list[tuple[int, ev.Event]] = []
    hits = dict.fromkeys(GROUPS, 0.0)
    samples = dict.fromkeys(GROUPS, 0)
    best, best_step = -1.0, 0
    done: set[str] = set()
    for step in range(1, STEPS + 1):
        epoch = step / WINDOW
        said.append((step, ev.Progress(epoch=epoch, loss=1 / step, learning_rate=1e-3)))
        waiting = [name for name in GROUPS if name not in done]
        if step % 2 == 0 and waiting:
            groups = {}
            for name in waiting:
                hits[name] += step % 4 == 0
                samples[name] += 1
                groups[name] = ev.GroupSample(
                    sr_lft=2.0,
                    sr_fft=3.0,
                    difference=-1.0,
                    hit=float(step % 4 == 0),
                    hits=hits[name],
                    samples=samples[name],
                )
            said.append((step, ev.StableRankSampled(epoch=epoch, groups=groups)))
        if step % WINDOW == 0 and waiting:
            decisions = {
                name: ev.GroupDecision(
                    srs=0.5,
                    delta=0.5,
                    hits=hits[name],
                    samples=samples[name],
                    switch=switch_at.get(name) == step,
                    why=name,
                )
                for name in waiting
            }
            said.append((step, ev.SrsEvaluated(epoch=epoch, groups=decisions)))
            hits, samples = dict.fromkeys(GROUPS, 0.0), dict.fromkeys(GROUPS, 0)
            for name in waiting:
                if switch_at.get(name) == step:
                    done.add(name)
                    switch = ev.GroupSwitched(
                        epoch=epoch,
                        group=name,
                        cause="calibration",
                        why=name,
                        trainable_before=1300 - 300 * len(done),
                        trainable=1000 - 300 * len(done),
                        total=1000,
                    )
                    said.append((step, switch))
        if step % WINDOW == 0 or step == by_hand:
            value = 0.9 if step == best_at else 0.5 + step / 100
            is_best = value > best
            if is_best:
                best, best_step = value, step
            evaluated = ev.Evaluated(
                epoch=epoch,
                metrics={"f1": value},
                metric="f1",
                value=value,
                best=best,
                best_step=best_step,
                is_best=is_best,
            )
            said.append((step, evaluated))
        if step % 4 == 0:
            said.append((step, ev.CheckpointSaved(path=f"step-{step}", bytes=1, seconds=0.0)))
    return said


def shown(view: RunView) -> dict[str, Any]:
    """All that a resume must not change."""
    plain = view.to_dict()
    for key in ("attempt", "messages", "updated", "duration", "trainable_share", "speed"):
        plain.pop(key)
    return plain


@given(
    st.fixed_dictionaries({}, optional={n: st.sampled_from([6, 12, 18]) for n in GROUPS}),
    st.integers(1, STEPS),
    st.sampled_from([0, 6, 12]),
    st.lists(st.integers(2, 200), min_size=1, max_size=3),
)
@settings(max_examples=150, derandomize=True, deadline=None)
def test_any_prefix_then_resumes_equals_an_undisturbed_run(
    switch_at: dict[str, int], by_hand: int, best_at: int, cuts: list[int]
) -> None:
    whole = story(switch_at, by_hand, best_at)
    begin = [(0, CASES["run_created"]), (0, started(None, set()))]
    calm = fold_all(RunView(), [record(e, step) for step, e in [*begin, *whole]])

    log: list[tuple[int, int, ev.Event]] = [(0, 1, event) for _, event in begin]
    attempt, kept_from = 1, 0
    for cut in cuts:
        part = [each for each in whole if each[0] > kept_from][:cut]
        log += [(step, attempt, event) for step, event in part]
        saved = [step for step, event in part if isinstance(event, ev.CheckpointSaved)]
        kept_from = saved[-1] if saved else kept_from
        attempt += 1
        if kept_from:
            switched = {name for name, at in switch_at.items() if at <= kept_from}
            log.append((kept_from, attempt, started(kept_from, switched)))
        else:
            log.append((0, attempt, started(0, set())))
    log += [(step, attempt, event) for step, event in whole if step > kept_from]
    records = [record(e, step, number, i) for i, (step, number, e) in enumerate(log)]
    resumed = fold_all(RunView(), records)
    assert resumed.garbage == 0
    assert shown(resumed) == shown(calm)
    told = [line.event for line in effective(records) if isinstance(line.event, ev.Evaluated)]
    assert told == [event for _, event in whole if isinstance(event, ev.Evaluated)]


@pytest.mark.parametrize("kind", ["run_started", "group_switched"])
def test_a_total_of_zero_crashes_nothing(kind: str) -> None:
    said = {**record(CASES[kind]), "total": 0}
    view = fold_all(RunView(), [record(CASES["run_created"]), said])
    assert view.garbage == 0
    assert view.share is None


def test_cumulative_hits_go_on_after_a_resume() -> None:
    config = {"calibration": {"variant": "S", "cumulative": True}}
    created = ev.RunCreated(run_id="r", config=config)
    sample = record(CASES["stable_rank_sampled"], 5)
    decided = record(CASES["srs_evaluated"], 6)
    again = record(started(6, set()), 6, attempt=2)
    view = fold_all(RunView(), [record(created, 0), sample, decided, again])
    assert (view.groups["query"].hits, view.groups["query"].samples) == (1.0, 2)


def begun() -> list[dict[str, Any]]:
    return [record(CASES["run_created"]), record(started(None, set()), 0)]


def test_no_group_switches_twice() -> None:
    switch = record(CASES["group_switched"], 6)
    view = fold_all(RunView(), [*begun(), switch, {**switch, "step": 9, "trainable": 1}])
    assert [each.step for each in view.switches] == [6]
    assert view.trainable == 500
    assert view.garbage == 1


def test_a_second_log_behind_the_first_is_said_and_starts_anew() -> None:
    other = ev.RunCreated(run_id="another", config={"training": {"seed": 9}})
    told = [record(CASES["progress"], 20), record(CASES["evaluated"], 20)]
    glued = [record(other), record(started(None, set()), 0), record(CASES["progress"], 1)]
    view = fold_all(RunView(), [*begun(), *told, *glued])
    assert (view.run_id, view.seed, view.garbage) == ("a-run", 3, 1)
    assert view.loss.x == [1]
    assert view.evaluations == []
    assert view.step == 1


def test_steps_beyond_the_last_leave_nothing_to_do() -> None:
    far = record(CASES["progress"], 2**53)
    view = fold_all(RunView(), [*begun(), far])
    assert view.fraction == 1.0
    assert view.eta_seconds == 0
