from __future__ import annotations

import pytest
import torch
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from calisr_engine.training.schedule import StepPlan, learning_rate_factor


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [("linear", get_linear_schedule_with_warmup), ("cosine", get_cosine_schedule_with_warmup)],
)
@pytest.mark.parametrize(("total", "ratio"), [(100, 0.06), (7, 0.0), (33, 0.5)])
def test_the_schedules_are_those_of_transformers(kind, theirs, total, ratio) -> None:
    import math

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = theirs(optimizer, math.ceil(total * ratio), total)
    for step in range(total):
        assert learning_rate_factor(step, total, ratio, kind) == pytest.approx(
            scheduler.get_last_lr()[0], abs=1e-12
        )
        optimizer.step()
        scheduler.step()


def plan(**changes) -> StepPlan:
    given = {"batches_per_epoch": 10, "accumulate": 3, "total_steps": 8, "window": 4}
    return StepPlan(**(given | changes))


def test_micro_batches_cover_each_epoch_once() -> None:
    p = plan()
    assert p.steps_per_epoch == 4
    first = [i for step in (1, 2, 3, 4) for i in p.micro_batches(step)]
    second = [i for step in (5, 6, 7, 8) for i in p.micro_batches(step)]
    assert first == second == list(range(10))


def test_samples_fall_at_their_places_in_every_window() -> None:
    p = plan(samples=(2, 4))
    assert [s for s in range(1, 9) if p.is_sample(s)] == [2, 4, 6, 8]
    assert [s for s in range(1, 9) if plan(every_steps=3).is_sample(s)] == [3, 6]


def test_the_last_step_is_always_evaluated_and_kept() -> None:
    p = plan(total_steps=7, eval_every=3, checkpoint_every=5)
    assert [s for s in range(1, 8) if p.is_evaluation(s)] == [3, 6, 7]
    assert [s for s in range(1, 8) if p.is_checkpoint(s)] == [5, 7]
    assert p.decision_steps() == (4,)
