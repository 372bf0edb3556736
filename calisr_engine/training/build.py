"""A run put together from its settings, in named steps: data, model, method, phases, state.

The order of the steps is part of the result: each draws its random numbers where it stands.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from calisr_engine.calibration.readings import Reading, SinceLastSample, StepReading
from calisr_engine.calibration.sampler import Sampler
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import CalisrError, ConfigError, is_out_of_memory
from calisr_engine.events.log import EventWriter
from calisr_engine.methods.base import Attachment, TargetForm
from calisr_engine.models.components import Target, find_targets
from calisr_engine.models.fingerprints import changed
from calisr_engine.models.load import LoadedModel
from calisr_engine.randomness import seed_all
from calisr_engine.regularizers.base import Regularization
from calisr_engine.runs.layout import RunPaths
from calisr_engine.tasks.data import TaskData, load_task
from calisr_engine.training import checkpoint, room
from calisr_engine.training.batching import TaskBatches
from calisr_engine.training.branches import Branches
from calisr_engine.training.calibrator import Calibrator
from calisr_engine.training.checkpoint import Checkpoints
from calisr_engine.training.compiled import CompiledLoss
from calisr_engine.training.context import RunContext
from calisr_engine.training.determinism import seed_rank
from calisr_engine.training.device import works_beside
from calisr_engine.training.evaluation import Evaluation, model_tensors
from calisr_engine.training.forms import form_tensors, load_forms
from calisr_engine.training.generalisation import Generalisation
from calisr_engine.training.model import (
    attach_method,
    begin_phases,
    check_method,
    open_model,
    open_phases,
)
from calisr_engine.training.optim import StepOptimizer
from calisr_engine.training.planned import planned_switches
from calisr_engine.training.ranks import Ranks
from calisr_engine.training.regularize import open_regularization, weights_as_loaded
from calisr_engine.training.reporter import Reporter
from calisr_engine.training.schedule import StepPlan, step_plan
from calisr_engine.training.state import Stateful, TrainState, unfit
from calisr_engine.training.step import OptimizerStep, forward_loss
from calisr_engine.training.switch import Phases


@dataclass(frozen=True)
class PreparedRun:
    """A run that is ready to train.

    Attributes:
        start_step: optimizer steps already done (those of the checkpoint resumed from).
        total_parameters: of the dense model, the denominator of the trainable share.
        skipped: a line for each damaged checkpoint that was passed over.
    """

    context: RunContext
    data: TaskData
    loaded: LoadedModel
    targets: list[Target]
    batches: TaskBatches
    plan: StepPlan
    attachment: Attachment
    optimizer: StepOptimizer
    calibrator: Calibrator
    step: OptimizerStep
    evaluation: Evaluation
    reporter: Reporter
    stateful: Stateful
    checkpoints: Checkpoints
    total_parameters: int
    start_step: int
    skipped: list[str]

    @property
    def model(self) -> nn.Module:
        return self.loaded.model


def prepare(
    config: RunConfig,
    paths: RunPaths,
    writer: EventWriter,
    resume: bool,
    dry: bool = False,
    ranks: Ranks | None = None,
    data: TaskData | None = None,
) -> PreparedRun:
    """Put a run together; with `resume`, from its newest checkpoint that is whole.

    A `dry` run is for counting only: costly passes of the method are skipped. Several `ranks`
    must have met before (`Ranks.joined`); all begin with the weights and masks of rank 0. `data`
    is what these settings name, where it was read just before.

    Raises:
        CalisrError: data, model or settings cannot be used; the message says why.
    """
    context = RunContext.open(config, paths, writer, ranks or Ranks())
    data = data or load_task(config.task)
    loaded = open_model(context, data)
    batches = TaskBatches(data, loaded.tokenizer, config)
    fingerprint = f"{data.fingerprint}/{loaded.fingerprint}"
    found = find_state(context, fingerprint) if resume else (None, [])
    with context.stream.turn():
        return _put_together(context, data, loaded, batches, fingerprint, found, dry)


def _put_together(
    context: RunContext,
    data: TaskData,
    loaded: LoadedModel,
    batches: TaskBatches,
    fingerprint: str,
    found: tuple[TrainState | None, list[str]],
    dry: bool,
) -> PreparedRun:
    """All of `prepare` that draws random numbers; `found` is what `find_state` gave."""
    config, (state, skipped) = context.config, found
    plan = step_plan(config, batches.per_epoch)
    total = sum(p.numel() for p in dict.fromkeys(loaded.model.parameters()))
    seed_all(config.training.seed, context.device)
    targets = find_targets(loaded.model)
    room.check_batches(context, targets, *batches.lengths())
    room.check_method(config, context.device, loaded.model, targets)
    check_method(config, targets)
    start = weights_as_loaded(config, targets)
    skip_costly = dry or state is not None
    attachment = attach_method(context, loaded.model, targets, batches, plan, skip_costly)
    phases = open_phases(config, loaded.model, targets, attachment)
    planned = planned_switches(config, plan, tuple(phases.groups))
    light = {change.group for change in planned if change.step == 0} == phases.groups.keys()
    if light:
        phases.round_ahead()
    loaded.model.to(context.device)
    with _taking_back(state):
        begin_phases(phases, state)
    regularization = open_regularization(
        config, loaded.model, targets, phases, planned, start, plan.total_steps, state is not None
    )
    stepped = phases.stepped()
    ended = phases.ended_when_complete() if light else set()
    room.check_optimizer(context, loaded.model, [p for p in stepped.values() if p not in ended])
    optimizer = StepOptimizer(
        stepped,
        config.training,
        attachment.rules,
        fused=works_beside(context.device)
        or (context.device.type == "cpu" and config.training.optimizer == "adamw"),
    )
    sampler = open_sampler(context, plan, batches, loaded.model, phases, optimizer, regularization)
    calibrator = Calibrator(context, plan, phases, optimizer, sampler, planned, total)
    generalisation = None
    if config.diagnostics.generalisation:
        generalisation = Generalisation(context, plan, batches, loaded.model, targets, attachment)
    evaluation = Evaluation(context, plan, data, batches, loaded.model, attachment, generalisation)
    reporter = Reporter(context, plan)
    stateful = Stateful(
        context,
        fingerprint,
        loaded.model,
        attachment,
        optimizer,
        calibrator,
        evaluation,
        reporter,
        regularization,
    )
    if state is not None:
        with _taking_back(state):
            stateful.restore(state)
    else:
        seed_rank(context.device, config.training.seed, context.ranks.rank, 0)
    if context.ranks.size > 1:
        _begin_equal(context.ranks, loaded.model, attachment)
    start_step = 0 if state is None else state.step
    compiled = None
    if config.training.compile:
        compiled = CompiledLoss(context, forward_loss, batches.longest)
    return PreparedRun(
        context=context,
        data=data,
        loaded=loaded,
        targets=targets,
        batches=batches,
        plan=plan,
        attachment=attachment,
        optimizer=optimizer,
        calibrator=calibrator,
        step=OptimizerStep(
            context, plan, batches, loaded.model, attachment, optimizer, regularization, compiled
        ),
        evaluation=evaluation,
        reporter=reporter,
        stateful=stateful,
        checkpoints=Checkpoints(
            context.paths,
            config.output.keep_checkpoints,
            context.ranks,
            saved_at=-1 if state is None else start_step,
        ),
        total_parameters=total,
        start_step=start_step,
        skipped=skipped,
    )


@contextlib.contextmanager
def _taking_back(state: TrainState | None) -> Iterator[None]:
    """Whatever `state` does to code that takes it back is a mistake of the checkpoint.

    Raises:
        CalisrError: it is of another run or model, or nonsense under a right checksum.
    """
    try:
        yield
    except CalisrError:
        raise
    except Exception as error:
        if state is None or is_out_of_memory(error):
            raise
        said = str(error).strip().partition("\n")[0][:200]
        raise unfit(state, f"{type(error).__name__}: {said}") from error


def find_state(context: RunContext, fingerprint: str) -> tuple[TrainState | None, list[str]]:
    """The newest whole checkpoint on rank 0, and those skipped; the same on all ranks.

    Raises:
        ConfigError: data or model are not those that it was trained with.
    """
    paths, ranks = context.paths, context.ranks
    found: TrainState | None = None
    skipped: list[str] = []
    if ranks.is_first:
        found, skipped = checkpoint.newest(paths)
    step = ranks.from_first(None if found is None else found.step)
    if found is None and step is not None:
        found = checkpoint.load(paths.checkpoint(step))
    parts = [] if found is None else changed(found.fingerprint, fingerprint)
    if parts:
        raise ConfigError(
            f"the {' and the '.join(parts)} changed since this run was stopped, so it cannot go on "
            "exactly",
            "restore what changed, or start a new run",
        )
    return found, skipped


def open_sampler(
    context: RunContext,
    plan: StepPlan,
    batches: TaskBatches,
    model: nn.Module,
    phases: Phases,
    optimizer: StepOptimizer,
    regularization: Regularization | None,
) -> Sampler | None:
    """What measures the run, by the reading of the settings; None where nothing is measured.

    Raises:
        ConfigError: the reading cannot be had with several processes.
    """
    calibration = context.config.calibration
    if not calibration.measures:
        return None
    reading: Reading
    if calibration.reading == "branches":
        reading = Branches(context, plan, batches, model, phases, optimizer, regularization)
    elif calibration.reading == "since_last_sample":
        reading = SinceLastSample()
    else:
        reading = StepReading()
    keep = context.paths.samples if calibration.keep_samples else None
    return Sampler(calibration.score, reading, keep, calibration.log_parts)


def _begin_equal(ranks: Ranks, model: nn.Module, attachment: Attachment) -> None:
    """Weights and masks of rank 0 on all ranks, now and whenever a switch draws new masks."""

    def share_forms() -> None:
        received = ranks.tensors_of_first(form_tensors(attachment))
        if not ranks.is_first:
            load_forms(attachment, received)

    own = model_tensors(model)
    received = ranks.tensors_of_first(own)
    with torch.no_grad():
        for name, value in received.items():
            own[name].copy_(value)
    share_forms()
    before_switch = attachment.before_switch
    if before_switch is not None:

        def before(forms: list[TargetForm]) -> None:
            before_switch(forms)
            share_forms()

        attachment.before_switch = before
