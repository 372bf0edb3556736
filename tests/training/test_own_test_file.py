"""Own unlabelled data is predicted at the end of a run, by the best model."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from calisr_engine.methods.catalog import METHODS
from calisr_engine.process.execute import execute
from calisr_engine.runs import load_view
from calisr_engine.tasks import demo
from tests.slow import quick_where
from tests.training.tiny_run import make_run, save_model

QUICK = ("fft", "lora", "mpop", "diff_pruning", "prefix")
"""What the best model consists of differs: weights, merged ones, pruned ones, more than weights."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.csv, dev.csv, and test.csv with the texts of dev.csv alone."""
    folder = tmp_path_factory.mktemp("data")
    source = demo.read()
    for name, rows in (("train", source.train), ("dev", source.validation["validation"])):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "word", "number"])
            for text, label in list(zip(rows.text, rows.label or (), strict=True))[:96]:
                writer.writerow([text, "good" if label else "bad", float(label) + len(text) / 9])
    texts = [line[0] for line in csv.reader((folder / "dev.csv").open())]
    with (folder / "test.csv").open("w", newline="") as file:
        csv.writer(file).writerows([text] for text in texts)
    return folder


def read(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def own(data: Path, kind: str = "classification") -> list[str]:
    return [
        "task.name=mine",
        f"task.train_file={data / 'train.csv'}",
        f"task.validation_file={data / 'dev.csv'}",
        f"task.test_file={data / 'test.csv'}",
        "task.text_column=text",
        f"task.label_column={'word' if kind == 'classification' else 'number'}",
        f"task.kind={kind}",
        "task.max_train_examples=none",
        "task.max_validation_examples=none",
        "training.eval_every_steps=1",
        "training.max_steps=7",
    ]


@pytest.mark.parametrize("method", quick_where(METHODS, lambda name: name in QUICK))
def test_the_test_file_is_predicted_as_the_best_model_predicts(
    model: Path, data: Path, tmp_path: Path, method: str
) -> None:
    """The test texts are those of the validation file, so the predictions must be the same."""
    sets = [f"method.name={method}", "output.export=false", *own(data)]
    if method in ("lora", "mpop"):
        sets.append("schedule.switch_at=0.2")
    run = make_run(model, tmp_path, method, *sets)
    assert execute(run, raise_errors=True) == 0
    evaluated, predicted = (read(run / "predictions" / f"{n}.tsv") for n in ("validation", "test"))
    assert list(predicted[0]) == ["index", "prediction", "logit bad", "logit good"]
    assert [row["index"] for row in predicted] == [str(number) for number in range(96)]
    for one, two in zip(evaluated, predicted, strict=True):
        assert one["prediction"] == two["prediction"]
        for column in ("logit bad", "logit good"):
            assert float(one[column]) == pytest.approx(float(two[column]), rel=1e-4, abs=1e-5)
    if method == "lora":
        view = load_view(run)
        assert view.switches
        assert view.best_step != view.step  # not merely the last model


def test_numbers_are_predicted_too(model: Path, data: Path, tmp_path: Path) -> None:
    run = make_run(model, tmp_path, "numbers", "method.name=fft", *own(data, "regression"))
    assert execute(run, raise_errors=True) == 0
    evaluated, predicted = (read(run / "predictions" / f"{n}.tsv") for n in ("validation", "test"))
    assert list(predicted[0]) == ["index", "prediction"]
    values = [[float(row["prediction"]) for row in rows] for rows in (evaluated, predicted)]
    assert values[0] == pytest.approx(values[1], rel=1e-4, abs=1e-5)


def test_no_predictions_where_none_are_wanted(model: Path, data: Path, tmp_path: Path) -> None:
    run = make_run(model, tmp_path, "none", *own(data), "output.predictions=false")
    assert execute(run, raise_errors=True) == 0
    assert not (run / "predictions").exists()
