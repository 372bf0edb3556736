"""What is said of inputs, and which batches a pass in the data's order reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from calisr_engine.config.load import load
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import ConfigError
from calisr_engine.tasks.data import load_task
from calisr_engine.training.batching import TaskBatches
from tests.training.tiny_run import LETTERS


def tokenizer(without: str, longest: int = 64) -> PreTrainedTokenizerFast:
    """Letters but `without`; a word that has one of those is one [UNK], the last of all ids."""
    letters = [letter for letter in LETTERS if letter not in without]
    words = [*letters, *(f"##{each}" for each in letters), "[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    ids = {word: i for i, word in enumerate(words)}
    inner = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=longest,
    )


def settings() -> RunConfig:
    sets = ["task.name=demo", "task.max_train_examples=50", "task.max_validation_examples=9"]
    return load(None, [*sets, "task.max_length=64", "training.batch_size=16"]).config


@pytest.fixture
def batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CALISR_CACHE_DIR", str(tmp_path))
    config = settings()
    data = load_task(config.task)

    def made(*given) -> tuple[TaskBatches, list[str]]:
        return TaskBatches(data, tokenizer(*given), config), list(data.train.text)

    return made


@pytest.mark.parametrize("without", ["", "r", "t", "e", "aeo"])
def test_the_share_of_unknown_tokens_is_that_of_the_texts(batches, without: str) -> None:
    """Noted above a tenth, refused above a half; special tokens count for nothing."""
    known = set(LETTERS) - set(without)
    tokens = unknown = 0
    for text in load_task(settings().task).train.text:
        for word in re.findall(r"\w+|[^\w\s]+", text):
            strange = not set(word) <= known
            unknown += strange
            tokens += 1 if strange else len(word)
    share = unknown / tokens
    said = f"{share:.0%} of the training tokens are [UNK]"
    if share > 0.5:
        with pytest.raises(ConfigError, match=re.escape(said)):
            batches(without)
        return
    notes = [note for note in batches(without)[0].notes if "unknown" in note]
    assert notes == ([f"{said}, unknown to the tokenizer"] if share > 0.1 else [])


@pytest.mark.parametrize(("limit", "sizes"), [(None, [16, 16, 16, 2]), (20, [16, 4]), (16, [16])])
def test_a_pass_reads_the_first_examples_in_their_order(
    batches, limit: int | None, sizes: list[int]
) -> None:
    found, texts = batches("")
    read = list(found.fixed_order(torch.device("cpu"), limit))
    assert [len(batch["labels"]) for batch in read] == sizes
    own = tokenizer("")
    rows = [row for batch in read for row in batch["input_ids"].tolist()]
    expected = [own(text)["input_ids"] for text in texts]
    pad = own.pad_token_id
    assert [[i for i in row if i != pad] for row in rows] == expected[: sum(sizes)]


def test_inputs_that_are_cut_are_told(batches) -> None:
    found, texts = batches("", 12)
    room, full = (note for note in found.notes if "unknown" not in note)
    assert room.startswith("the model takes at most 12 tokens, so task.max_length = 64 is lowered")
    own = tokenizer("", 10**6)
    longer = sum(len(own(text)["input_ids"]) >= 12 for text in texts)
    assert full.startswith(f"{longer} training examples ({longer / 50:.1%}) fill task.max_length")
