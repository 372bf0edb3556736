"""`calisr export`: the merged model, or the adapter alone where the base was never trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from calisr_engine.config.load import load
from calisr_engine.errors import (
    EXIT_STOPPED,
    ConfigError,
    NotFoundError,
    StorageError,
    UnavailableError,
)
from calisr_engine.process.execute import execute
from calisr_engine.results.best_model import open_exported
from calisr_engine.results.export_run import export_run
from calisr_engine.results.plain_export import CardFacts, model_card
from tests.methods.tiny import CALIBRATABLE
from tests.training.interrupt import stop_at
from tests.training.tiny_run import make_run


def trained(model: Path, folder: Path, *sets: str) -> Path:
    run = make_run(model, folder, "run", "training.epochs=1", *sets)
    assert execute(run, raise_errors=True) == 0
    return run


def test_an_adapter_on_its_base_is_the_merged_model(model: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    sets = ("method.name=lora", "method.reference=true", "method.rank=4", "method.alpha=6")
    run = trained(model, tmp_path, *sets)
    out = tmp_path / "adapter"
    export_run(run, out, adapter_only=True)
    assert not list(out.glob("*.bin"))
    assert (out / "adapter_model.safetensors").stat().st_size < 40_000
    base = AutoModelForSequenceClassification.from_pretrained(model, num_labels=2)
    joined = PeftModel.from_pretrained(base, out).eval()
    merged = AutoModelForSequenceClassification.from_pretrained(run / "model").eval()
    ids = torch.randint(5, 60, (6, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs, ours = joined(input_ids=ids).logits, merged(input_ids=ids).logits
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "sets",
    [
        ("method.name=lora",),
        ("method.name=lora", "calibration.variant=S", "calibration.delta=0"),
    ],
    ids=["biases trained", "calibrated"],
)
def test_a_base_that_was_trained_is_refused(
    sets: tuple[str, ...], model: Path, tmp_path: Path
) -> None:
    run = trained(model, tmp_path, *sets)
    with pytest.raises(ConfigError, match="of the base too"):
        export_run(run, tmp_path / "out", adapter_only=True)


def test_a_damaged_model_is_never_exported_nor_opened(model: Path, tmp_path: Path) -> None:
    """One bit of any of its files, or a file that is gone; older exports have no manifest."""
    run = trained(model, tmp_path, "method.name=lora", "method.reference=true")
    names = sorted(each.name for each in (run / "model").iterdir())
    assert {"model.safetensors", "config.json", "tokenizer.json", "manifest.json"} <= set(names)
    for name in names:
        file = run / "model" / name
        content = file.read_bytes()
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 4
        for damage in (flipped, content[:-1], None if name != "manifest.json" else b""):
            file.unlink()
            if damage is not None:
                file.write_bytes(damage)
            for act in (
                lambda: export_run(run, tmp_path / "out"),
                lambda: export_run(run, tmp_path / "out", adapter_only=True),
                lambda: open_exported(run / "model"),
            ):
                with pytest.raises(UnavailableError, match="model is damaged"):
                    act()
            file.unlink(missing_ok=True)
            file.write_bytes(content)
        assert not (tmp_path / "out").exists()
    (run / "model/manifest.json").unlink()
    whole = (run / "model/model.safetensors").read_bytes()
    for damaged in (b"", whole[:-1], whole[:4], whole[8:]):
        (run / "model/model.safetensors").write_bytes(damaged)
        with pytest.raises(UnavailableError, match=r"model\.safetensors cannot be read"):
            export_run(run, tmp_path / "half")
    (run / "model/model.safetensors").write_bytes(whole)
    export_run(run, tmp_path / "out")
    assert (tmp_path / "out/model.safetensors").exists()


def test_an_export_leaves_nothing_of_a_full_disk_and_no_neighbour_is_touched(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(model, tmp_path, "method.name=bitfit")
    place = tmp_path / "place"
    for name in ("out.partial-1", "out.tmp-4000000", ".out", "out.tmp-calisr-4000000-7"):
        (place / name).mkdir(parents=True)

    def full(*_: object, **__: object) -> None:
        raise shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")])

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", full)
        with pytest.raises(StorageError, match="the disk is full") as caught:
            export_run(run, place / "out")
    assert "kB is needed" in caught.value.hint
    names = sorted(each.name for each in place.iterdir())
    assert names == [".out", "out.partial-1", "out.tmp-4000000"]  # and its own leftover is gone
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", [name for name in CALIBRATABLE if name != "lora"][:2])
def test_methods_without_an_adapter_file_are_refused(
    method: str, model: Path, tmp_path: Path
) -> None:
    run = trained(model, tmp_path, f"method.name={method}")
    with pytest.raises(ConfigError, match="--adapter-only"):
        export_run(run, tmp_path / "out", adapter_only=True)


@pytest.mark.parametrize(
    "method",
    ["method.name=lora calibration.variant=S calibration.delta=0.5", "method.name=adapter"],
)
def test_without_an_export_the_best_weights_are_written_as_the_run_would_have(
    method: str, model: Path, tmp_path: Path
) -> None:
    run = trained(model, tmp_path, *method.split())
    export_run(run, tmp_path / "copied")
    shutil.rmtree(run / "model")
    export_run(run, tmp_path / "built")
    names = {each.name for each in (tmp_path / "copied").iterdir()}
    assert names == {each.name for each in (tmp_path / "built").iterdir()}
    for name in names - {"manifest.json"}:
        copied, built = ((tmp_path / each / name).read_bytes() for each in ("copied", "built"))
        assert copied == built, name
    open_exported(tmp_path / "built")
    with pytest.raises(NotFoundError, match="no export of its best model"):
        export_run(run, tmp_path / "out", adapter_only=True)


def test_a_run_that_was_stopped_is_exported(model: Path, tmp_path: Path) -> None:
    run = make_run(model, tmp_path, "run", "training.eval_every_steps=1")
    with pytest.raises(NotFoundError, match="no best model yet"):
        export_run(run, tmp_path / "out")
    assert stop_at(run, 2) == EXIT_STOPPED
    export_run(run, tmp_path / "out")
    opened, _ = open_exported(tmp_path / "out")
    (weights,) = (run / "best").glob("step-*/weights.safetensors")
    for name, tensor in load_file(weights).items():
        assert torch.equal(opened.state_dict()[name], tensor)
    assert "acceptable" in (tmp_path / "out" / "README.md").read_text()
    assert not (run / "model").exists()


def test_neighbours_of_the_folder_are_left_alone(model: Path, tmp_path: Path) -> None:
    run = trained(model, tmp_path, "method.name=fft")
    for name in ("out.tmp", "out.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").write_text("mine")
    export_run(run, tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").is_file()
    for name in ("out.tmp", "out.old"):
        assert (tmp_path / name / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("google-bert/bert-base-uncased", "google-bert/bert-base-uncased"),
        ("demo-bert", "demo-bert"),
        ("/home/ann/secret/mine", "mine"),
        ("../mine/", "mine"),
        ("~/mine", "mine"),
    ],
)
def test_a_card_tells_nobody_where_a_model_lay(name: str, told: str) -> None:
    config = load(None, [f"model.name={name}"]).config
    facts = dict.fromkeys(("best", "best_step", "last"))
    card = CardFacts.of(config, synthetic=False, switched={}, metric="accuracy", **facts)
    assert f"Fine-tuned from `{told}`" in model_card(card)
