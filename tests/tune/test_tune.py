"""The search, with runs that only write the log which a run with their settings would write."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.config.load import from_resolved, load
from calisr_engine.errors import (
    CalisrError,
    ConfigError,
    DamagedError,
    NotFoundError,
    UnavailableError,
)
from calisr_engine.events import types as ev
from calisr_engine.events.log import EventWriter
from calisr_engine.grid.executors import Ending
from calisr_engine.runs.control import take_requests
from calisr_engine.runs.layout import RunPaths
from calisr_engine.tune.reading import StudyReader
from calisr_engine.tune.search import cancel_study, search
from calisr_engine.tune.space import read_space
from calisr_engine.tune.study import (
    BEST,
    Plan,
    Study,
    best_of,
    read_command,
    read_trials,
    seed_runs,
    study_folders,
)
from calisr_tui.cli.app import run_command_line

pytest.importorskip("optuna")

BEST_RATE = 1e-3
EPOCHS = 4
RATES = "training.learning_rate=1e-5..1e-1"


class PretendExecutor:
    """Runs of four epochs whose metric depends on the learning rate and the seed alone."""

    def __init__(self, jobs: int = 1, lost: Sequence[str] = (), failed: Sequence[str] = ()) -> None:
        self.jobs = jobs
        self.lost = list(lost)
        self.failed = set(failed)
        self.begun: list[str] = []
        self.running: dict[Path, int] = {}
        self.asked = False

    def free(self) -> int:
        return self.jobs - len(self.running)

    def submit(self, run_dir: Path) -> None:
        self.begun.append(run_dir.name)
        config = from_resolved(RunPaths(run_dir).config)
        self.running[run_dir] = 0
        log(
            run_dir,
            ev.RunStarted(
                groups=(), phases={}, total_steps=10 * EPOCHS, steps_per_epoch=10, epochs=EPOCHS,
                trainable=1, total=1, trainable_lft=None, train_examples=1, validation_examples=1,
                metric="accuracy", device="cpu", precision="fp32",
            ),
        )  # fmt: skip
        assert config.output.dir is not None

    def finished(self) -> list[tuple[Path, Ending]]:
        ended = []
        for run_dir in list(self.running):
            how = self._step(run_dir)
            if how is not None:
                del self.running[run_dir]
                ended.append((run_dir, how))
        return ended

    def _step(self, run_dir: Path) -> Ending | None:
        if run_dir.name in self.lost:
            self.lost.remove(run_dir.name)
            return Ending.LOST
        if run_dir.name in self.failed:
            log(run_dir, ev.Failed(message="it diverged"))
            return Ending.FAILED
        if any(each.kind == "end_early" for each in take_requests(run_dir)[0]):
            log(run_dir, ev.Stopped(reason=ev.ENDED_EARLY, saved=True), 10 * self.running[run_dir])
            return Ending.STOPPED
        if self.asked:
            log(run_dir, ev.Stopped(reason="stopped on request", saved=True))
            return Ending.STOPPED
        if self.running[run_dir] == EPOCHS:
            log(run_dir, ev.Completed(), 10 * EPOCHS)
            return Ending.COMPLETED
        self.running[run_dir] += 1
        epoch = self.running[run_dir]
        value = score(run_dir) * epoch / EPOCHS
        log(
            run_dir,
            ev.Evaluated(
                epoch=epoch, metrics={"accuracy": value}, metric="accuracy", value=value,
                best=value, best_step=10 * epoch, is_best=True,
            ),
            10 * epoch,
        )  # fmt: skip
        return None

    def stop(self) -> None:
        self.asked = True

    def close(self) -> None:
        pass


def score(run_dir: Path) -> float:
    training = from_resolved(RunPaths(run_dir).config).training
    far = abs(math.log10(training.learning_rate / BEST_RATE))
    return 1 - far / 4 - 0.001 * (training.seed % 7)


def log(run_dir: Path, event: ev.Event, step: int = 0) -> None:
    with EventWriter(RunPaths(run_dir).events, attempt=1) as writer:
        writer.write(step, event)


def study_of(folder: Path, *texts: str, **plan: Any) -> Study:
    options: dict[str, Any] = {"pruner": "none", "seeds": 0, "trials": 6} | plan
    return Study(
        folder / "tune",
        Plan(read_space(texts or (RATES,)), **options),
        lambda sets: load("demo", sets, {"output.dir": folder}),
    )


def values(study: Study) -> list[float]:
    trials = read_trials(study.folder, study.plan.space)
    return [float(each.values["training.learning_rate"]) for each in trials]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calisr_engine.tune.search.POLL_SECONDS", 0)


def test_it_finds_what_is_best_and_says_how_good_it_is_with_other_seeds(tmp_path: Path) -> None:
    study = study_of(tmp_path, trials=15, seeds=3)
    assert search(study, PretendExecutor()) == 0
    best = best_of(read_trials(study.folder, study.plan.space))
    assert best is not None
    assert best.score is not None
    assert best.score == max(score(study.trial_dir(n)) for n in range(1, 16))
    assert abs(math.log10(float(best.values["training.learning_rate"]) / BEST_RATE)) < 0.3
    found = load(study.folder / BEST).config
    assert found.training.learning_rate == best.values["training.learning_rate"]
    views = seed_runs(study.folder, best)
    assert [view.seed for view in views] == [found.training.seed + n for n in (1, 2, 3)]
    assert all(view.state == "completed" for view in views)


def test_the_same_study_has_the_same_trials_and_another_seed_others(tmp_path: Path) -> None:
    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        study = study_of(tmp_path / name, seed=seed)
        search(study, PretendExecutor())
        found.append(values(study))
    assert found[0] == found[1] != found[2]


def test_a_stopped_study_goes_on_with_what_is_there(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    looks = itertools.count()
    executor = PretendExecutor()
    assert search(study, executor, asked_to_stop=lambda: next(looks) > 12) == 75
    before = values(study)
    assert 1 <= len(before) < 6
    again = PretendExecutor()
    assert search(study_of(tmp_path), again) == 0
    assert values(study)[: len(before)] == before
    assert len(values(study)) == 6
    assert again.begun[0] == executor.begun[-1], "the one in the middle goes on first"
    assert not set(again.begun[1:]) & set(executor.begun), "what is complete is left alone"
    assert search(study_of(tmp_path, trials=8), PretendExecutor()) == 0
    assert len(values(study)) == 8, "and more trials may be asked for"


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_trials_that_lag_behind_end_early_and_stay_so(
    tmp_path: Path, jobs: int, pruner: str
) -> None:
    study = study_of(tmp_path, trials=12, pruner=pruner, sampler="random")
    assert search(study, PretendExecutor(jobs)) == 0
    trials = read_trials(study.folder, study.plan.space)
    early = [each for each in trials if each.ended_early]
    assert early
    assert all(each.view.step < each.view.total_steps for each in early)
    best = best_of(trials)
    assert best is not None
    assert best.state == "completed"
    again = PretendExecutor()
    search(study_of(tmp_path, trials=12, pruner=pruner, sampler="random"), again)
    assert not again.begun


def test_failed_and_lost_trials_do_not_end_the_study(tmp_path: Path) -> None:
    study = study_of(tmp_path, trials=5)
    executor = PretendExecutor(
        failed=["trial-002"], lost=["trial-003", "trial-004"] + ["trial-005"] * 9
    )
    assert search(study, executor) == 0
    states = {each.number: each.view.state for each in read_trials(study.folder, study.plan.space)}
    assert states[2] == "failed"
    assert states[3] == states[4] == "completed"
    assert executor.begun.count("trial-005") == 3
    assert search(study_of(tmp_path / "b", trials=1), PretendExecutor(failed=["trial-001"])) == 1


def test_lists_and_whole_numbers(tmp_path: Path) -> None:
    texts = (
        "method.rank=2..16:log",
        "calibration.variant=off,S",
        "training.schedule=linear,constant",
    )
    study = study_of(tmp_path, *texts, trials=8)
    assert search(study, PretendExecutor()) == 0
    trials = read_trials(study.folder, study.plan.space)
    assert len(trials) == 8
    assert all(2 <= int(each.values["method.rank"]) <= 16 for each in trials)
    assert {each.values["calibration.variant"] for each in trials} == {"off", "S"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training.learning_rat=1..2", "did you mean"),
        ("training.learning_rate", "expected a setting and its values"),
        ("training.learning_rate=1e-3", "one value is nothing to search"),
        ("training.learning_rate=1e-3..1e-5", "smaller"),
        ("training.learning_rate=a..b", "not two numbers"),
        ("training.learning_rate=0..1:log", "above 0"),
        ("training.learning_rate=1e-4..1:cubic", "cubic"),
        ("training.learning_rate=0..inf", "smaller"),
        ("training.epochs=1.5..3", "whole numbers"),
        ("method.name=1..2", "no range"),
        ("training.seed=1..5", "--seeds"),
        ("output.name=a,b", "does not change what a run learns"),
        ("method.components=query,key", "is a list"),
        ("task.name=rte,mrpc", "would not compare"),
    ],
)
def test_what_cannot_be_searched_is_said(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_space([text])
    assert said in str(caught.value)


def test_a_value_that_no_run_would_take_is_refused_before_any_trial(tmp_path: Path) -> None:
    for text in (
        "training.learning_rate=1e-3..-1e-9",
        "calibration.delta=0.5..7",
        "method.rank=4,x",
    ):
        with pytest.raises(CalisrError):
            study_of(tmp_path, text)
    assert not (tmp_path / "tune").exists()


def test_a_folder_keeps_its_study(tmp_path: Path) -> None:
    study = study_of(tmp_path, trials=1)
    search(study, PretendExecutor())
    with pytest.raises(ConfigError, match="holds a study of"):
        study_of(tmp_path, "calibration.delta=0.4..0.6")
    with pytest.raises(ConfigError, match="other settings"):
        Study(study.folder, study.plan, lambda sets: load("demo", ["training.epochs=9", *sets]))
    record = study.folder / "tune.json"
    for content in ("{}", "[]", '{"version": 1, "plan": {"space": ["x"]}, "settings": {}}', "\0"):
        record.write_text(content)
        with pytest.raises(DamagedError, match=r"tune\.json"):
            study_of(tmp_path)


def test_the_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    make: Callable[[Any, Path], PretendExecutor] = lambda place, folder: PretendExecutor()  # noqa: E731
    monkeypatch.setattr("calisr_tui.cli.grid_places.Place.executor", make)
    line = ["tune", "demo", "--search", RATES, "--trials", "6", "--seeds", "2"]
    assert run_command_line([*line, "--pruner", "none"]) == 0
    printed = capsys.readouterr()
    assert "trial-006" in printed.out
    assert "With 2 other seeds" in printed.out
    assert "training.learning_rate: 1e-05 to 0.1 (log scale)" in printed.err
    assert run_command_line(["tune", "--show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["trials"]) == 6
    assert len(shown["seeds"]) == 2
    # The study knows what goes on with it.
    again = read_command(Path("runs/tune"))
    assert again is not None
    assert again.folder == tmp_path
    assert run_command_line([*again.words, "--trials", "7"]) == 0
    assert "trial-007" in capsys.readouterr().out
    assert sorted(again.words) == sorted([*line, "--pruner", "none"])
    assert run_command_line(["tune", "--stop"]) == 4
    assert "nothing of the study tune is in training" in capsys.readouterr().err
    for wrong, code, said in (
        (["tune", "--show", "--name", "none"], 4, "no study"),
        (["tune", "demo", "--name", "../x", "--search", RATES], 2, "--name"),
        (["tune", "demo"], 2, "nothing to search"),
        (["tune", "demo", "--search", RATES, "--pruner", "magic"], 2, "magic"),
        (["tune", "demo", "--search", "method.name=lora,mpop", "--method", "lora"], 2, "searched"),
    ):
        assert run_command_line(wrong) == code, wrong
        assert said in capsys.readouterr().err


def test_a_search_whose_trials_cannot_begin_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    here = ["--set", "task.train_file=none.csv", "--set", "task.validation_file=none.csv"]
    for wrong, said in (
        (["--model", "./nowhere"], "nowhere"),
        (["--task", "custom", *here], "none.csv"),
        (["--set", "training.device=cuda:7"], "cuda"),
        (["--search", "model.name=demo-bert,./nowhere"], "trials with model.name=./nowhere"),
    ):
        assert run_command_line(["tune", "demo", "--search", RATES, *wrong]) != 0, wrong
        assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_request_to_stop_is_obeyed_and_a_killed_study_says_so(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    with pytest.raises(NotFoundError, match="nothing of the study"):
        cancel_study(study.folder)
    looks = itertools.count()

    def ask() -> None:
        if next(looks) == 12:
            cancel_study(study.folder)

    assert search(study, PretendExecutor(), on_poll=ask) == 75
    reader = StudyReader(study.folder)
    now = reader.read()
    assert now.counts["stopped"] == 1
    assert not now.complete
    assert now.worker == ""
    assert search(study_of(tmp_path), PretendExecutor()) == 0, "the request is not kept"
    now = reader.read()
    assert now.complete
    assert now.counts["completed"] == 6
    assert now.best is not None
    assert [run.best for run in now.trials][-1] == now.best.score
    assert study_folders(tmp_path) == [study.folder]


def test_without_optuna_it_says_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(UnavailableError, match="Optuna"):
        search(study_of(tmp_path), PretendExecutor())
    assert not (tmp_path / "tune").exists()
