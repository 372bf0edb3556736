"""A study's folder with trials of every kind, made from small logs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from calisr_engine.config.load import load
from calisr_engine.events import types as ev
from calisr_engine.events.log import EventWriter
from calisr_engine.runs.create import create_run
from calisr_engine.runs.layout import RunPaths
from calisr_engine.tune.space import read_space
from calisr_engine.tune.study import BEST, Command, Plan, Study, seed_name

SEARCHED = ("training.learning_rate=1e-5..1e-2", "method.rank=4,8")
TRIALS = (
    (1e-4, "4", "completed", 0.71),
    (3.1e-3, "8", "completed", 0.84),
    (9.9e-3, "4", "failed", None),
    (1.2e-5, "8", "ended early", 0.52),
    (2.2e-3, "8", "completed", 0.82),
    (2.9e-3, "4", "stopped", 0.6),
)
"""Rate, rank, what became of it, and its score."""

WORDS = ("tune", "demo", "--search", SEARCHED[0], "--search", SEARCHED[1], "--trials", "8")


def make_study(
    root: Path,
    trials: Sequence[tuple[float, str, str, float | None]] = TRIALS,
    seeds: Sequence[float] = (0.81, 0.79),
    name: str = "rates",
) -> Study:
    """A study in `root`; nobody works on it."""
    plan = Plan(read_space(SEARCHED), trials=8, seeds=3)
    study = Study(root / name, plan, lambda sets: load("demo", sets, {"output.dir": root}))
    study.begin(Command((*WORDS, "--name", name, "--output-dir", str(root)), Path.cwd()))
    for number, (rate, rank, state, score) in enumerate(trials, 1):
        values: dict[str, float | str] = {"training.learning_rate": rate, "method.rank": rank}
        trial = study.trial_dir(number).name
        write(create_run(study.settings(values), study.folder, trial, processes=None), state, score)
    best = {"training.learning_rate": 3.1e-3, "method.rank": "8"}
    for seed, score in enumerate(seeds, 43):
        settings = study.with_seed(dict(best), seed)
        run = create_run(settings, study.folder, seed_name(seed, "trial-002"), processes=None)
        write(run, "completed", score)
    (study.folder / BEST).write_text(study.settings(dict(best)).minimal_toml("Best of 6 trials"))
    return study


def write(run_dir: Path, state: str, score: float | None) -> None:
    """The log of a run of four epochs that came to a state."""
    with EventWriter(RunPaths(run_dir).events, attempt=1) as writer:
        writer.write(
            0,
            ev.RunStarted(
                groups=(), phases={}, total_steps=40, steps_per_epoch=10, epochs=4, trainable=1,
                total=1, trainable_lft=None, train_examples=1, validation_examples=1,
                metric="accuracy", device="cpu", precision="fp32",
            ),
        )  # fmt: skip
        step = 40 if state == "completed" else 20
        if score is not None:
            writer.write(
                step,
                ev.Evaluated(
                    epoch=step / 10, metrics={"accuracy": score}, metric="accuracy", value=score,
                    best=score, best_step=step, is_best=True,
                ),
            )  # fmt: skip
        if state == "failed":
            writer.write(5, ev.Failed(message="the loss is not a number"))
        elif state == "ended early":
            writer.write(20, ev.Stopped(reason=ev.ENDED_EARLY, saved=True))
        elif state == "stopped":
            writer.write(20, ev.Stopped(reason="stopped on request", saved=True))
        elif state == "completed":
            writer.write(40, ev.Completed())
