"""What a run, a checkpoint and an export say of their matrices; errors that can be mended."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from calisr_engine.analysis.weights import (
    checkpoint_weights,
    read_weights,
    same_targets,
    start_weights,
    total_stable_rank,
)
from calisr_engine.config.load import from_resolved
from calisr_engine.errors import CalisrError, ConfigError, NotFoundError, UnavailableError
from calisr_engine.events.log import EventWriter
from calisr_engine.methods.catalog import METHODS
from calisr_engine.models.components import find_targets
from calisr_engine.process.execute import execute
from calisr_engine.results.audit import stable_rank_by_svd
from calisr_engine.runs.layout import RunPaths
from calisr_engine.training import checkpoint as checkpoints
from calisr_engine.training.build import prepare
from calisr_tui.cli.app import run_command_line
from tests.training.tiny_run import make_run, save_model


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def lora(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete LoRA run on query and value."""
    run = make_run(
        model, tmp_path_factory.mktemp("runs"), "lora", "method.name=lora", "training.epochs=2"
    )
    assert execute(run, raise_errors=True) == 0
    return run


CASES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(METHODS, ()),
    "lora shadow, late": ("method.parametrisation=shadow", "schedule.switch_at=0.5"),
    "mpop at_switch": ("method.parametrisation=at_switch", "schedule.switch_at=0.5"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_checkpoint_gives_what_the_method_means(case: str, model: Path, tmp_path: Path) -> None:
    """The same as the forms of the run that is put together anew from that checkpoint."""
    sets = ("training.epochs=1", "training.max_steps=4", "output.export=false", *CASES[case])
    run = make_run(model, tmp_path, "run", f"method.name={case.split()[0]}", *sets)
    assert execute(run, raise_errors=True) == 0
    found = read_weights(run)
    paths = RunPaths(run)
    with EventWriter(tmp_path / "other.jsonl", attempt=2) as writer:
        session = prepare(from_resolved(paths.config), paths, writer, resume=True)
    assert list(found.matrices) == [f"{t.layer}.{t.component}" for t in session.targets]
    for target in session.targets:
        form = session.attachment.forms.get(target.name)
        wanted = target.weight.detach() if form is None else form.effective()
        got = found.matrices[f"{target.layer}.{target.component}"]
        torch.testing.assert_close(got.double(), wanted.double(), rtol=1e-12, atol=1e-7)


def test_runs_checkpoints_exports_and_starts(lora: Path, model: Path) -> None:
    run = read_weights(lora)
    newest = checkpoints.steps(lora / "checkpoints")[-1]
    step = read_weights(newest)
    by_id = read_weights("lora", lora.parent)
    for name, matrix in run.matrices.items():
        assert torch.equal(matrix, step.matrices[name])
        assert torch.equal(matrix, by_id.matrices[name])
    assert step.label == f"lora {newest.name}"
    exported = AutoModelForSequenceClassification.from_pretrained(lora / "model")
    folder = read_weights(lora / "model")
    best = read_weights(next((lora / "best").iterdir()))
    for target in find_targets(exported):
        name = f"{target.layer}.{target.component}"
        assert torch.equal(folder.matrices[name], target.weight)
        assert torch.equal(best.matrices[name], target.weight)
    start = start_weights(from_resolved(lora / "config.toml"))
    plain = read_weights(model)
    assert all(torch.equal(start.matrices[n], plain.matrices[n]) for n in plain.matrices)
    assert not torch.equal(run.matrices["0.query"], start.matrices["0.query"])
    same_targets(run, start)


def test_names_of_a_bare_encoder_are_known(model: Path, tmp_path: Path) -> None:
    full = AutoModelForSequenceClassification.from_pretrained(model)
    full.bert.save_pretrained(tmp_path / "bare")
    bare, whole = read_weights(tmp_path / "bare"), read_weights(model)
    assert all(torch.equal(bare.matrices[n], whole.matrices[n]) for n in whole.matrices)


def test_total_stable_rank_is_the_sum_over_matrices(model: Path) -> None:
    weights = read_weights(model)
    wanted = sum(stable_rank_by_svd(matrix) for matrix in weights.matrices.values())
    assert total_stable_rank(weights) == pytest.approx(wanted, rel=1e-12)


def test_choosing_targets(model: Path) -> None:
    weights = read_weights(model)
    assert weights.choose(()) == list(weights.matrices)
    assert weights.choose(["1.value"]) == ["1.value"]
    assert weights.choose(["value"]) == ["0.value", "1.value"]
    assert len(weights.choose(["0"])) == 6
    assert weights.choose(["value", "0.value"]) == ["0.value", "1.value"]
    with pytest.raises(NotFoundError) as caught:
        weights.choose(["valeu"])
    assert caught.value.hint == "did you mean value?"


def test_a_run_without_weights(model: Path, tmp_path: Path) -> None:
    run = make_run(model, tmp_path, "fresh")
    with pytest.raises(NotFoundError, match="fresh has no weights yet"):
        read_weights(run)


def test_a_damaged_checkpoint_is_named(lora: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(lora, tmp_path / "lora")
    for folder in checkpoints.steps(copy / "checkpoints"):
        (folder / "model.safetensors").write_bytes(b"x")
    with pytest.raises(NotFoundError, match=r"damaged: step-\d+: model.safetensors"):
        read_weights(copy)
    with pytest.raises(CalisrError, match=r"model\.safetensors"):
        checkpoint_weights(checkpoints.steps(copy / "checkpoints")[-1])


def test_a_checkpoint_outside_its_run(lora: Path, tmp_path: Path) -> None:
    newest = checkpoints.steps(lora / "checkpoints")[-1]
    alone = shutil.copytree(newest, tmp_path / "a" / "b" / newest.name)
    with pytest.raises(NotFoundError, match="does not lie in a run directory"):
        read_weights(alone)


def test_folders_that_cannot_be_read(model: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="holds no weights"):
        read_weights(tmp_path)
    with pytest.raises(NotFoundError, match="there is no 'nothing'"):
        read_weights("nothing", tmp_path)
    odd = shutil.copytree(model, tmp_path / "odd")
    (odd / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(ConfigError, match="gpt2"):
        read_weights(odd)
    (odd / "config.json").write_text("{")
    with pytest.raises(UnavailableError, match="cannot be read"):
        read_weights(odd)
    for file in odd.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(NotFoundError, match="safetensors"):
        read_weights(odd)


# The command -------------------------------------------------------------------------------------


def test_the_command_gives_json_that_agrees_with_itself(
    lora: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["analyze", "spectrum", str(model), str(lora), "--json"]
    assert run_command_line(command) == 0
    said = json.loads(capfd.readouterr()[0])
    assert len(said["targets"]) == 12
    moved = {each["target"] for each in said["targets"] if max(map(abs, each["change"])) > 1e-6}
    # Only query and value have factors; the other matrices stand still in the light method.
    assert moved == {f"{layer}.{name}" for layer in (0, 1) for name in ("query", "value")}
    still = next(each for each in said["targets"] if each["target"] == "0.key")
    assert still["alignment"] == pytest.approx([1.0] * 16)


def test_the_command_draws_a_table_and_charts(
    lora: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["analyze", "spectrum", str(model), str(lora)]) == 0
    out = capfd.readouterr()[0]
    assert out.count("16x16") == 8
    assert "0.attention_output" in out
    assert "Change of the stable rank" in out
    one = ["analyze", "spectrum", str(model), str(lora), "--target", "1.value"]
    assert run_command_line(one) == 0
    out = capfd.readouterr()[0]
    assert "1.value" in out
    assert "0.value" not in out
    assert "left singular vectors" in out


def test_mistakes_have_a_message_and_no_traceback(
    lora: Path, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    small = BertConfig(
        vocab_size=67,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=64,
    )
    BertForSequenceClassification(small).save_pretrained(tmp_path / "narrow")
    cases = [
        ([str(model), str(lora), "-t", "vlaue"], 4, "did you mean value?"),
        ([str(model), str(tmp_path / "narrow")], 2, "16 x 16"),
        ([str(model), "no-such-run"], 4, "no-such-run"),
        ([str(model), str(lora), "--tolerance", "2"], 2, "--tolerance"),
        ([str(model), str(lora), "--out", "x.pdf"], 2, ".svg"),
        ([str(model), str(lora), "--out", "nowhere/x.svg"], 2, "nowhere"),
    ]
    for words, status, text in cases:
        assert run_command_line(["analyze", "spectrum", *words]) == status, words
        out, err = capfd.readouterr()
        assert out == ""
        assert text in err
        assert "Traceback" not in err


def test_a_model_that_is_not_here(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calisr_engine.models.catalog.resolve", lambda name: "/no/such/folder")
    assert run_command_line(["analyze", "spectrum", "bert-base-uncased", "demo-bert"]) == 3
    err = capfd.readouterr()[1]
    assert "give a run directory" in err
    assert "Traceback" not in err
