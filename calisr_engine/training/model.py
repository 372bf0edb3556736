"""The model of a run and the method around it, as `build` asks for them in its steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import ConfigError
from calisr_engine.methods import registry
from calisr_engine.methods.base import AttachContext, Attachment, TargetForm
from calisr_engine.models.architectures import architecture_of
from calisr_engine.models.attention import look_at_no_mask
from calisr_engine.models.components import Target, start_regression_at
from calisr_engine.models.components import groups as group_targets
from calisr_engine.models.first_token import compute_first_token_only
from calisr_engine.models.load import LoadedModel, load_model
from calisr_engine.models.packing import pack_layers
from calisr_engine.tasks.data import TaskData
from calisr_engine.tasks.examples import mean_label
from calisr_engine.training.batching import TaskBatches
from calisr_engine.training.context import RunContext
from calisr_engine.training.device import works_beside
from calisr_engine.training.forms import load_forms
from calisr_engine.training.optim import make_optimizer
from calisr_engine.training.schedule import StepPlan
from calisr_engine.training.state import TrainState
from calisr_engine.training.step import forward_loss
from calisr_engine.training.switch import Phases


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
    if config.training.packing:
        pack_layers(loaded.model, loaded.tokenizer.padding_side)
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
        kind = architecture_of(model)
        raise ConfigError(
            f"training.activation_checkpointing: transformers has none for {kind!r} models",
            "set it to false, and lower training.batch_size (training.accumulate makes up for it)",
        )
    model.activation_checkpointing_enable()  # type: ignore[operator]


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
    return attachment


def open_phases(
    config: RunConfig, model: nn.Module, targets: list[Target], attachment: Attachment
) -> Phases:
    """The groups of the run, none of which has switched."""
    covered = {target.component for target in targets if target.name in attachment.forms}
    grouped = group_targets(targets, config.calibration.grouping, covered)
    groups: dict[str, list[TargetForm]] = {
        name: [attachment.forms[target.name] for target in members]
        for name, members in grouped.items()
    }
    phases = Phases(model, attachment, targets, groups, config.method)
    phases.rounds_frozen = config.training.frozen_weights == "bf16"
    return phases


def begin_phases(phases: Phases, state: TrainState | None) -> None:
    """Before the optimizer is built; groups that had switched before `state` switch again."""
    phases.begin()
    if state is not None:
        for change in state.switches:
            load_forms(phases.attachment, state.forms)
            phases.switch(change, None)
