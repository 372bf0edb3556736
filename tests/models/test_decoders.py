"""Decoders as classifiers: the last token of a text is read, whatever pads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from calisr_engine.errors import ConfigError
from calisr_engine.models.load import load_model
from calisr_engine.models.settings import ModelSettings
from calisr_engine.tasks.batches import collate, tokenize
from calisr_engine.tasks.examples import Examples
from tests.models.folders import load, save, set_config

TEXTS = ["a cat sat.", "", "dogs", "no one knows what it was about, or why"]


def logits(folder: Path, texts: list[str], together: bool) -> torch.Tensor:
    """Of our model and batches, all texts at once or each for itself."""
    loaded = load(folder)
    rows = tokenize(Examples(text=texts), loaded.tokenizer, 64, keep=False)
    groups = [range(len(texts))] if together else [[row] for row in range(len(texts))]
    with torch.no_grad():
        return torch.cat(
            [
                loaded.model.eval()(**collate(rows, group, loaded.tokenizer.pad_token_id)).logits
                for group in groups
            ]
        )


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma3_text"])
def test_padding_changes_no_answer(kind: str, tmp_path: Path) -> None:
    folder = save(kind, tmp_path / "model")
    torch.testing.assert_close(logits(folder, TEXTS, True), logits(folder, TEXTS, False))


def test_plain_transformers_reads_the_same_token_of_an_export(tmp_path: Path) -> None:
    folder = save("llama", tmp_path / "model")
    loaded = load(folder)
    loaded.model.save_pretrained(tmp_path / "out")
    loaded.tokenizer.save_pretrained(tmp_path / "out")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    texts = [text for text in TEXTS if text]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(model(**batch).logits, logits(folder, texts, True))


def test_the_models_own_padding_token_comes_before_the_one_that_ends_a_text(
    tmp_path: Path,
) -> None:
    folder = save("llama", tmp_path / "model")
    notes = load(folder).notes
    assert "the tokenizer has no padding token; <|end|> pads" in notes
    set_config(folder, pad_token_id=1)
    loaded = load(folder)
    assert "the tokenizer has no padding token; Ġ pads" in loaded.notes
    assert loaded.model.config.pad_token_id == loaded.tokenizer.pad_token_id == 1  # type: ignore[union-attr]


def test_a_tokenizer_that_can_pad_with_nothing_is_refused(tmp_path: Path) -> None:
    folder = save("llama", tmp_path / "model")
    file = folder / "tokenizer_config.json"
    content = json.loads(file.read_text())
    content.pop("eos_token")
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="no padding token, and none that ends a text"):
        load(folder)


def test_a_pair_without_anything_between_is_told(tmp_path: Path) -> None:
    folder = save("llama", tmp_path / "model")
    said = "puts nothing between the two texts of a pair"
    assert any(said in note for note in load(folder).notes)
    plain = save("bert", tmp_path / "bert")
    for file in plain.glob("tokenizer*"):
        (folder / file.name).write_bytes(file.read_bytes())
    assert not any(said in note for note in load(folder).notes)


def test_a_check_before_a_run_builds_the_same_model(tmp_path: Path) -> None:
    folder = save("qwen2", tmp_path / "model")
    settings = ModelSettings(name=str(folder))
    checked = load_model(settings, 2, "classification", 1, ("no", "yes"), headers_only=True)
    names = dict(checked.model.named_parameters())
    assert names.keys() == dict(load(folder).model.named_parameters()).keys()
    assert all(each.is_meta for each in names.values())
