"""Runs that choose between alternatives: transformers' loss, every method, resume, predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file
from scipy.special import softmax
from torch import Tensor

from calisr_engine.analysis.mistakes import Answers, mistakes, report
from calisr_engine.config.load import load
from calisr_engine.errors import EXIT_STOPPED, ConfigError, DataError
from calisr_engine.methods.catalog import METHODS
from calisr_engine.models.components import as_input, take_apart
from calisr_engine.models.first_token import _FORMS, compute_first_token_only
from calisr_engine.models.load import load_model
from calisr_engine.models.settings import ModelSettings
from calisr_engine.process.execute import execute
from calisr_engine.results import onnx_export
from calisr_engine.results.answers import evaluated
from calisr_engine.results.export_run import export_run
from calisr_engine.results.prediction_files import read_texts
from calisr_engine.results.predictor import Predictor
from calisr_engine.results.run_task import task_of
from calisr_engine.tasks.batches import collate, tokenize
from calisr_engine.tasks.data import load_task
from calisr_engine.tasks.examples import Examples
from calisr_engine.training.step import forward_loss
from tests.models.folders import config_of, save
from tests.slow import quick_where
from tests.training.interrupt import kill_at, stop_at
from tests.training.more_kinds import choice_rows, write_choices
from tests.training.tiny_run import events, make_run, tokenizer

LORA = ("method.name=lora", "calibration.variant=S", "calibration.delta=0.2")


def start(model: Path, folder: Path, *sets: str, name: str = "run") -> Path:
    file = write_choices(folder / "copa.jsonl")
    columns = ("text_column=premise", "text_pair_column=question", "label_column=label")
    data = [f"task.{each}" for each in (*columns, "choice_columns=choice1,choice2")]
    own = (f"task.train_file={file}", "task.kind=choice", "task.name=mine", *data)
    more = ("training.learning_rate=2e-2", "task.validation_share=0.3")
    return make_run(model, folder, name, *own, *more, *sets)


def trained(run: Path) -> Path:
    assert execute(run, raise_errors=True) == 0
    return run


@pytest.fixture(scope="module")
def run(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(start(model, tmp_path_factory.mktemp("run"), *LORA))


def shares(run: Path) -> np.ndarray:
    """Probabilities from the logits of the run's own evaluation, shape (rows, alternatives)."""
    lines = (run / "predictions" / "validation.tsv").read_text().splitlines()
    assert lines[0].split("\t")[-2:] == ["logit choice1", "logit choice2"]
    logits = np.array([line.split("\t")[-2:] for line in lines[1:]], dtype=np.float64)
    found: np.ndarray = softmax(logits, axis=1)
    return found


QUICK = ("bert", "roberta", "distilbert", "electra", "deberta-v2")
MORE = ("albert", "mpnet", "modernbert", "camembert", "xlm-roberta", "big_bird")


@pytest.mark.parametrize("kind", quick_where([*QUICK, *MORE], lambda kind: kind in QUICK))
def test_loss_and_logits_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    """Of the same rows, padded by transformers' own collator for multiple choice."""
    folder = save(kind, tmp_path / "m", form="MultipleChoice")
    settings = ModelSettings(name=str(folder), head="by_name")
    loaded = load_model(settings, 3, "choice", seed=0, label_names=("a", "b", "c"))
    rows = Examples(
        ("ab c?", "d"), label=(2, 0), choices=(("e f", "g", "h i j"), ("k", "l m n o", "p"))
    )
    data = tokenize(rows, loaded.tokenizer, 64, keep=False)
    batch = collate(data, [0, 1], loaded.tokenizer.pad_token_id)
    plain: Any = transformers.AutoModelForMultipleChoice.from_pretrained(folder)
    coded = []
    for text, own, label in zip(rows.text, rows.choices or (), rows.label or (), strict=True):
        coded.append(dict(loaded.tokenizer([text] * 3, list(own))) | {"label": label})
    padded = transformers.DataCollatorForMultipleChoice(loaded.tokenizer)(coded)
    with torch.no_grad():
        theirs = plain.eval()(**padded)
        loss, logits = forward_loss(loaded.model.eval(), batch), loaded.model(**batch).logits
    assert logits.shape == (2, 3)
    torch.testing.assert_close(logits, theirs.logits)
    torch.testing.assert_close(loss, theirs.loss)
    by_hand = torch.nn.functional.cross_entropy(theirs.logits, torch.tensor([2, 0]))
    torch.testing.assert_close(loss, by_hand)


