"""A run with a group a layer and component in the middle of its third window."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from calisr_engine.events import types as ev
from calisr_engine.events.fold import fold_all
from calisr_engine.events.view import RunView
from calisr_engine.models.component_names import SIX
from tests.events.cases import record

WINDOW, SAMPLES, TAKEN = 50, 5, 3
"""Steps and samples of a window; samples of the third one so far."""


def names(layers: int = 12) -> tuple[str, ...]:
    return tuple(f"layer{layer}.{component}" for layer in range(layers) for component in SIX)


def lower(number: int, sample: int) -> bool:
    """Whether a group's sample is a hit: the deeper its layer the likelier, in no plain pattern."""
    return (number * 7 + sample * 5 + number // 6 * sample) % 13 < 2 + number * 9 // 72


def records(groups: tuple[str, ...], taken: int = TAKEN, **calibration: Any) -> list[Any]:
    """Its log. Windows end in decisions by what `lower` says."""
    settings = {"variant": "LC", "delta": 0.5, "samples_per_epoch": SAMPLES} | calibration
    config = {
        "calibration": settings,
        "method": {"name": "lora"},
        "model": {"name": "bert-base-uncased"},
        "task": {"name": "rte"},
        "training": {"seed": 1},
    }
    started = ev.RunStarted(
        groups=groups,
        phases=dict.fromkeys(groups, "fft"),
        total_steps=10 * WINDOW,
        steps_per_epoch=WINDOW,
        epochs=10,
        trainable=len(groups) * 1000,
        total=len(groups) * 1000,
        trainable_lft=len(groups) * 10,
        train_examples=1600,
        validation_examples=100,
        metric="accuracy",
        device="cpu",
        precision="fp32",
        decision_steps=tuple(range(WINDOW, 10 * WINDOW + 1, WINDOW)),
    )
    said = [
        record(ev.RunCreated(run_id="many", config=config), 0),
        record(started, 0),
    ]
    waiting = dict(enumerate(groups))
    trained = len(groups)
    for window in range(3):
        hits = dict.fromkeys(waiting, 0)
        for sample in range(1, (taken if window == 2 else SAMPLES) + 1):
            step = window * WINDOW + sample * WINDOW // SAMPLES
            seen = {n: lower(n, window * SAMPLES + sample) for n in waiting}
            hits = {n: hits[n] + seen[n] for n in waiting}
            sampled = {
                name: ev.GroupSample(
                    sr_lft=20.0 + n - 3e-6 * (1 if seen[n] else -1),
                    sr_fft=20.0 + n,
                    difference=-3e-6 if seen[n] else 3e-6,
                    hit=float(seen[n]),
                    hits=float(hits[n]),
                    samples=sample,
                )
                for n, name in waiting.items()
            }
            said.append(record(ev.StableRankSampled(epoch=step / WINDOW, groups=sampled), step))
        if window == 2:
            break
        step = (window + 1) * WINDOW
        gone = {n for n in waiting if 2 * hits[n] > SAMPLES}
        decided = {
            name: ev.GroupDecision(
                srs=hits[n] / SAMPLES,
                delta=0.5,
                hits=float(hits[n]),
                samples=SAMPLES,
                switch=n in gone,
                why=f"{name}: {hits[n]} of {SAMPLES} samples",
            )
            for n, name in waiting.items()
        }
        said.append(record(ev.SrsEvaluated(epoch=window + 1.0, groups=decided), step))
        for n in sorted(gone):
            change = ev.GroupSwitched(
                epoch=window + 1.0,
                group=waiting[n],
                cause="calibration",
                why=f"{waiting[n]} switched: {hits[n]} of {SAMPLES} samples",
                trainable_before=trained * 1000,
                trainable=(trained - 1) * 1000,
                total=len(groups) * 1000,
            )
            trained -= 1
            said.append(record(change, step))
        waiting = {n: name for n, name in waiting.items() if n not in gone}
    return said


def a_view(groups: tuple[str, ...], **calibration: Any) -> RunView:
    return fold_all(RunView(), records(groups, **calibration))


def write_run(folder: Path, groups: tuple[str, ...], **calibration: Any) -> Path:
    """Its run directory, as far as a screen reads it."""
    folder.mkdir(parents=True)
    lines = [json.dumps(each) for each in records(groups, **calibration)]
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "config.toml").write_text('[calibration]\nvariant = "LC"\n')
    return folder
