"""What a run does after its last step: export the best model, write predictions, sum up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from calisr_engine.events.types import Warned
from calisr_engine.results.best_model import logits_of, rebuild
from calisr_engine.results.plain_export import CardFacts, export_merged
from calisr_engine.results.with_method import save_with_method
from calisr_engine.training.session import Session

if TYPE_CHECKING:
    from calisr_engine.training.loop import TrainingLoop


def finish(session: Session, loop: TrainingLoop) -> dict[str, Any]:
    """Export and predict as the settings say; returns the summary of the run."""
    config, counters = session.config, loop.counters
    switched = {p.group: p.step for p in session.phases.changes}
    never = session.sampler is not None and not switched
    if never:
        session.emit(
            loop.step,
            Warned(
                message="no group switched, so this was full fine-tuning all the way",
                hint="a lower calibration.delta or more epochs give the score more chances",
            ),
        )
    exported: str | None = None
    if config.output.export:
        exported = export_best(session, counters.best_step, switched, counters.best, counters.last)
    if config.output.predictions:
        write_predictions(session, counters.best_step)
        if config.task.test_file is not None and session.data.test:
            predict_own_test(session, counters.best_step)

    def per_step(phase: str) -> float | None:
        steps = counters.steps[phase]
        return counters.seconds[phase] / steps if steps else None

    total = session.total_parameters
    train_seconds = sum(counters.seconds.values())
    return {
        "metric": session.metric,
        "best": counters.best,
        "best_step": counters.best_step,
        "last": counters.last,
        "switched": {group: switched.get(group) for group in session.phases.groups}
        if switched
        else None,
        "steps": loop.step,
        "trainable": session.trainable,
        "total": total,
        "compressed": session.attachment.compressed() if session.attachment.compressed else None,
        "trainable_share_lft": session.trainable / total if switched else None,
        "mean_trainable_share": counters.trainable_steps / max(1, loop.step) / total,
        "seconds": train_seconds,
        "seconds_per_step_fft": per_step("fft"),
        "seconds_per_step_mixed": per_step("mixed"),
        "seconds_per_step_lft": per_step("lft"),
        "samples": counters.samples,
        "sample_seconds": counters.sample_seconds,
        "calibration_share": counters.sample_seconds / train_seconds if train_seconds else None,
        "fallbacks": counters.fallbacks,
        "compared": counters.compared,
        "exported": exported,
    }


def export_best(
    session: Session,
    best_step: int,
    switched: dict[str, int],
    best: float | None,
    last: float | None,
) -> str | None:
    """Write the best model to `model/`: a plain transformers folder, or the method's own format
    where the method changed the architecture."""
    config = session.config
    plain = session.merged_tensors() is not None
    card = CardFacts(
        base_model=config.model.name,
        task=config.task.name,
        synthetic=session.data.synthetic,
        method=config.method.title,
        variant=config.calibration.variant,
        delta=config.calibration.delta,
        switched={group: switched.get(group) for group in session.phases.groups},
        metric=session.metric,
        best=best,
        best_step=best_step,
        last=last,
        seed=config.training.seed,
        label_names=session.data.label_names,
        plain=plain,
    )
    weights = session.best_tensors(best_step)
    folder = session.paths.model
    if plain:
        export_merged(weights, session.model, session.loaded.tokenizer, folder, card)
    else:
        save_with_method(
            session.model, session.loaded.tokenizer, folder, config.method, weights, card
        )
    return folder.name


def write_predictions(session: Session, best_step: int) -> None:
    """Predictions of the best model on each validation set, as they were when it was evaluated."""
    stored = load_file(session.paths.best / f"step-{best_step}" / "logits.safetensors")
    session.paths.predictions.mkdir(exist_ok=True)
    for name, logits in stored.items():
        _write_table(session, name, session.data.prediction_table(name, logits.to(torch.float64)))


def predict_own_test(session: Session, best_step: int) -> None:
    """Predictions of the best model on `task.test_file`, to predictions/test.tsv.

    The session's model is that of the last step, and in its method's form; so the best one is built
    beside it.
    """
    data = session.data
    model, tokenizer = rebuild(
        session.config, data.label_names or (), data.kind, session.best_tensors(best_step)
    )
    for name, examples in data.test.items():
        logits = logits_of(model, tokenizer, examples, session.config, session.device)
        table = data.prediction_table(name, logits.to(torch.float64), split="test")
        _write_table(session, name, table)


def _write_table(session: Session, name: str, table: str) -> None:
    path = session.paths.predictions / f"{name}.tsv"
    part = path.with_suffix(".tmp")
    part.write_text(table, encoding="utf-8")
    part.rename(path)