def test_an_architecture_that_cannot_choose_is_refused(tmp_path: Path) -> None:
    folder = save("eurobert", tmp_path / "m")
    with pytest.raises(ConfigError, match="'eurobert' that chooses between alternatives"):
        load_model(ModelSettings(name=str(folder)), 2, "choice", seed=0)
    bert = save("bert", tmp_path / "b")
    with pytest.raises(ConfigError, match="has no head for alternatives"):
        load_model(ModelSettings(name=str(bert), head="by_name"), 2, "choice", seed=0)


def test_predict_evaluation_errors_and_export_agree(run: Path, tmp_path: Path) -> None:
    own, found = shares(run), evaluated(run).answers
    assert isinstance(found, Answers)
    assert found.texts is not None
    np.testing.assert_allclose(found.probabilities, own, atol=1e-12)
    said = list(Predictor(run, "cpu", batch_size=3).predict(found.texts))
    told = np.array([list((each.probabilities or {}).values()) for each in said])
    np.testing.assert_allclose(told, own, atol=1e-6)
    names = [each.prediction for each in said]
    assert names == [("choice1", "choice2")[number] for number in found.predicted]
    last = [each for each in events(run, "evaluated") if each["is_best"]][-1]["metrics"]
    of = report(found)
    assert of.kind == "choice"
    assert of.scores == last
    assert len(mistakes(found)) == of.wrong
    # The same from the file, whose texts and questions stand in columns.
    config = load(run / "config.toml").config
    rows, _ = read_texts(config.task.train_file or Path(), task_of(config))
    at = [int(each) for each in found.index]
    assert [rows[row] for row in at] == found.texts
    # Plain transformers opens the export.
    export_run(run, tmp_path / "out")
    plain: Any = transformers.AutoModelForMultipleChoice.from_pretrained(tmp_path / "out")
    words: Any = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    opened = []
    for text, *choices in found.texts:
        coded = words([text] * 2, choices, padding=True, return_tensors="pt")
        with torch.no_grad():
            answer = plain(**{name: each.unsqueeze(0) for name, each in coded.items()})
        opened.append(answer.logits[0].softmax(-1).numpy())
    np.testing.assert_allclose(np.array(opened), own, atol=1e-6)


def test_texts_of_another_number_are_refused(run: Path) -> None:
    predictor = Predictor(run, "cpu")
    cases = {"0 alternatives": "a", "1 alternative,": ("a", "b"), "an empty": ("a", "b", " ")}
    for said, text in cases.items():
        with pytest.raises(DataError, match=f"text 1: {said}"):
            list(predictor.predict([text]))


def test_the_texts_stand_in_the_file_of_predictions(model: Path, tmp_path: Path) -> None:
    made = trained(start(model, tmp_path, "output.prediction_texts=true", "training.epochs=1"))
    head = (made / "predictions" / "validation.tsv").read_text().splitlines()[0]
    assert head.endswith("logit choice2\ttext\tchoice 1\tchoice 2")
    (tmp_path / "copa.jsonl").unlink()
    found = evaluated(made).answers
    assert isinstance(found, Answers)
    assert found.texts is not None
    assert {len(each) for each in found.texts} == {3}


@pytest.mark.parametrize(
    ("method", "calibrated"),
    quick_where(
        [
            (name, calibrated)
            for name, each in METHODS.items()
            for calibrated in (False, True)
            if not (calibrated and (each.calibration_refused or not each.has_light_phase))
        ],
        lambda cell: cell in (("fft", False), ("mpop", True), ("unipelt", False)),
    ),
)
def test_every_method_trains_and_its_export_says_the_same(
    method: str, calibrated: bool, model: Path, tmp_path: Path
) -> None:
    small = ("training.epochs=2", "task.max_train_examples=24", f"method.name={method}")
    sets = ("calibration.variant=S", "calibration.delta=0.2") if calibrated else ()
    made = trained(start(model, tmp_path, *small, *sets))
    found = evaluated(made).answers
    assert isinstance(found, Answers)
    assert found.texts is not None
    said = Predictor(made, "cpu").predict(found.texts)
    told = np.array([list((each.probabilities or {}).values()) for each in said])
    np.testing.assert_allclose(told, shares(made), atol=1e-5)


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_run_that_is_taken_up_again_ends_the_same(how: str, model: Path, tmp_path: Path) -> None:
    sets = (*LORA, "output.checkpoint_every_steps=3")
    whole = trained(start(model, tmp_path, *sets, name="whole"))
    parts = start(model, tmp_path, *sets, name="parts")
    if how == "stopped":
        assert stop_at(parts, 5) == EXIT_STOPPED
    else:
        kill_at(parts, 5)
    trained(parts)
    one, other = (load_file(each / "model" / "model.safetensors") for each in (whole, parts))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    tables = [(each / "predictions/validation.tsv").read_text() for each in (whole, parts)]
    assert tables[0] == tables[1]


