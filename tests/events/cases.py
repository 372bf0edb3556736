"""One event of every type, with every field away from its default."""

from __future__ import annotations

from typing import Any

from calisr_engine.events import types as ev

SAMPLE = ev.GroupSample(
    sr_lft=10.5, sr_fft=10.25, difference=0.25, hit=0.0, hits=1.0, samples=2, fallbacks=3
)
DECISION = ev.GroupDecision(
    srs=0.6, delta=0.5, hits=3.0, samples=5, switch=False, why="3 of 5", held_back=True
)
CASES: dict[str, ev.Event] = {
    each.type: each
    for each in (
        ev.RunCreated(
            run_id="a-run",
            config={"training": {"seed": 3}, "calibration": {"variant": "S"}},
            synthetic_data=True,
        ),
        ev.RunStarted(
            groups=("query", "value"),
            phases={"query": "fft", "value": "lft"},
            total_steps=12,
            steps_per_epoch=6,
            epochs=2,
            trainable=900,
            total=1000,
            trainable_lft=100,
            train_examples=96,
            validation_examples=40,
            metric="f1",
            device="cpu",
            precision="fp32",
            decision_steps=(6, 12),
            model_summary="a model",
            resumed_from=4,
        ),
        ev.Progress(
            epoch=0.5,
            loss=0.7,
            learning_rate=1e-3,
            gradient_norm=0.9,
            examples_per_second=320.0,
            seconds_per_step=0.1,
        ),
        ev.StableRankSampled(epoch=0.5, groups={"query": SAMPLE}, seconds=0.01),
        ev.StepPartsMeasured(groups={"query": ev.StepPart(light_change=-0.5, extra_change=0.25)}),
        ev.CoinFlipped(epoch=0.5, groups={"query": ev.CoinFlip(hit=1.0, hits=2.0, samples=3)}),
        ev.SrsEvaluated(epoch=1.0, groups={"query": DECISION}),
        ev.GroupSwitched(
            epoch=1.0,
            group="query",
            cause="hand",
            why="asked for",
            trainable_before=900,
            trainable=500,
            total=1000,
            freed_bytes=64,
        ),
        ev.Evaluated(
            epoch=1.0,
            metrics={"f1": 0.75, "accuracy": 0.5},
            metric="f1",
            value=0.75,
            best=0.75,
            best_step=6,
            is_best=True,
            loss=0.6,
            seconds=0.2,
            planned=False,
        ),
        ev.GeneralisationMeasured(
            epoch=1.0,
            train_examples=96,
            train_loss=0.5,
            validation_loss=0.75,
            stable_rank=12.5,
            log_norms=3.5,
            seconds=0.2,
        ),
        ev.CheckpointSaved(path="checkpoints/step-6", bytes=100, seconds=0.1),
        ev.Resources(
            cpu_percent=50.0,
            memory_bytes=1000,
            gpu_percent=10.0,
            gpu_memory_bytes=2000,
            gpu_memory_total_bytes=4000,
        ),
        ev.Paused(),
        ev.Resumed(),
        ev.SettingsChanged(changes={"training.epochs": {"from": 2, "to": 3}}),
        ev.Noted(message="MPO of 8 x 8: [2, 4] x [2, 4]"),
        ev.Warned(message="look", hint="there"),
        ev.Stopped(reason="asked", saved=True),
        ev.Failed(message="no", hint="yes", traceback="lines"),
        ev.Completed(summary={"best": 0.75, "switched": None}),
    )
}


def record(event: ev.Event, step: int = 6, attempt: int = 1, seq: int = 0) -> dict[str, Any]:
    """The record that the writer makes of an event, through JSON."""
    import dataclasses
    import json

    fields = json.loads(json.dumps(dataclasses.asdict(event)))
    envelope = {"v": 2, "seq": seq, "attempt": attempt, "time": 1000.5 + seq, "step": step}
    return {**envelope, "type": event.type, **fields}
