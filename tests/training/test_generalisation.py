"""Generalisation in the log: what it says, against its definitions, and that it changes nothing."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from calisr_engine.calibration.stable_rank import stable_rank
from calisr_engine.config.load import from_resolved
from calisr_engine.events.fold import fold_all
from calisr_engine.events.types import GeneralisationMeasured
from calisr_engine.events.view import RunView
from calisr_engine.methods.catalog import METHODS
from calisr_engine.process.execute import execute
from calisr_engine.runs import load_view
from calisr_engine.runs.layout import RunPaths
from calisr_engine.tasks.data import load_task
from calisr_engine.training.generalisation import bound_terms, train_rows
from tests.slow import quick_where
from tests.training.interrupt import kill_at
from tests.training.tiny_run import make_run, tokenizer

ON = ("diagnostics.generalisation=true", "diagnostics.train_examples=20")
QUICK = ("lora", "mpop", "child_tuning_d", "unipelt")
"""One of each kind: beside a matrix, in its place, a part of it, in the architecture."""
OF_TIME = ("time", "seq", "seconds", "examples_per_second", "seconds_per_step", "path")


def records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in RunPaths(run).events.read_text().splitlines()]


def story(run: Path) -> list[dict[str, Any]]:
    """What was trained, without times and without the diagnostics."""
    kept = ("progress", "stable_rank_sampled", "srs_evaluated", "group_switched", "evaluated")
    return [
        {key: value for key, value in record.items() if key not in OF_TIME}
        for record in records(run)
        if record["type"] in kept
    ]


def tensors(run: Path) -> dict[str, torch.Tensor]:
    """Everything that checkpoints and best models hold, random states included."""
    files = [*run.glob("checkpoints/*/*.safetensors"), *run.glob("best/*/*.safetensors")]
    return {f"{p.relative_to(run)}:{k}": v for p in files for k, v in load_file(p).items()}


@pytest.mark.parametrize("method", quick_where(METHODS, lambda name: name in QUICK))
def test_measuring_changes_no_bit_of_the_training(method: str, model: Path, tmp_path: Path) -> None:
    variant = "off" if METHODS[method].calibration_refused else "S"
    sets = (
        f"method.name={method}",
        f"calibration.variant={variant}",
        "calibration.delta=0.3",
        "training.eval_every_steps=2",
        "training.max_steps=6",
        "calibration.decide_every_steps=3",
        "output.progress_every_seconds=0",
    )
    plain, measured = (
        make_run(model, tmp_path, name, *sets, *more) for name, more in (("a", ()), ("b", ON))
    )
    assert execute(plain) == execute(measured) == 0
    assert story(plain) == story(measured)
    own, other = tensors(plain), tensors(measured)
    assert own
    assert own.keys() == other.keys()
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert load_view(plain).generalisation == []
    found = load_view(measured).generalisation
    assert [each.step for each in found] == [2, 4, 6]
    assert all(None not in dataclasses.asdict(each).values() for each in found)


def test_the_figures_are_those_of_the_exported_model(model: Path, tmp_path: Path) -> None:
    run = make_run(
        model, tmp_path, "run", "method.name=lora", "training.max_steps=4", *ON,
        "training.eval_every_steps=4",
    )  # fmt: skip
    assert execute(run) == 0
    view = load_view(run)
    (found,) = view.generalisation
    exported = AutoModelForSequenceClassification.from_pretrained(RunPaths(run).model).eval()
    values = [
        torch.linalg.svdvals(weight.detach().double())
        for name, weight in exported.named_parameters()
        if "encoder.layer" in name and weight.dim() == 2
    ]
    assert len(values) == 12
    ranks = [float((s**2).sum() / s[0] ** 2) for s in values]
    norms = math.fsum(2 * math.log(float(s[0])) for s in values)
    assert found.stable_rank == pytest.approx(sum(ranks), rel=1e-6)
    assert found.log_norms == pytest.approx(norms, rel=1e-5)
    assert found.log_bound == pytest.approx(norms + math.log(sum(ranks)), rel=1e-5)

    data = load_task(from_resolved(RunPaths(run).config).task)
    rows = train_rows(len(data.train), 20)
    assert len(set(rows)) == found.train_examples == 20
    losses = []
    for row in rows:
        words = tokenizer()(data.train.text[row], return_tensors="pt", truncation=True)
        with torch.no_grad():
            logits = exported(**words).logits[0]
        losses.append(float(-torch.log_softmax(logits, -1)[int(data.train.label[row])]))
    assert found.train_loss == pytest.approx(sum(losses) / 20, rel=1e-4)
    (evaluated,) = view.evaluations
    assert found.validation_loss == evaluated.loss
    assert found.gap == pytest.approx(evaluated.loss - found.train_loss)


def test_a_run_that_is_killed_and_goes_on_says_it_once(model: Path, tmp_path: Path) -> None:
    sets = ("method.name=lora", "training.eval_every_steps=2", "output.checkpoint_every_steps=3")
    whole, killed = (make_run(model, tmp_path, name, *sets, *ON) for name in "ab")
    assert execute(whole) == 0
    kill_at(killed, 5)
    assert execute(killed) == 0
    told = [
        [dataclasses.replace(each, seq=0, seconds=None) for each in load_view(run).generalisation]
        for run in (whole, killed)
    ]
    assert told[0] == told[1]
    assert sum(r["type"] == "generalisation_measured" for r in records(killed)) > len(told[1])


matrices = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10**6))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(matrices, min_size=1, max_size=4), st.floats(1e-3, 1e3))
def test_the_terms_of_the_bound_by_singular_values(
    shapes: list[tuple[int, int, int]], scale: float
) -> None:
    torch.set_num_threads(1)
    weights = [
        scale * torch.randn(m, n, generator=torch.Generator().manual_seed(seed))
        for m, n, seed in shapes
    ]
    found = bound_terms(weights)
    tops = [float(torch.linalg.svdvals(each.double())[0]) for each in weights]
    assert found.matrices == len(weights)
    assert found.stable_rank == pytest.approx(sum(float(stable_rank(each)) for each in weights))
    assert found.log_norms == pytest.approx(sum(2 * math.log(top) for top in tops), abs=1e-8)


def test_a_zero_matrix_has_no_logarithm_and_no_number_is_refused() -> None:
    found = bound_terms([torch.zeros(2, 3), torch.eye(3)])
    assert (found.stable_rank, found.log_norms) == (3.0, None)
    with pytest.raises(ValueError):
        bound_terms([torch.full((2, 2), math.nan)])


def test_the_training_examples_are_the_same_in_every_run() -> None:
    assert train_rows(100, 10) == train_rows(100, 10)
    assert train_rows(100, 10) == sorted(set(train_rows(100, 10)))
    assert train_rows(5, 10) == [0, 1, 2, 3, 4]


def test_absent_figures_are_none() -> None:
    said = GeneralisationMeasured(epoch=1.0, train_examples=5, stable_rank=2.0)
    assert said.gap is None
    assert said.log_bound is None
    record = {
        "v": 2, "seq": 1, "attempt": 1, "time": 1.0, "step": 3,
        "type": "generalisation_measured", "epoch": 1.0, "train_examples": 5,
    }  # fmt: skip
    (each,) = fold_all(RunView(), [record]).generalisation
    assert (each.step, each.gap, each.log_bound) == (3, None, None)
