"""The package from Python: runs of rows in memory, what they answer, how they stop and go on."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import transformers

import calisr_engine as calisr
from calisr_engine.config.keywords import as_sets, keyword_options
from calisr_engine.config.load import load
from calisr_engine.errors import CalisrError, ConfigError
from calisr_engine.events.types import Completed, Event, Progress, RunCreated
from calisr_engine.tasks.frames import write_rows
from tests.training.tiny_run import save_model

TEXTS = [f"{word} {i}" for i in range(24) for word in ("a good one", "a bad one")]
LABELS = ["good", "bad"] * 24
CPU = {"training.device": "cpu", "training.threads": 1, "training.batch_size": 8}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_model(tmp_path_factory.mktemp("model")))


def test_rows_of_a_program_become_a_run_that_answers_exports_and_goes_on(
    model: str, tmp_path: Path
) -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["good", "bad"])}
    )
    rows = datasets.Dataset.from_dict({"text": TEXTS, "label": [0, 1] * 24}, features=features)
    frame = pd.DataFrame({"text": TEXTS[:12], "label": LABELS[:12]})
    seen: list[tuple[int, Event]] = []
    run = calisr.train(
        train=rows,
        validation=frame,
        model=model,
        output_dir=str(tmp_path / "runs"),
        settings=CPU | {"training": {"epochs": 1}, "output.progress_every_seconds": 0.0},
        callbacks=[lambda step, event: seen.append((step, event))],
    )
    view = run.view
    assert view.state == "completed"
    lines = [json.loads(line) for line in (run.path / "events.jsonl").open()]
    assert [(each["step"], each["type"]) for each in lines] == [(s, e.type) for s, e in seen]
    assert isinstance(seen[0][1], RunCreated)
    assert isinstance(seen[-1][1], Completed)
    assert run.best == (view.metric, view.best, view.best_step)
    assert run.config.task.train_file == run.path / "data" / "train_file.parquet"
    assert run.config.training.epochs == 1

    (table,) = (run.path / "predictions").glob("validation*.tsv")
    told = [line.split("\t")[2] for line in table.read_text().splitlines()[1:]]
    opened = calisr.Run.open(run.path.name, tmp_path / "runs")
    answers = opened.predict(TEXTS[:12])
    assert [each.prediction for each in answers] == told
    assert set(answers[0].probabilities or ()) == {"good", "bad"}  # the names, not the numbers
    folder = run.export(tmp_path / "exported")
    transformers.AutoModelForSequenceClassification.from_pretrained(folder)

    with pytest.raises(ConfigError, match="complete"):
        opened.resume()
    seen.clear()
    opened.resume({"training.epochs": 2}, [lambda step, event: seen.append((step, event))])
    assert {step for step, event in seen if isinstance(event, Progress)} == set(range(7, 13))
    assert opened.view.step == 12

    run.path.rename(tmp_path / "moved")  # with its rows
    moved = calisr.Run.open(tmp_path / "moved")
    again = load(moved.path / "config.toml")  # to begin another run with
    assert again.config.task.train_file == moved.path / "data" / "train_file.parquet"
    assert moved.resume({"training": {"epochs": 3}}).view.step == 18


def test_a_run_in_the_background_is_stopped_and_goes_on(model: str, tmp_path: Path) -> None:
    columns = {"text": TEXTS, "label": LABELS}
    run = calisr.start(
        train=columns,
        model=model,
        output_dir=tmp_path,
        settings=CPU | {"training.epochs": 900, "training.max_steps": 4000},
    )
    assert run.running
    assert run.stop().outcome == "done"
    assert not run.wait().running
    step = run.view.step
    assert run.view.state == "stopped"

    def end(at: int, event: Event) -> None:
        if isinstance(event, Progress) and at > step:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        run.resume(callbacks=[end])
    assert run.view.state == "stopped"  # and saved, so nothing is lost
    assert run.view.step > step
    assert not run.running


PROGRAM = """
import os, signal, sys, threading
import calisr_engine as calisr
from calisr_engine.events.types import Progress
model, interrupted, ended = sys.argv[1:]
began = threading.Event()
how = "interrupt"

def seen(step, event):
    if isinstance(event, Progress) and not began.is_set():
        began.set()
        if how == "interrupt":
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

given = dict(
    train={"text": [f"text {n}" for n in range(48)], "label": [0, 1] * 24}, model=model,
    settings={"training.device": "cpu", "training.threads": 1, "training.epochs": 900},
    callbacks=[seen],
)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test in the background has none
try:
    calisr.train(output_dir=interrupted, **given)
except KeyboardInterrupt:
    print("raised")
