"""Runs from their settings to their export, and what must be exactly true of them."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from calisr_engine.errors import LockedError
from calisr_engine.methods.catalog import METHODS
from calisr_engine.process.execute import execute
from calisr_engine.results.audit import audit
from calisr_engine.runs import load_view
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_engine.tasks import demo
from calisr_engine.training import step
from tests.methods.tiny import CALIBRATABLE, WITH_OWN_LOADER
from tests.slow import quick_where
from tests.training.interrupt import kill_at
from tests.training.tiny_run import events, make_run, save_model

CALIBRATED = ("calibration.variant=S", "calibration.delta=0.3", "calibration.samples_per_epoch=3")

KEPT = "calibration.keep_samples=true"

QUICK = ("lora", "mpop", "child_tuning_d")
every_calibrated = pytest.mark.parametrize(
    "method", quick_where(CALIBRATABLE, lambda method: method in QUICK)
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def trained(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A run of a method with these settings, trained once for all tests that only read it."""
    found: dict[tuple[str, ...], Path] = {}

    def train(method: str, *sets: str) -> Path:
        key = (f"method.name={method}", *sets)
        if key not in found:
            run = make_run(model, tmp_path_factory.mktemp("trained"), method, *key)
            assert execute(run, raise_errors=True) == 0
            found[key] = run
        return found[key]

    return train


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    folders = (run_dir / "checkpoints").glob("step-*/model.safetensors")
    return load_file(max(folders, key=lambda p: int(p.parent.name.split("-")[1])))


def story(run_dir: Path) -> list[dict[str, Any]]:
    """Counters, decisions, switches and metrics, without what may differ between runs."""
    kept = []
    for kind in ("stable_rank_sampled", "srs_evaluated", "group_switched", "evaluated"):
        for record in events(run_dir, kind):
            for key in ("seq", "attempt", "time", "seconds", "freed_bytes"):
                record.pop(key, None)
            if record not in kept:  # a resumed run takes some steps twice
                kept.append(record)
    return kept


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(first[n].equal(second[n]) for n in first)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_to_its_end_and_exports(
    trained: Callable[..., Path], method: str
) -> None:
    run = trained(method, "training.epochs=2")
    view = load_view(run)
    assert view.state == "completed"
    assert events(run, "completed") == [events(run, "completed")[-1]]
    summary = view.summary
    assert summary is not None
    assert summary["steps"] == 12
    assert (run / "model" / "README.md").is_file()
    if METHODS[method].has_light_phase:
        assert summary["trainable"] < summary["total"] or METHODS[method].changes_architecture


@every_calibrated
def test_the_export_predicts_what_the_run_predicted(
    trained: Callable[..., Path], method: str
) -> None:
    from transformers import AutoModelForSequenceClassification

    run = trained(method, *CALIBRATED, KEPT)
    opened = AutoModelForSequenceClassification.from_pretrained(run / "model")
    assert_predicts(run, opened)


@pytest.mark.parametrize("method", WITH_OWN_LOADER)
def test_changed_architectures_open_with_the_documented_loader(
    trained: Callable[..., Path], method: str
) -> None:
    from calisr_engine.methods.reload import load_with_method

    run = trained(method, "training.epochs=2")
    assert_predicts(run, load_with_method(run / "model"))
    assert "load_with_method" in (run / "model" / "README.md").read_text()


def assert_predicts(run: Path, opened: torch.nn.Module) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    with (run / "predictions" / "validation.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    examples = demo.read().validation["validation"]
    numbers = examples.index or range(len(examples))
    text = dict(zip(numbers, examples.text, strict=True))
    columns = [name for name in rows[0] if name.startswith("logit ")]
    opened.eval()
    for row in rows[:20]:
        batch = tokenizer(text[int(row["index"])], return_tensors="pt")
        with torch.no_grad():
            logits = opened(**batch).logits[0]
        expected = torch.tensor([float(row[name]) for name in columns])
        torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-4)


@every_calibrated
def test_measuring_changes_nothing(model: Path, tmp_path: Path, method: str) -> None:
    """A run that measures but never switches equals, to the bit, one that does not measure."""
    name = f"method.name={method}"
    measured = make_run(
        model, tmp_path, "measured", name, "calibration.variant=S", "calibration.delta=1.0"
    )
    plain = make_run(model, tmp_path, "plain", name, "schedule.switch_at=1.0")
    for run in (measured, plain):
        assert execute(run, raise_errors=True) == 0
    assert events(measured, "stable_rank_sampled")
    assert not events(plain, "stable_rank_sampled")
    assert same(weights(measured), weights(plain))