def test_it_learns_which_alternative_is_right(model: Path, tmp_path: Path) -> None:
    """The right one is the longer text: no place tells it, so nothing else can be learned."""
    rows = []
    for number, row in enumerate(choice_rows(120)):
        pair = ["a " * 12 + str(number), "a"]
        label = int(row["label"])
        rows.append(row | {"choice1": pair[label], "choice2": pair[1 - label]})
    made = start(model, tmp_path, "training.epochs=6", "training.warmup_ratio=0")
    (tmp_path / "copa.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert events(trained(made), "evaluated")[-1]["metrics"]["accuracy"] > 0.9


def test_two_micro_batches_are_one_batch(model: Path, tmp_path: Path) -> None:
    losses = []
    for name, size, accumulate in (("a", 16, 1), ("b", 8, 2)):
        sizes = (f"training.batch_size={size}", f"training.accumulate={accumulate}")
        sizes += ("training.warmup_ratio=0",)
        whole = ("training.dropout=0.0", "training.epochs=1", "task.max_train_examples=16")
        made = trained(start(model, tmp_path, *sizes, *whole, name=name))
        losses.append(events(made, "progress")[0]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize(
    "more",
    quick_where(
        [
            "regularizer.name=smart",
            "training.last_layer=first_token",
            "training.packing=true",
            "training.activation_checkpointing=true",
            "diagnostics.generalisation=true",
        ],
        lambda more: "smart" in more,
    ),
)
def test_what_else_a_run_can_have(more: str, model: Path, tmp_path: Path) -> None:
    made = trained(start(model, tmp_path, "training.epochs=1", more))
    assert np.isfinite(shares(made)).all()


@pytest.mark.parametrize("kind", sorted(_FORMS))
def test_the_first_token_alone_gives_the_same_scores(kind: str) -> None:
    torch.manual_seed(0)
    auto = transformers.AutoModelForMultipleChoice
    full: Any = auto.from_config(config_of(kind, pad_token_id=0)).eval()
    batch = {"input_ids": torch.randint(5, 40, (2, 3, 9))}
    with torch.no_grad():
        before = full(**batch).logits
        compute_first_token_only(full)
        torch.testing.assert_close(full(**batch).logits, before)


def test_blocks_of_a_model_that_chooses_can_be_taken_apart() -> None:
    config = config_of("modernbert")
    config.calisr_components = ",".join(
        [
            *(f"{name}:layers.*.attn.Wqkv[{n}/3]" for n, name in enumerate(("query", "key"), 1)),
            "value:layers.*.attn.Wqkv[3/3]",
            "attention_output:layers.*.attn.Wo",
            "intermediate:layers.*.mlp.Wi[1/2]",
            "gate:layers.*.mlp.Wi[2/2]",
            "output:layers.*.mlp.Wo",
        ]
    )
    chooser: Any = transformers.AutoModelForMultipleChoice.from_config(config).eval()
    batch: Mapping[str, Tensor] = {"input_ids": torch.randint(5, 40, (2, 3, 9))}
    with torch.no_grad():
        before = chooser(**batch).logits
        take_apart(chooser)
        torch.testing.assert_close(chooser(**batch).logits, before)
    assert as_input(chooser, torch.ones(2, 3)).shape == (2, 1, 3)


@pytest.mark.slow
def test_the_onnx_file_takes_any_number_of_alternatives(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    onnxruntime = pytest.importorskip("onnxruntime")
    export_run(run, tmp_path / "out")
    assert onnx_export.write_onnx(tmp_path / "out") < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "out" / "onnx" / "model.onnx")
    coded = tokenizer()(["a b"] * 4, ["c", "d", "e", "f"], return_tensors="np")
    inputs = {each.name: coded[each.name][None] for each in session.get_inputs()}
    assert session.run(None, inputs)[0].shape == (1, 4)


def test_the_data_of_a_run_is_that_of_its_settings(run: Path) -> None:
    data = load_task(load(run / "config.toml").config.task)
    assert data.label_names == ("choice1", "choice2")
    assert data.train.choices is not None
