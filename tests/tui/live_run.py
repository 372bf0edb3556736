"""A calibrated run in the middle of a window, for what the live screen says and draws."""

from __future__ import annotations

from typing import Any

from calisr_engine.events import types as ev
from calisr_engine.events.fold import fold_all
from calisr_engine.events.view import RunView
from tests.events.cases import record

GROUPS = ("query", "attention_output", "output")


def sample(step: int, hits: dict[str, float], taken: int, hit: dict[str, float]) -> Any:
    groups = {
        name: ev.GroupSample(
            sr_lft=40.0 - 3e-6 * (1 if hit[name] > 0.5 else -1),
            sr_fft=40.0,
            difference=-3e-6 if hit[name] > 0.5 else 3e-6,
            hit=hit[name],
            hits=hits[name],
            samples=taken,
        )
        for name in hits
    }
    return record(ev.StableRankSampled(epoch=step / 50, groups=groups), step)


def a_run(
    *,
    steps: int = 200,
    taken: int = 3,
    switched: bool = False,
    shares: tuple[float, float] = (1.0, 0.0),
    **calibration: Any,
) -> RunView:
    """A run of windows of 50 steps with 5 samples each, in its first window; query and output had a
    hit in every sample but the newest, attention_output in none. `shares`: what a hit counts where
    matrices vote, and what none does."""
    settings = {"variant": "S", "delta": 0.5, "samples_per_epoch": 5} | calibration
    said = [
        record(ev.RunCreated(run_id="r", config={"calibration": settings}), 0),
        record(
            ev.RunStarted(
                groups=GROUPS,
                phases=dict.fromkeys(GROUPS, "fft"),
                total_steps=steps,
                steps_per_epoch=50,
                epochs=4,
                trainable=1000,
                total=1000,
                trainable_lft=10,
                train_examples=100,
                validation_examples=10,
                metric="f1",
                device="cpu",
                precision="fp32",
                decision_steps=tuple(range(50, steps + 1, 50)),
            ),
            0,
        ),
    ]
    hits = dict.fromkeys(GROUPS, 0.0)
    for number in range(1, taken + 1):
        lower = {name: name != "attention_output" and number < taken for name in GROUPS}
        hit = {name: shares[0 if lower[name] else 1] for name in GROUPS}
        hits = {name: hits[name] + hit[name] for name in GROUPS}
        said.append(sample(10 * number, hits, number, hit))
    if switched:
        goes = {
            name: ev.GroupDecision(
                srs=hits[name] / taken,
                delta=0.5,
                hits=hits[name],
                samples=taken,
                switch=name == "query",
                why=f"{name}: decided",
            )
            for name in GROUPS
        }
        said.append(record(ev.SrsEvaluated(epoch=1.0, groups=goes), 50))
        change = ev.GroupSwitched(
            epoch=1.0,
            group="query",
            cause="calibration",
            why="query: decided",
            trainable_before=1000,
            trainable=900,
            total=1000,
        )
        said.append(record(change, 50))
    return fold_all(RunView(), said)