@every_calibrated
def test_a_killed_run_resumes_to_the_same_bits(model: Path, tmp_path: Path, method: str) -> None:
    sets = (f"method.name={method}", *CALIBRATED, "output.checkpoint_every_steps=4")
    calm = make_run(model, tmp_path, "calm", *sets)
    assert execute(calm, raise_errors=True) == 0
    killed = make_run(model, tmp_path, "killed", *sets)
    for moment in (3, 6, 7, 13, 17):
        kill_at(killed, moment)
    assert execute(killed, raise_errors=True) == 0
    assert same(weights(calm), weights(killed))
    assert sorted(map(json.dumps, story(calm))) == sorted(map(json.dumps, story(killed)))
    one, two = load_view(calm).summary, load_view(killed).summary
    assert one is not None
    assert two is not None
    for key in ("best", "best_step", "last", "switched", "trainable", "samples", "fallbacks"):
        assert one[key] == two[key], key


@every_calibrated
def test_the_audit_agrees_with_the_run(trained: Callable[..., Path], method: str) -> None:
    report = audit(trained(method, *CALIBRATED, KEPT))
    assert report.clean, [*report.disagreements, *report.missing]
    assert report.samples >= 3
    assert report.matrices >= 3 * 2


def test_the_audit_sees_a_forged_sample(trained: Callable[..., Path], tmp_path: Path) -> None:
    run = tmp_path / "forged"
    shutil.copytree(trained("lora", *CALIBRATED, KEPT), run)
    assert audit(run).clean
    path = next((run / "samples").glob("step-*.safetensors"))
    tensors = load_file(path)
    changed = next(name for name in tensors if name.endswith("::lft"))
    tensors[changed] = tensors[changed] * torch.linspace(0.5, 1.5, tensors[changed].shape[1])
    save_file(tensors, path)
    assert not audit(run).clean


def test_a_run_that_never_switches_says_so(model: Path, tmp_path: Path) -> None:
    run = make_run(
        model,
        tmp_path,
        "never",
        "method.name=lora",
        "calibration.variant=D",
        "calibration.delta=1.0",
    )
    assert execute(run, raise_errors=True) == 0
    summary = load_view(run).summary
    assert summary is not None
    assert summary["switched"] is None
    assert any("no group switched" in w["message"] for w in events(run, "warning"))


def test_a_loss_that_is_not_a_number_fails_clearly_and_keeps_the_checkpoint(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(model, tmp_path, "nan", "method.name=fft", "output.checkpoint_every_steps=4")
    forward = step.forward_loss
    calls = []

    def bad(model: torch.nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        calls.append(1)
        return forward(model, batch) * (float("nan") if len(calls) == 6 else 1.0)

    monkeypatch.setattr(step, "forward_loss", bad)
    assert execute(run) == 1
    view = load_view(run)
    assert view.state == "failed"
    assert view.failure is not None
    assert "not a number at step 6" in view.failure.message
    assert (RunPaths(run).checkpoints / "step-4").is_dir()
    assert execute(run) == 0
    assert load_view(run).state == "completed"


def test_two_processes_cannot_train_the_same_run(model: Path, tmp_path: Path) -> None:
    run = make_run(model, tmp_path, "locked", "method.name=fft")
    with RunLock(RunPaths(run)), pytest.raises(LockedError):
        execute(run)


def test_scheduled_switching_and_chosen_components(model: Path, tmp_path: Path) -> None:
    run = make_run(
        model,
        tmp_path,
        "scheduled",
        "method.name=lora",
        'method.components=["query","value"]',
        "method.elsewhere=fft",
        "schedule.switch_at=0.4",
    )
    assert execute(run, raise_errors=True) == 0
    switches = events(run, "group_switched")
    assert {record["step"] for record in switches} == {round(0.4 * 18)}
    view = load_view(run)
    assert view.summary is not None
    # The four other components are still fully fine-tuned.
    assert view.summary["trainable"] > 0.5 * view.summary["total"]


def test_diff_prunings_best_model_is_a_sparse_one(model: Path, tmp_path: Path) -> None:
    run = make_run(
        model,
        tmp_path,
        "sparse",
        "method.name=diff_pruning",
        "method.fixed_mask_share=0.4",
        "training.eval_every_steps=3",
    )
    assert execute(run, raise_errors=True) == 0
    view = load_view(run)
    assert view.summary is not None
    assert view.summary["best_step"] >= round(0.6 * 18)
