"""What Optuna does for a search: it chooses values and says which trial shall end early."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from calisr_engine.errors import UnavailableError
from calisr_engine.tune.space import Dimension
from calisr_engine.tune.study import Plan, Trial

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

FIRST_TRIALS = 4
"""Trials that are never ended early: what the others are held against."""


def check_installed() -> None:
    """Refuse a search where Optuna is not installed.

    Raises:
        UnavailableError: with the line that installs it.
    """
    if importlib.util.find_spec("optuna") is None:
        raise UnavailableError(
            "Optuna is not installed, and it chooses the trials",
            "install with: pip install 'calisr[tune]'",
        )


def new_study(plan: Plan, begun: int) -> optuna.Study:
    """A study in memory. Its random numbers depend on the plan's seed and on how many began."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seed = plan.seed + begun
    sampler: Any
    if plan.sampler == "tpe":
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
    else:
        sampler = optuna.samplers.RandomSampler(seed=seed)
    pruner: Any = {
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=FIRST_TRIALS),
        "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=100),
        "none": optuna.pruners.NopPruner,
    }[plan.pruner]()
    return optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)


def distribution(each: Dimension) -> BaseDistribution:
    """The values of a dimension, as Optuna has them."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if each.choices:
        return CategoricalDistribution(each.choices)
    if each.whole:
        return IntDistribution(int(each.low), int(each.high), log=each.log)
    return FloatDistribution(each.low, each.high, log=each.log)


def ended_trial(trial: Trial, space: tuple[Dimension, ...]) -> optuna.trial.FrozenTrial:
    """A trial that has ended, as Optuna keeps it."""
    from optuna.trial import TrialState, create_trial

    state = TrialState.FAIL
    if trial.ended_early:
        state = TrialState.PRUNED
    elif trial.view.state == "completed" and trial.score is not None:
        state = TrialState.COMPLETE
    return create_trial(
        state=state,
        value=trial.score if state is TrialState.COMPLETE else None,
        params=dict(trial.values),
        distributions={each.key: distribution(each) for each in space},
        intermediate_values=dict(trial.points()),
    )
