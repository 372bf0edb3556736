"""Everything one run needs, put together from its settings: data, model, method, optimizer."""

from __future__ import annotations

import gc
import json
import math
import os
import platform
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from calisr_engine.calibration.sampler import Sampler
from calisr_engine.calibration.score import ScoreBoard, sample_steps
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import CalisrError, ConfigError, RunFailedError
from calisr_engine.events.log import EventWriter
from calisr_engine.events.types import Event, Warned
from calisr_engine.methods import registry
from calisr_engine.methods.base import AttachContext, Attachment, TargetForm
from calisr_engine.models.components import Target, find_targets, start_regression_at
from calisr_engine.models.components import groups as group_targets
from calisr_engine.models.load import LoadedModel, load_model
from calisr_engine.runs.control import Request, take_requests
from calisr_engine.runs.layout import RunPaths
from calisr_engine.tasks.data import TaskData, load_task
from calisr_engine.tasks.examples import mean_label
from calisr_engine.training import checkpoint as checkpoints
from calisr_engine.training.batching import TaskBatches
from calisr_engine.training.determinism import restore_rng, seed_everything, seed_rank
from calisr_engine.training.device import autocast_for, choose_device, make_accelerator
from calisr_engine.training.evaluate import Predictions, predict
from calisr_engine.training.optim import StepOptimizer, make_optimizer
from calisr_engine.training.ranks import Ranks
from calisr_engine.training.schedule import StepPlan, learning_rate_factor
from calisr_engine.training.switch import Phases


