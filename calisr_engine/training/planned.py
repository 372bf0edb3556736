"""Switches whose step is known before the first one: by schedule, or by a control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from calisr_engine.calibration.controls import deal, parse_steps
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import ConfigError
from calisr_engine.training.schedule import StepPlan
from calisr_engine.training.switch import PhaseChange


def planned_switches(
    config: RunConfig, plan: StepPlan, groups: Sequence[str]
) -> tuple[PhaseChange, ...]:
    """Switches whose step is known beforehand: all at one by schedule, or each by a control.

    Raises:
        ConfigError: a matched or shuffled control whose steps do not fit the run.
    """
    if plan.switch_step is not None:
        why = "the light method from the first step"
        if plan.switch_step > 0:
            why = f"fixed at {config.schedule.switch_at:.0%} of all steps"
        return tuple(PhaseChange(g, plan.switch_step, "schedule", why) for g in groups)
    calibration = config.calibration
    if calibration.variant == "off" or not calibration.follows_steps:
        return ()
    if calibration.switch_steps is None:
        raise ConfigError(
            f"calibration.matched_to: the switch steps of {calibration.matched_to} are not in the "
            "run's settings",
            "make the run with `calisr run` or a grid, or set calibration.switch_steps",
        )
    source = parse_steps(calibration.switch_steps)
    late = max((step for step in source.values() if step is not None), default=0)
    if sorted(source) != sorted(groups) or late > plan.total_steps:
        raise ConfigError(
            f"calibration.switch_steps: {calibration.switch_steps!r} does not fit a run of "
            f"{plan.total_steps} steps with the groups {', '.join(groups)}",
            "name a run of the same groups and steps in calibration.matched_to",
        )
    whose = calibration.matched_to or "calibration.switch_steps"
    if calibration.control == "matched":
        return tuple(
            PhaseChange(group, step, "matched", f"the step at which it switched in {whose}")
            for group in groups
            if (step := source[group]) is not None
        )
    dealt = deal(source, config.control_seed)
    return tuple(
        PhaseChange(group, step, "shuffled", _of_whom(source, group, step, whose))
        for group in groups
        if (step := dealt[group]) is not None
    )


def _of_whom(source: Mapping[str, int | None], group: str, step: int, whose: str) -> str:
    """Whose step a group was dealt, in words."""
    if source[group] == step:
        return f"dealt its own step of {whose}, which too many groups share to deal otherwise"
    others = [other for other, at in source.items() if at == step]
    return f"dealt the step of {' or '.join(others)} in {whose}"