how = "end"
began.clear()
calisr.start(output_dir=ended, **given)
began.wait()
"""


def test_a_program_that_is_interrupted_or_ends_saves_its_run(model: str, tmp_path: Path) -> None:
    folders = [tmp_path / "interrupted", tmp_path / "ended"]
    words = [sys.executable, "-c", PROGRAM, str(model), *map(str, folders)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("raised") == 1
    assert "terminate" not in done.stderr
    for folder in folders:
        (log,) = folder.glob("*/events.jsonl")
        run = calisr.Run.open(log.parent)
        assert run.view.state == "stopped"
        assert list((run.path / "checkpoints").glob("step-*"))


def wrong(**given: Any) -> str:
    with pytest.raises(CalisrError) as told:
        calisr.start(**given)
    return str(told.value)


def test_mistakes_are_told_before_there_is_a_run(model: str, tmp_path: Path) -> None:
    at: dict[str, Any] = {"output_dir": tmp_path / "runs", "model": model}
    rows = {"text": TEXTS, "label": LABELS}
    assert "did you mean method?" in wrong(**at, methd="lora")
    assert "expected a whole number" in wrong(**at, settings={"training.epochs": "two"})
    assert "no column 'lable'" in wrong(**at, train=rows, label="lable")
    assert "does not exist" in wrong(**at | {"model": "./nothing"}, train=rows)
    assert "name it with label=..." in wrong(**at, train=rows | {"label": TEXTS})
    splits = datasets.DatasetDict({"train": datasets.Dataset.from_dict(rows)})
    assert 'data["train"]' in wrong(**at, train=splits)
    assert "give a path" in wrong(**at, train=7)
    assert "cannot be written as Parquet" in wrong(**at, train=[{"text": 1}, {"text": [2]}])
    assert "there is no preset" in wrong(base="demoo")
    assert "settings={...}" in wrong(base={"model": {"name": model}})
    for settings in (["training.epochs=2"], "training.epochs=2", {3: 4}):
        assert '{"training.epochs": 2}' in wrong(**at, train=rows, settings=settings)
    assert "callbacks are a builtin" in wrong(**at, train=rows, callbacks=print)
    assert "a callback is a int" in wrong(**at, train=rows, callbacks=[5])
    assert not (tmp_path / "runs").exists()


DAYS = pd.Series(pd.PeriodIndex(["2024-01", "2024-02"] * 24, freq="M"))


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"text": TEXTS, "label": [*LABELS[:-1], None]}, "train, row 48, column 'label': "),
        ({"text": TEXTS, "label": [*LABELS[:-1], 1]}, "'label' cannot be written as Parquet: it "),
        ({"text": TEXTS, "label": LABELS[:-1]}, "'text' has 48 rows and 'label' has 47 rows"),
        ({"text": TEXTS, "label": "g" * 48}, "'label' is a str, not a list of cells"),
        ({"text": dict(enumerate(TEXTS)), "label": LABELS}, "'text' is a dict, not a list"),
        (pd.DataFrame({"text": TEXTS, "label": [*LABELS[:-1], 1]}), "it has cells of int and str"),
        (pd.DataFrame({"text": TEXTS, "label": DAYS}), "'label' cannot be written as Parquet: its"),
        (pd.DataFrame({"text": TEXTS, "label": pd.arrays.SparseArray([0, 1] * 24)}), "'label'"),
        (pd.DataFrame([["a", "b"]], columns=["text", "text"]), "there are 2 columns named 'text'"),
        ([{"text": "a"}, {"text": "b", "label": 1}], "train, row 1, column 'label': "),
        ([], "an empty list"),
    ],
)
def test_rows_that_cannot_be_used_are_told_by_keyword_and_column(
    rows: Any, told: str, model: str, tmp_path: Path
) -> None:
    said = wrong(train=rows, model=model, output_dir=tmp_path / "runs", text="text", label="label")
    assert told in said
    assert "calisr-data" not in said
    assert not (tmp_path / "runs").exists()


def test_a_key_that_the_first_row_lacks_is_a_column(tmp_path: Path) -> None:
    write_rows([{"text": "a"}, {"text": "b", "label": 1}], tmp_path / "rows.parquet")
    assert pd.read_parquet(tmp_path / "rows.parquet").columns.tolist() == ["text", "label"]


def test_settings_may_be_numbers_of_numpy() -> None:
    given = {"seed": np.int64(3), "settings": {"training": {"epochs": np.int32(2)}}}
    options = keyword_options(given)
    assert options == {"training.epochs": 2, "training.seed": 3}
    assert {type(each) for each in options.values()} == {int}
    assert as_sets({"training": {"epochs": np.int64(5)}}) == ["training.epochs=5"]


def test_the_example_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    script = Path(__file__).parents[1] / "examples" / "train_from_python.py"
    made = runpy.run_path(str(script))
    assert made["run"].view.state == "completed"
    assert made["run"].best.value == 1.0
    assert [each.prediction for each in made["run"].predict(["a warm song"])] == ["good"]
    assert (tmp_path / "exported" / "model.safetensors").is_file()
    assert "goes over to the light method" in capsys.readouterr().out


def test_a_control_follows_a_run_of_the_same_rows(model: str, tmp_path: Path) -> None:
    rows = {"text": TEXTS, "label": LABELS}
    given: Any = {"model": model, "method": "lora", "calibration": "S", "delta": 0.0}
    given["output_dir"] = tmp_path
    settings = CPU | {"training.epochs": 3, "training.learning_rate": 1e-2, "output.export": False}
    scored = calisr.train(train=rows, settings=settings, **given)
    assert scored.view.switched
    settings |= {"calibration.control": "matched", "calibration.matched_to": str(scored.path)}
    del given["delta"]
    control = calisr.train(train=pd.DataFrame(rows), settings=settings, **given)
    assert control.view.switched == scored.view.switched
    assert control.best == scored.best
    with pytest.raises(ConfigError) as caught:
        calisr.train(train={"text": TEXTS, "label": LABELS[::-1]}, settings=settings, **given)
    assert "with other rows" in str(caught.value.problems)
