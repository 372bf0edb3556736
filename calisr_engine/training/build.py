"""A run put together from its settings, in named steps: data, model, method, phases, state.

The order of the steps is part of the result: each draws its random numbers where it stands.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from calisr_engine.calibration.readings import Reading, SinceLastSample, StepReading
from calisr_engine.calibration.sampler import Sampler
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import CalisrError, ConfigError, is_out_of_memory
from calisr_engine.events.log import EventWriter
from calisr_engine.methods import registry
from calisr_engine.methods.base import AttachContext, Attachment, TargetForm
from calisr_engine.models.attention import look_at_no_mask
from calisr_engine.models.components import Target, find_targets, start_regression_at
from calisr_engine.models.components import groups as group_targets
from calisr_engine.models.fingerprints import changed
from calisr_engine.models.first_token import compute_first_token_only
from calisr_engine.models.load import LoadedModel, load_model
from calisr_engine.regularizers.base import Regularization
from calisr_engine.runs.layout import RunPaths
from calisr_engine.tasks.data import TaskData, load_task
from calisr_engine.tasks.examples import mean_label
from calisr_engine.training import checkpoint, room
from calisr_engine.training.batching import TaskBatches
from calisr_engine.training.branches import Branches
from calisr_engine.training.calibrator import Calibrator
from calisr_engine.training.checkpoint import Checkpoints
from calisr_engine.training.compiled import CompiledLoss
from calisr_engine.training.context import RunContext
from calisr_engine.training.determinism import seed_everything, seed_rank
from calisr_engine.training.device import works_beside
from calisr_engine.training.evaluation import Evaluation, model_tensors
from calisr_engine.training.forms import form_tensors, load_forms
from calisr_engine.training.generalisation import Generalisation
from calisr_engine.training.optim import StepOptimizer, make_optimizer
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
    total = sum(p.numel() for p in dict.fromkeys(loaded.model.parameters()))
    batches = TaskBatches(data, loaded.tokenizer, config)
    plan = step_plan(config, batches.per_epoch)
    fingerprint = f"{data.fingerprint}/{loaded.fingerprint}"
    state, skipped = find_state(context, fingerprint) if resume else (None, [])

    seed_everything(config.training.seed)
    targets = find_targets(loaded.model)
    room.check_batches(context, targets, *batches.lengths())
    check_method(config, targets)
    room.check_method(config, context.device, loaded.model, targets)
    start = weights_as_loaded(config, targets)
    skip_costly = dry or state is not None
    attachment = attach_method(context, loaded.model, targets, batches, plan, skip_costly)
    with _taking_back(state):
        phases = open_phases(context, loaded.model, targets, attachment, state)
    planned = planned_switches(config, plan, tuple(phases.groups))
    regularization = open_regularization(
        config, loaded.model, targets, phases, planned, start, plan.total_steps, state is not None
    )
    stepped = phases.stepped()
    room.check_optimizer(context, loaded.model, list(stepped.values()))
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
            paths,
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


def model_for(config: RunConfig, data: TaskData, headers_only: bool = False) -> LoadedModel:
    """The encoder of the settings with a head for the data; see `load_model`."""
    return load_model(
        config.model,
        num_labels=len(data.label_names) if data.label_names else 1,
        kind=data.kind,
        seed=config.training.seed,
        label_names=data.label_names,
        dropout=config.training.dropout,
        headers_only=headers_only,
    )


def open_model(context: RunContext, data: TaskData) -> LoadedModel:
    """The pretrained encoder with a head for the task, on the run's device."""
    config = context.config
    loaded = model_for(config, data)
    fresh = config.model.head == "fresh"
    if fresh and data.kind == "regression" and config.training.regression_start == "mean":
        start_regression_at(loaded.model, mean_label(data.train))
    if config.training.last_layer == "first_token":
        compute_first_token_only(loaded.model)
    loaded.model.to(context.device)
    if works_beside(context.device):
        look_at_no_mask()
    if config.training.activation_checkpointing:
        _compute_again(loaded.model)
    return loaded


def _compute_again(model: nn.Module) -> None:
    """Keep only the input of each layer for the backward pass.

    Raises:
        ConfigError: transformers cannot do so with this architecture.
    """
    if not getattr(model, "supports_gradient_checkpointing", False):
        kind = getattr(model.config, "model_type", "unknown")
        raise ConfigError(
            f"training.activation_checkpointing: transformers has none for {kind!r} models",
            "set it to false, and lower training.batch_size (training.accumulate makes up for it)",
        )
    model.activation_checkpointing_enable()  # type: ignore[operator]


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


def check_method(config: RunConfig, targets: list[Target]) -> None:
    """Refuse settings that the method cannot be put around these targets with.

    Raises:
        ConfigError: so it is.
    """
    calibrated = config.is_calibrated
    names = config.method.covered(calibrated)
    covered = [target for target in targets if target.component in names]
    registry.get(config.method.name).check_targets(covered, config.method, calibrated)


def attach_method(
    context: RunContext,
    model: nn.Module,
    targets: list[Target],
    batches: TaskBatches,
    plan: StepPlan,
    skip_costly: bool,
) -> Attachment:
    """The method of the settings, attached to the targets it covers."""
    config, training = context.config, context.config.training
    method = registry.get(config.method.name)
    calibrated = config.is_calibrated
    names = config.method.covered(calibrated)

    def gradient_batches(limit: int | None) -> Iterable[Mapping[str, Tensor]]:
        return batches.fixed_order(context.device, limit)

    attachment = method.attach(
        model,
        [target for target in targets if target.component in names],
        config.method,
        AttachContext(
            seed=training.seed,
            calibrated=calibrated,
            learning_rate=training.learning_rate,
            lft_learning_rate=training.lft_learning_rate,
            weight_decay=training.weight_decay,
            max_grad_norm=training.max_grad_norm,
            total_steps=plan.total_steps,
            gradient_batches=gradient_batches,
            forward_loss=forward_loss,
            rate_factor=plan.rate_factor,
            new_optimizer=lambda groups: make_optimizer(groups, training, fused=False),
            resuming=skip_costly,
        ),
    )
    if attachment.after_evaluation is not None and context.ranks.size > 1:
        raise ConfigError(
            "method.squeeze_gap: dimension squeezing runs in one process only",
            "start the run with one process, or remove squeeze_gap",
        )
    model.to(context.device)
    return attachment


def open_phases(
    context: RunContext,
    model: nn.Module,
    targets: list[Target],
    attachment: Attachment,
    state: TrainState | None,
) -> Phases:
    """The groups of the run; those that had switched before `state` switch again."""
    covered = {target.component for target in targets if target.name in attachment.forms}
    grouped = group_targets(targets, context.config.calibration.grouping, covered)
    groups: dict[str, list[TargetForm]] = {
        name: [attachment.forms[target.name] for target in members]
        for name, members in grouped.items()
    }
    phases = Phases(model, attachment, targets, groups, context.config.method)
    phases.begin()
    if state is not None:
        for change in state.switches:
            load_forms(attachment, state.forms)
            phases.switch(change, None)
    return phases


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
