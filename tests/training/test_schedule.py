from __future__ import annotations

import pytest
import torch
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import ConfigError
from calisr_engine.training.schedule import StepPlan, learning_rate_factor, step_plan


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


def test_steps_at_rate_0_are_not_measured() -> None:
    plan = StepPlan(
        batches_per_epoch=10,
        accumulate=1,
        total_steps=30,
        window=10,
        every_steps=1,
        warmup_ratio=0.1,
        schedule="linear",
    )
    assert [step for step in range(1, 31) if not plan.is_sample(step)] == [1]
    assert all(plan.rate_factor(step) > 0 for step in range(2, 31))


def test_a_run_that_would_train_nothing_is_refused() -> None:
    config = RunConfig.model_validate({"training": {"max_steps": 1}})
    with pytest.raises(ConfigError, match=r"training\.warmup_ratio.*learning rate is 0"):
        step_plan(config, batches_per_epoch=6)
    config = RunConfig.model_validate({"training": {"max_steps": 1, "warmup_ratio": 0}})
    assert step_plan(config, batches_per_epoch=6).total_steps == 1


def test_max_steps_rules_over_epochs_both_ways() -> None:
    for steps in (4, 100):
        config = RunConfig.model_validate({"training": {"max_steps": steps, "epochs": 3}})
        assert step_plan(config, batches_per_epoch=6).total_steps == steps


def test_a_plan_without_warm_up_begins_with_the_whole_rate() -> None:
    assert [plan().rate_factor(step) for step in (1, 2, 8)] == [1, 1, 1]
    falling = plan(total_steps=4, schedule="linear")
    assert [falling.rate_factor(step) for step in (1, 2, 3, 4)] == [1, 0.75, 0.5, 0.25]
