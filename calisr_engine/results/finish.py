"""What a run does after its last step: export the best model, write predictions, sum up."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from calisr_engine.events.types import Warned
from calisr_engine.results.best_model import logits_of, rebuild
from calisr_engine.results.plain_export import CardFacts, export_merged
from calisr_engine.results.with_method import save_with_method
from calisr_engine.storage.whole import write_text
from calisr_engine.training import best
from calisr_engine.training.build import PreparedRun
from calisr_engine.training.switch import RunPhase


def finish(run: PreparedRun, step: int) -> dict[str, Any]:
    """Export and predict as the settings say; returns the summary of the run."""
    config, score = run.context.config, run.evaluation.score
    tally, measured, phases = run.reporter.tally, run.calibrator.measured, run.calibrator.phases
    switched = {change.group: change.step for change in phases.changes}
    if config.calibration.variant != "off" and not switched:
        run.context.emit(
            step,
            Warned(
                message="no group switched, so this was full fine-tuning all the way",
                hint="a lower calibration.delta or more epochs give the score more chances"
                if config.calibration.decides
                else "nor did any in the run whose switch steps this control takes",
            ),
        )
    exported: str | None = None
    if config.output.export:
        exported = export_best(run)
    if config.output.predictions:
        write_predictions(run)
        if config.task.is_own and run.data.test:
            predict_own_test(run)

    def per_step(phase: RunPhase) -> float | None:
        steps = tally.steps[phase]
        return tally.seconds[phase] / steps if steps else None

    total = run.total_parameters
    train_seconds = sum(tally.seconds.values())
    compressed = run.attachment.compressed
    return {
        "metric": run.data.metric,
        "best": score.best,
        "best_step": score.best_step,
        "last": score.last,
        "switched": {group: switched.get(group) for group in phases.groups} if switched else None,
        "steps": step,
        "ended_early": score.ended_early,
        "trainable": phases.counted,
        "total": total,
        "compressed": compressed() if compressed else None,
        "trainable_share_lft": phases.counted / total if switched else None,
        "mean_trainable_share": tally.trainable_steps / max(1, step) / total,
        "seconds": train_seconds,
        "seconds_per_step_fft": per_step("fft"),
        "seconds_per_step_mixed": per_step("mixed"),
        "seconds_per_step_lft": per_step("lft"),
        "samples": measured.samples,
        "sample_seconds": measured.seconds,
        "calibration_share": measured.seconds / train_seconds if train_seconds else None,
        "fallbacks": measured.fallbacks,
        "compared": measured.compared,
        "exported": exported,
    }


def export_best(run: PreparedRun) -> str:
    """Write the best model to `model/`: a plain transformers folder, or the method's own format
    where the method changed the architecture."""
    config, score = run.context.config, run.evaluation.score
    plain = run.attachment.merged_state_dict() is not None
    switched = {change.group: change.step for change in run.calibrator.phases.changes}
    card = CardFacts.of(
        config,
        synthetic=run.data.synthetic,
        switched={group: switched.get(group) for group in run.calibrator.phases.groups},
        metric=run.data.metric,
        best=score.best,
        best_step=score.best_step,
        last=score.last,
        label_names=run.data.label_names,
        plain=plain,
    )
    weights = best.weights(run.context.paths.best, score.best_step)
    folder = run.context.paths.model
    tokenizer = run.loaded.tokenizer
    if plain:
        export_merged(weights, run.model, tokenizer, folder, card)
    else:
        save_with_method(run.model, tokenizer, folder, config.method, weights, card)
    return folder.name


def write_predictions(run: PreparedRun) -> None:
    """Predictions of the best model on each validation set, as they were when it was evaluated."""
    stored = best.logits(run.context.paths.best, run.evaluation.score.best_step)
    for name, logits in stored.items():
        _write_table(run, name, logits, "validation")


def predict_own_test(run: PreparedRun) -> None:
    """Predictions of the best model on `task.test_file`, to predictions/test.tsv.

    The run's model is that of the last step, and in its method's form; so the best one is built
    beside it.
    """
    data, context = run.data, run.context
    weights = best.weights(context.paths.best, run.evaluation.score.best_step)
    model, tokenizer = rebuild(context.config, data.label_names or (), data.kind, weights)
    for name, examples in data.test.items():
        logits = logits_of(model, tokenizer, examples, context.config, context.device)
        _write_table(run, name, logits, "test")


def _write_table(
    run: PreparedRun, name: str, logits: Tensor, split: Literal["validation", "test"]
) -> None:
    texts = run.context.config.output.prediction_texts
    table = run.data.prediction_table(name, logits.to(torch.float64), split, texts)
    path = run.context.paths.predictions / f"{name}.tsv"
    write_text(path, table, "the predictions", "then `calisr resume` the run")
