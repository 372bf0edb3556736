"""Nothing of a checkpoint is filled in, invented or dropped in silence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from calisr_engine.errors import CalisrError, ConfigError, UnavailableError
from calisr_engine.models.load import LoadedModel, load_model
from calisr_engine.models.settings import ModelSettings
from calisr_engine.process.execute import execute
from tests.methods.tiny import ARCHITECTURES, make_model
from tests.models.folders import is_body
from tests.slow import quick_where
from tests.training.tiny_run import events, make_run, save_model, tokenizer

NAMES = ("no", "yes")
every_architecture = pytest.mark.parametrize(
    "architecture",
    quick_where(
        sorted(ARCHITECTURES),
        lambda each: each in ("Bert", "DebertaV2", "DistilBert", "ModernBert"),
    ),
)


def save(architecture: str, folder: Path) -> Path:
    torch.set_num_threads(1)
    model: Any = make_model(architecture)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def load(folder: Path, seed: int = 1, labels: tuple[str, ...] = NAMES, **more: Any) -> LoadedModel:
    settings = ModelSettings(name=str(folder), **more)
    return load_model(settings, len(labels), "classification", seed, labels)


def edit(folder: Path, change: Any) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def head_of(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    return {n: v.clone() for n, v in loaded.model.state_dict().items() if "classifier" in n}


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[n], two[n]) for n in one)


@every_architecture
def test_a_folder_without_a_tokenizer_is_refused(architecture: str, tmp_path: Path) -> None:
    folder = save(architecture, tmp_path / "model")
    for name in ("tokenizer.json", "vocab.txt", "vocab.json"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(UnavailableError, match=r"no tokenizer \(one of tokenizer\.json"):
        load(folder)


@every_architecture
def test_missing_weights_of_the_body_are_refused_by_name(architecture: str, tmp_path: Path) -> None:
    folder = save(architecture, tmp_path / "model")
    names = sorted(load_file(folder / "model.safetensors"))
    body = [name for name in names if is_body(name)]
    for name in body[:: max(1, len(body) // 6)]:
        hurt = Path(shutil.copytree(folder, tmp_path / "hurt"))
        edit(hurt, lambda tensors, name=name: tensors.pop(name))
        with pytest.raises(ConfigError, match="missing or of another shape") as caught:
            load(hurt)
        assert name in caught.value.message
        shutil.rmtree(hurt)


def test_renamed_weights_are_not_drawn_at_random(tmp_path: Path) -> None:
    folder = save("Electra", tmp_path / "model")

    def rename(tensors: dict[str, torch.Tensor]) -> None:
        name = next(n for n in tensors if "embeddings_project.weight" in n)
        tensors["electra.projection.weight"] = tensors.pop(name)

    edit(folder, rename)
    with pytest.raises(ConfigError, match="embeddings_project"):
        load(folder)


def test_a_missing_pooler_is_noted(tmp_path: Path) -> None:
    folder = save("Bert", tmp_path / "model")
    edit(folder, lambda t: [t.pop(n) for n in list(t) if "pooler" in n])
    assert any("no pooler" in note for note in load(folder).notes)


def test_surplus_layers_are_noted_and_pretraining_heads_are_not(tmp_path: Path) -> None:
    folder = save("Bert", tmp_path / "model")

    def add(tensors: dict[str, torch.Tensor]) -> None:
        layer = {n: v for n, v in tensors.items() if ".layer.1." in n}
        tensors |= {n.replace(".layer.1.", ".layer.2."): v.clone() for n, v in layer.items()}
        tensors["cls.predictions.bias"] = torch.zeros(99)

    edit(folder, add)
    notes = [note for note in load(folder).notes if "does not use" in note]
    assert len(notes) == 1
    assert "bert.encoder.layer.2.attention" in notes[0]
    assert "more" in notes[0]
    assert "cls." not in notes[0]


@every_architecture
def test_the_head_is_drawn_from_the_seed_alone(architecture: str, tmp_path: Path) -> None:
    """Whatever head the file holds, of these or of other classes."""
    folder = save(architecture, tmp_path / "model")
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    edit(
        other,
        lambda t: t.update({n: torch.full_like(v, 9) for n, v in t.items() if "classifier" in n}),
    )
    stored = AutoModelForSequenceClassification.from_pretrained(folder).state_dict()
    one, two, three = load(folder), load(other), load(folder, seed=2)
    assert same(head_of(one), head_of(two))
    weights = [n for n in head_of(one) if n.endswith("weight")]
    assert not any(torch.equal(head_of(one)[n], stored[n]) for n in weights)
    assert not any(torch.equal(head_of(one)[n], head_of(three)[n]) for n in weights)
    assert all(float(v.abs().max()) < 1 for n, v in head_of(two).items())
    assert any("head is not kept" in note for note in one.notes)


@every_architecture
def test_classes_are_matched_by_name_on_request(architecture: str, tmp_path: Path) -> None:
    folder = save(architecture, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config |= {"id2label": {"0": "yes", "1": "no"}, "label2id": {"yes": 0, "no": 1}}
    (folder / "config.json").write_text(json.dumps(config))
    stored = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    loaded = load(folder, head="by_name")
    ids = torch.randint(5, 60, (4, 9), generator=torch.Generator().manual_seed(0))
    loaded.model.eval()
    with torch.no_grad():
        theirs, ours = stored(input_ids=ids).logits, loaded.model(input_ids=ids).logits
    torch.testing.assert_close(ours, theirs.flip(1))
    with pytest.raises(ConfigError, match=r"model\.head: the classes of .* are yes, no"):
        load(folder, labels=("good", "bad"), head="by_name")


def test_matching_by_name_needs_a_head(tmp_path: Path) -> None:
    folder = save("Bert", tmp_path / "model")
    edit(folder, lambda t: [t.pop(n) for n in list(t) if "classifier" in n])
    with pytest.raises(ConfigError, match=r"model\.head"):
        load(folder, head="by_name")
    assert not any("head" in note for note in load(folder).notes)


def test_a_run_says_what_became_of_the_head(tmp_path: Path) -> None:
    run = make_run(save_model(tmp_path / "model"), tmp_path, "run", "method.name=fft")
    assert execute(run, raise_errors=True) == 0
    assert any("its head is not kept" in w["message"] for w in events(run, "warning"))


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def pickle_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def pickle_in_the_index(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    index = {"metadata": {}, "weight_map": {"bert.x": "pytorch_model.bin"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def part_missing(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"metadata": {}, "weight_map": {"bert.x": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:2000])


def not_numbers(folder: Path) -> None:
    edit(folder, lambda t: t["bert.embeddings.word_embeddings.weight"].fill_(float("nan")))


def adapter(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text("{}")


def own_method(folder: Path) -> None:
    (folder / "calisr_method.json").write_text("{}")


def unknown_activation(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"gelu"', '"gelu_of_tomorrow"'))


def pieces_only(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)
    (folder / "spm.model").write_bytes(b"x")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (broken_config, "config.json cannot be read"),
        (no_config, "no config.json"),
        (pickle_only, "pytorch_model.bin, a pickle, which is never loaded"),
        (pickle_in_the_index, "names pytorch_model.bin"),
        (part_missing, "lacks model-00002"),
        (cut, "cannot be loaded"),
        (not_numbers, "word_embeddings.weight .* not numbers"),
        (adapter, "holds an adapter"),
        (own_method, "changed the architecture"),
        (unknown_activation, "transformers knows no 'gelu_of_tomorrow'"),
        (pieces_only, "sentencepiece"),
    ],
)
def test_each_odd_folder_has_its_own_sentence(harm: Any, says: str, tmp_path: Path) -> None:
    folder = save("Bert", tmp_path / "model")
    harm(folder)
    with pytest.raises(CalisrError, match=says):
        load(folder)
