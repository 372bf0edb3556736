"""What a checkpoint's file lacks, or holds in vain, is refused or noted by name."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import save
from torch import Tensor

from calisr_engine.errors import ConfigError, UnavailableError
from calisr_engine.models.architectures import DECODERS
from calisr_engine.models.load import LoadedModel
from tests.models.folders import (
    WEIGHTS,
    edit,
    every_architecture,
    is_body,
    load,
    own_weights,
    set_config,
    stored,
    strip_head,
)
from tests.models.folders import save as save_folder


@contextmanager
def hurt_copy(folder: Path, change: Any) -> Iterator[Path]:
    copy = Path(shutil.copytree(folder, folder.with_name("hurt")))
    edit(copy, change)
    yield copy
    shutil.rmtree(copy)


def some_of_the_body(folder: Path, seed: str, count: int = 6) -> list[str]:
    names = [name for name in sorted(stored(folder)) if is_body(name)]
    return random.Random(seed).sample(names, count)


def of_weights(loaded: LoadedModel) -> list[str]:
    """The notes but for those on BigBird's attention and on a decoder's tokenizer."""
    other = ("attends in full", "the tokenizer ")
    return [note for note in loaded.notes if not any(words in note for words in other)]


@every_architecture
def test_a_checkpoint_without_a_head_loads_as_transformers_loads_it(
    kind: str, tmp_path: Path
) -> None:
    """To the bit, the drawn head included: the reference is drawn after the same seed."""
    folder = save_folder(kind, tmp_path / "model", form="")
    loaded = load(folder, seed=5)
    torch.manual_seed(5)
    auto = transformers.AutoModelForSequenceClassification
    theirs = auto.from_pretrained(folder, num_labels=2).state_dict()
    ours = own_weights(loaded)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not [note for note in of_weights(loaded) if "pooler" not in note]


@every_architecture
def test_a_missing_weight_of_the_body_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    folder = save_folder(kind, tmp_path / "model")
    for name in some_of_the_body(folder, kind):
        with (
            hurt_copy(folder, lambda t, name=name: t.pop(name)) as hurt,
            pytest.raises(ConfigError) as caught,
        ):
            load(hurt)
        assert name in caught.value.message


@every_architecture
def test_a_renamed_weight_is_not_drawn_at_random(kind: str, tmp_path: Path) -> None:
    folder = save_folder(kind, tmp_path / "model")
    for name in some_of_the_body(folder, f"{kind} renamed"):
        other = name.replace(".weight", ".kernel").replace(".bias", ".shift")

        def rename(t: dict[str, Tensor], name: str = name, other: str = other) -> None:
            t[other] = t.pop(name)

        with hurt_copy(folder, rename) as hurt, pytest.raises(ConfigError) as caught:
            load(hurt)
        assert name in caught.value.message
        # transformers says nothing of a table of positions, which a DeBERTa may hold in vain.
        assert other in caught.value.message or "position_embeddings" in other


@every_architecture
def test_a_prefix_before_every_name_is_refused(kind: str, tmp_path: Path) -> None:
    """As torch's DataParallel saves."""
    folder = save_folder(kind, tmp_path / "model")

    def prefix(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            tensors[f"module.{name}"] = tensors.pop(name)

    edit(folder, prefix)
    with pytest.raises(ConfigError, match=r"do not fit its config\.json: .*module\."):
        load(folder)


@every_architecture
def test_a_weight_of_another_shape_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    folder = save_folder(kind, tmp_path / "model")
    for name in some_of_the_body(folder, f"{kind} shape", 3):

        def widen(t: dict[str, Tensor], name: str = name) -> None:
            t[name] = torch.cat([t[name], t[name][:1]])

        with hurt_copy(folder, widen) as hurt, pytest.raises(ConfigError) as caught:
            load(hurt)
        assert name in caught.value.message
        assert "another shape" in caught.value.message


@every_architecture
def test_weights_inside_the_encoder_without_a_place_are_refused(kind: str, tmp_path: Path) -> None:
    """Such as those of relative positions: without them it is another model."""
    folder = save_folder(kind, tmp_path / "model")
    first = some_of_the_body(folder, kind, 1)[0]
    prefix = first.split(".", 1)[0]
    name = f"{prefix}.encoder.layer.0.attention.self.distance_embedding.weight"
    edit(folder, lambda tensors: tensors.update({name: torch.ones(5, 8)}))
    with pytest.raises(ConfigError, match=r"inside the encoder.*distance_embedding"):
        load(folder)


@every_architecture
def test_surplus_layers_are_noted(kind: str, tmp_path: Path) -> None:
    deep = {"n_layers": 3} if kind == "distilbert" else {"num_hidden_layers": 3}
    if kind == "albert":
        deep = {"num_hidden_groups": 3, "num_hidden_layers": 3}
    folder = save_folder(kind, tmp_path / "model", **deep)
    lists: dict[str, Any] = {}
    if kind == "modernbert":  # transformers itself refuses a list of another length
        lists["layer_types"] = ["full_attention", "sliding_attention"]
    if "layer_types" in json.loads((folder / "config.json").read_text()) and kind in DECODERS:
        lists["layer_types"] = ["full_attention"] * 2
    if kind == "longformer":
        lists["attention_window"] = [8, 8]
    set_config(folder, **dict.fromkeys(deep, 2), **lists)
    notes = [note for note in load(folder).notes if "layers beyond" in note]
    assert len(notes) == 1
    assert ".2." in notes[0]


@every_architecture
def test_heads_of_pretraining_go_without_a_word_and_a_missing_pooler_is_noted(
    kind: str, tmp_path: Path
) -> None:
    folder = save_folder(
        kind, tmp_path / "model", form="CausalLM" if kind in DECODERS else "MaskedLM"
    )
    loaded = load(folder)
    poolers = {name for name in loaded.model.state_dict() if "pooler." in name}
    assert len(of_weights(loaded)) == bool(poolers - set(stored(folder)))
    assert all("no pooler in its weights" in note for note in of_weights(loaded))


def test_weights_of_nobody_are_noted(tmp_path: Path) -> None:
    folder = save_folder("bert", tmp_path / "model")
    edit(folder, lambda tensors: tensors.update({"ema.decay": torch.ones(1)}))
    assert any("does not use: ema.decay" in note for note in load(folder).notes)


def test_a_table_saved_under_its_tied_name_alone_is_refused(tmp_path: Path) -> None:
    folder = save_folder("bert", tmp_path / "model", form="MaskedLM")

    def tie(tensors: dict[str, Tensor]) -> None:
        table = tensors.pop("bert.embeddings.word_embeddings.weight")
        tensors["cls.predictions.decoder.weight"] = table

    edit(folder, tie)
    with pytest.raises(ConfigError, match="word_embeddings"):
        load(folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@every_architecture
def test_other_floats_are_noted_and_trained_as_float32(
    kind: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    folder = save_folder(kind, tmp_path / "model")
    edit(folder, lambda t: t.update({name: tensor.to(dtype) for name, tensor in t.items()}))
    loaded = load(folder)
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    own = own_weights(loaded)
    for name, tensor in stored(folder).items():
        assert not is_body(name) or torch.equal(own[name], tensor.float())
    assert any(str(dtype).removeprefix("torch.") in note for note in loaded.notes)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.float8_e4m3fn])
def test_quantised_weights_are_refused_by_name(dtype: torch.dtype, tmp_path: Path) -> None:
    folder = save_folder("bert", tmp_path / "model")
    name = "bert.encoder.layer.1.output.dense.weight"
    edit(folder, lambda tensors: tensors.update({name: tensors[name].to(dtype)}))
    with pytest.raises(ConfigError, match=name):
        load(folder)


def test_old_checkpoints_keep_their_numbered_positions(tmp_path: Path) -> None:
    folder = save_folder("bert", tmp_path / "model")
    positions = {"bert.embeddings.position_ids": torch.arange(40)[None]}
    edit(folder, lambda tensors: tensors.update(positions))
    assert all("fine-tuned before" in note for note in load(folder).notes)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@every_architecture
def test_a_weight_that_is_no_number_is_refused_by_name(
    kind: str, value: float, tmp_path: Path
) -> None:
    folder = save_folder(kind, tmp_path / "model")
    name = some_of_the_body(folder, f"{kind} {value}", 1)[0]
    edit(folder, lambda tensors: tensors[name].view(-1)[-1:].fill_(value))
    with pytest.raises(ConfigError, match="not numbers") as caught:
        load(folder)
    assert name in caught.value.message


def test_a_head_that_is_not_used_may_hold_anything(tmp_path: Path) -> None:
    folder = save_folder("bert", tmp_path / "model")
    edit(folder, lambda tensors: tensors["classifier.weight"].fill_(float("nan")))
    load(folder)


def test_whoever_writes_to_the_file_later_changes_no_weight(tmp_path: Path) -> None:
    """Tensors of safetensors are windows on the file; a frozen base would follow it."""
    folder = save_folder("bert", tmp_path / "model")
    loaded = load(folder)
    before = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    zeros = save({name: torch.zeros_like(tensor) for name, tensor in stored(folder).items()})
    with open(folder / WEIGHTS, "r+b") as file:
        file.write(zeros)
    after = loaded.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@every_architecture
def test_a_file_cut_anywhere_is_refused(kind: str, tmp_path: Path) -> None:
    folder = save_folder(kind, tmp_path / "model")
    strip_head(folder)
    whole = (folder / WEIGHTS).read_bytes()
    draw = random.Random(kind)
    for length in [0, 1, 8, len(whole) - 1, *(draw.randrange(len(whole)) for _ in range(6))]:
        (folder / WEIGHTS).write_bytes(whole[:length])
        with pytest.raises(UnavailableError, match=WEIGHTS):
            load(folder)