@dataclass
class Session:
    """A run that is ready to train. Built by `prepare`; used by the loop.

    Attributes:
        start_step: optimizer steps already done (those of the checkpoint resumed from).
        switch_step: step after which everything switches by schedule, None where measured.
        trainable: trainable parameters now; total_parameters: those of the dense model.
    """

    config: RunConfig
    paths: RunPaths
    writer: EventWriter
    data: TaskData
    loaded: LoadedModel
    targets: list[Target]
    attachment: Attachment
    phases: Phases
    optimizer: StepOptimizer
    batches: TaskBatches
    plan: StepPlan
    device: torch.device
    accelerator: Any
    autocast: Callable[[], AbstractContextManager[Any]]
    precision: str
    metric: str
    sampler: Sampler | None
    board: ScoreBoard
    switch_step: int | None
    trainable: int
    total_parameters: int
    fingerprint: str
    start_step: int = 0
    resumed: bool = False
    skipped_checkpoints: list[str] = field(default_factory=list)
    ranks: Ranks = field(default_factory=Ranks)
    counters: dict[str, Any] | None = None
    stop_event: threading.Event = field(default_factory=threading.Event)
    stop_reason: str = "stopped on request"
    validation_logits: dict[str, Tensor] = field(default_factory=dict)
    """Of the newest evaluation, by validation set."""

    @property
    def model(self) -> nn.Module:
        return self.loaded.model

    def emit(self, step: int, event: Event) -> None:
        self.writer.write(step, event)

    def take_requests(self) -> list[Request]:
        return take_requests(self.paths.root)

    def train_batch(self, epoch: int, index: int) -> tuple[dict[str, Tensor] | None, int]:
        """(this rank's slice of a micro-batch, None if empty; examples in the whole of it)."""
        return self.batches.train_part(epoch, index, self.device, self.ranks.rank, self.ranks.size)

    @staticmethod
    def forward_loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        return forward_loss(model, batch)

    def learning_rate_factor(self, step: int) -> float:
        training = self.config.training
        return learning_rate_factor(
            step, self.plan.total_steps, training.warmup_ratio, training.schedule
        )

    def evaluate(self) -> tuple[dict[str, float], float | None]:
        """Metrics on every validation set, and the mean loss on the first."""
        metrics: dict[str, float] = {}
        first_loss: float | None = None
        for name in self.batches.validation_names():
            result = self.predict("validation", name)
            self.validation_logits[name] = result.logits
            prefix = "" if name == "validation" else f"{name}/"
            for metric, value in self.data.score(name, result.logits).items():
                metrics[prefix + metric] = value
            if first_loss is None:
                first_loss = result.loss
        if self.metric not in metrics:
            first = next(iter(self.batches.validation_names()))
            metrics[self.metric] = metrics[f"{first}/{self.metric}"]
        return metrics, first_loss

    def score_notes(self) -> list[str]:
        """Why some metrics of the newest evaluation say nothing; empty as a rule."""
        return [
            note
            for name, logits in self.validation_logits.items()
            for note in self.data.score_notes(name, logits)
        ]

    def predict(self, split: str, name: str) -> Predictions:
        batches, count = self.batches.evaluation(split, name, self.ranks.rank, self.ranks.size)
        return predict(self.model, batches, count, self.device, self.autocast, self.ranks)

    # State for checkpoints ----------------------------------------------------------------------

    def model_tensors(self) -> dict[str, Tensor]:
        """Parameters and persistent buffers by name, each memory once."""
        seen: set[tuple[int, torch.Size]] = set()
        result = {}
        for name, tensor in self.model.state_dict().items():
            key = (tensor.data_ptr(), tensor.shape)
            if tensor.numel() and key in seen:
                continue
            seen.add(key)
            result[name] = tensor
        return result

    def form_tensors(self) -> dict[str, Tensor]:
        result = {
            f"{name}::{key}": value
            for name, form in self.attachment.forms.items()
            for key, value in form.state().items()
        }
        if self.attachment.extra_state is not None:
            result |= {f"::{k}": v for k, v in self.attachment.extra_state().items()}
        return result

    def save_best(self, step: int) -> None:
        """Keep the present weights as the best so far; older ones go at the next checkpoint."""
        folder = self.paths.best / f"step-{step}"
        part = self.paths.best / f"step-{step}.tmp-{os.getpid()}"
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            tensors = self.merged_tensors() or self.model_tensors()
            save_file(
                {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()},
                part / "weights.safetensors",
            )
            save_file(self.validation_logits, part / "logits.safetensors")
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            raise RunFailedError(
                f"the best model could not be written to {self.paths.best}: {error}",
                "free space there, then `calisr resume` the run",
            ) from error

    def prune_best(self, best_step: int) -> None:
        if self.paths.best.is_dir():
            for folder in self.paths.best.iterdir():
                if folder.name != f"step-{best_step}":
                    shutil.rmtree(folder, ignore_errors=True)

    def merged_tensors(self) -> dict[str, Tensor] | None:
        return self.attachment.merged_state_dict()

    def best_tensors(self, step: int) -> dict[str, Tensor]:
        return load_file(self.paths.best / f"step-{step}" / "weights.safetensors")

    def free_memory(self) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def forward_loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Mean loss of one micro-batch: cross entropy, or squared error for regression."""
    loss = model(**batch).loss
    assert isinstance(loss, Tensor)
    return loss


def prepare(
    config: RunConfig,
    paths: RunPaths,
    writer: EventWriter,
    resume: bool,
    dry: bool = False,
    ranks: Ranks | None = None,
) -> Session:
    """Put a run together; with `resume`, from its newest checkpoint that verifies.

    A `dry` session is for counting only: costly passes of the method are skipped. Several `ranks`
    must have met before (`Ranks.joined`); all begin with the weights and masks of rank 0.

    Raises:
        CalisrError: data, model or settings cannot be used; the message says why.
    """
    training = config.training
    if training.threads is not None:
        torch.set_num_threads(training.threads)
    ranks = ranks or Ranks()
    device = choose_device(ranks.device_name(training.device))
    accelerator, precision = make_accelerator(device, training.precision)
    data = load_task(config.task)
    loaded = load_model(
        config.model,
        num_labels=len(data.label_names) if data.label_names else 1,
        kind=data.kind,
        seed=training.seed,
        label_names=data.label_names,
        dropout=training.dropout,
    )
    if data.kind == "regression" and training.regression_start == "mean":
        start_regression_at(loaded.model, mean_label(data.train))
    model = loaded.model.to(device)
    total = sum(p.numel() for p in dict.fromkeys(model.parameters()))
    batches = TaskBatches(data, loaded.tokenizer, config)
    plan = step_plan(config, batches.per_epoch)
    checkpoint, skipped = _newest_checkpoint(paths, ranks) if resume else (None, [])
    fingerprint = f"{data.fingerprint}/{loaded.fingerprint}"
    if checkpoint is not None and checkpoint.state["fingerprint"] != fingerprint:
        raise ConfigError(
            "the data or the model changed since this run was stopped, so it cannot go on exactly",
            "restore them, or start a new run",
        )

    seed_everything(training.seed)
    targets = find_targets(model)
    method = registry.get(config.method.name)
    calibrated = config.calibration.variant != "off" or config.schedule.switch_at is not None
    names = config.method.covered(calibrated)
    covered = [target for target in targets if target.component in names]

    def gradient_batches(limit: int | None) -> Iterable[Mapping[str, Tensor]]:
        return batches.fixed_order(device, limit)

    attachment = method.attach(
        model,
        covered,
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
            rate_factor=lambda step: learning_rate_factor(
                step - 1, plan.total_steps, training.warmup_ratio, training.schedule
            ),
            new_optimizer=lambda groups: make_optimizer(groups, training, fused=False),
            resuming=dry or checkpoint is not None,
        ),
    )
    if attachment.after_evaluation is not None and ranks.size > 1:
        raise ConfigError(
            "method.squeeze_gap: dimension squeezing runs in one process only",
            "start the run with one process, or remove squeeze_gap",
        )
    model.to(device)
    grouped = group_targets(
        [t for t in covered if t.name in attachment.forms],
        "D" if config.calibration.variant == "off" else config.calibration.variant,
    )
    groups = {name: [attachment.forms[t.name] for t in ts] for name, ts in grouped.items()}
    phases = Phases(model, attachment, targets, groups, config.method)
    phases.begin()
    for message in attachment.notes:
        writer.write(0, Warned(message=message))

    sampler = None
    if config.calibration.variant != "off":
        keep = paths.root / "samples" if config.calibration.keep_samples else None
        sampler = Sampler(config.calibration.score, keep)
    board = ScoreBoard.start(tuple(groups), config.calibration.delta, config.calibration.cumulative)
    switch_step = _switch_step(config, plan, attachment)

    if checkpoint is not None:
        for group, step, why in checkpoint.state["phases"]:
            _load_forms(attachment, checkpoint.tensors.get("forms", {}), only=None)
            phases.switch(group, int(step), why, None)
    optimizer = StepOptimizer(
        phases.stepped(), training, attachment.rules, fused=device.type in ("cuda", "cpu")
    )
    session = Session(
        config=config,
        paths=paths,
        writer=writer,
        data=data,
        loaded=loaded,
        targets=targets,
        attachment=attachment,
        phases=phases,
        optimizer=optimizer,
        batches=batches,
        plan=plan,
        device=device,
        accelerator=accelerator,
        autocast=autocast_for(device, precision),
        precision=precision,
        metric=data.metric,
        sampler=sampler,
        board=board,
        switch_step=switch_step,
        trainable=phases.trainable(),
        total_parameters=total,
        fingerprint=fingerprint,
        skipped_checkpoints=skipped,
        ranks=ranks,
    )
    if checkpoint is not None:
        _load_checkpoint(session, checkpoint)
    else:
        seed_rank(device, training.seed, ranks.rank, 0)
    if ranks.size > 1:
        _begin_equal(session)
    return session


def _newest_checkpoint(
    paths: RunPaths, ranks: Ranks
) -> tuple[checkpoints.Checkpoint | None, list[str]]:
    """The newest checkpoint that verifies on rank 0, and those skipped; the same on all ranks."""
    found: checkpoints.Checkpoint | None = None
    skipped: list[str] = []
    if ranks.is_first:
        found, skipped = checkpoints.newest(paths.checkpoints)
    step = ranks.from_first(None if found is None else found.step)
    if found is None and step is not None:
        found = checkpoints.load(paths.checkpoint(step))
    return found, skipped


def _begin_equal(session: Session) -> None:
    """Weights and masks of rank 0 on all ranks, now and whenever a switch draws new masks."""
    attachment, ranks = session.attachment, session.ranks

    def share_forms() -> None:
        received = ranks.tensors_of_first(session.form_tensors())
        if not ranks.is_first:
            _load_forms(attachment, received, only=None)

    own = session.model_tensors()
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


def step_plan(config: RunConfig, batches_per_epoch: int) -> StepPlan:
    """The plan of steps for a training set of so many micro-batches."""
    training, calibration = config.training, config.calibration
    per_epoch = math.ceil(batches_per_epoch / training.accumulate)
    total = per_epoch * training.epochs
    if training.max_steps is not None:
        total = min(total, training.max_steps)
    window = calibration.decide_every_steps or per_epoch
    samples: tuple[int, ...] = ()
    if calibration.variant != "off" and calibration.samples is not None:
        samples = sample_steps(window, calibration.samples)
    return StepPlan(
        batches_per_epoch=batches_per_epoch,
        accumulate=training.accumulate,
        total_steps=total,
        window=window,
        samples=samples,
        every_steps=calibration.every_steps,
        eval_every=training.eval_every_steps,
        checkpoint_every=config.output.checkpoint_every_steps,
    )


def _switch_step(config: RunConfig, plan: StepPlan, attachment: Attachment) -> int | None:
    """Step after which everything switches; 0 for the plain light method, None for never."""
    if config.calibration.variant != "off" or not attachment.has_light_phase:
        return None
    share = config.schedule.switch_at or 0.0
    return None if share >= 1.0 else round(share * plan.total_steps)


def _load_forms(attachment: Attachment, tensors: Mapping[str, Tensor], only: str | None) -> None:
    """Give each form its masks and the like (before a switch that needs them)."""
    by_form: dict[str, dict[str, Tensor]] = {}
    for full, value in tensors.items():
        name, key = full.split("::", 1)
        by_form.setdefault(name, {})[key] = value
    for name, state in by_form.items():
        if name == "":
            if attachment.load_extra_state is not None:
                attachment.load_extra_state(state)
        elif name in attachment.forms:
            attachment.forms[name].load_state(state)


def _load_checkpoint(session: Session, checkpoint: checkpoints.Checkpoint) -> None:
    model = session.model
    present = model.state_dict()
    stored = checkpoint.tensors["model"]
    unknown = sorted(set(stored) - set(present))
    if unknown:
        raise CalisrError(
            f"the checkpoint holds weights this model lacks: {', '.join(unknown[:3])}",
            "the software or the settings changed; start a new run",
        )
    with torch.no_grad():
        for name, value in stored.items():
            present[name].copy_(value)
    _load_forms(session.attachment, checkpoint.tensors.get("forms", {}), None)
    session.optimizer.load_tensors(checkpoint.tensors.get("optimizer", {}))
    state = checkpoint.state
    if session.sampler is not None:
        session.sampler.comparison.load_state_dict(checkpoint.tensors.get("comparison", {}))
    session.board = ScoreBoard.from_dict(state["board"])
    session.counters = state["counters"]
    session.start_step = int(state["step"])
    session.resumed = True
    session.trainable = session.phases.trainable()
    rank = session.ranks.rank
    own = checkpoint.tensors.get(rng_name(rank))
    restore_rng(own or checkpoint.tensors["rng"], state["rng"], session.device)
    if own is None:  # the run went on with more processes than it had
        seed_rank(session.device, session.config.training.seed, rank, session.start_step)


def rng_name(rank: int) -> str:
    """Under which name a checkpoint keeps the random state of a rank."""
    return f"rng-{rank}" if rank else "rng"


def environment(session: Session) -> dict[str, Any]:
    """Versions, device and data fingerprint, for environment.json."""
    import accelerate
    import datasets
    import peft
    import transformers

    import calisr_engine

    return {
        "calisr": calisr_engine.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "accelerate": accelerate.__version__,
        "datasets": datasets.__version__,
        "device": str(session.device),
        "device_name": torch.cuda.get_device_name(session.device)
        if session.device.type == "cuda"
        else platform.processor() or platform.machine(),
        "processes": session.ranks.size,
        "threads": torch.get_num_threads(),
        "precision": session.precision,
        "data_fingerprint": session.data.fingerprint,
        "model_fingerprint": session.loaded.fingerprint,
    }


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    part = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    part.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    part.rename(path)
