from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from calisr_engine.tasks import batches, token_cache
from calisr_engine.tasks.batches import Tokenized, collate, epoch_batches, evaluation_batches
from calisr_engine.tasks.examples import Examples

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d"]


def tokenizer(words: list[str] = WORDS, types: bool = True) -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    columns = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        unk_token="[UNK]",
        model_input_names=columns,
        model_max_length=16,
    )


PAIRS = Examples(("a b", "c", "a b c d a b"), ("d", "d d d", "a"), (1, 0, 1))


def lengths(count: int) -> list[int]:
    draw = random.Random(3)
    return [draw.randrange(3, 60) for _ in range(count)]


def test_every_row_comes_once_and_one_batch_is_smaller() -> None:
    found = epoch_batches(lengths(1003), 32, seed=1, epoch=0)
    assert sorted(row for batch in found for row in batch) == list(range(1003))
    sizes = sorted(len(batch) for batch in found)
    assert sizes == [1003 % 32] + [32] * (1003 // 32)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    size = lengths(300)
    first = epoch_batches(size, 16, 5, 2)
    torch.manual_seed(9)
    random.seed(9)
    epoch_batches(size, 16, 5, 3)
    assert epoch_batches(list(size), 16, 5, 2) == first
    assert epoch_batches(size, 16, 5, 3) != first
    assert epoch_batches(size, 16, 6, 2) != first


def test_the_order_is_the_same_on_every_machine() -> None:
    assert epoch_batches([5, 3, 9, 4, 7, 2, 8, 6], 3, seed=42, epoch=1) == [
        [2, 7, 1],
        [6, 3, 5],
        [4, 0],
    ]


def test_like_lengths_meet() -> None:
    size = lengths(4000)

    def padded(order: list[list[int]]) -> int:
        return sum(len(batch) * max(size[row] for row in batch) for batch in order)

    shuffled = list(range(4000))
    random.Random(0).shuffle(shuffled)
    plain = [shuffled[at : at + 32] for at in range(0, 4000, 32)]
    grouped = epoch_batches(size, 32, 0, 0)
    assert padded(grouped) < 1.1 * sum(size) < 0.8 * padded(plain)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 64])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_small_data_sets(count: int, batch_size: int) -> None:
    found = epoch_batches([1] * count, batch_size, 0, 0)
    assert sorted(row for batch in found for row in batch) == list(range(count))
    assert all(found)


def test_evaluation_order_can_be_restored() -> None:
    size = lengths(101)
    found = evaluation_batches(size, 8)
    result = torch.zeros(101)
    for rows in found:
        result[rows] = torch.tensor([float(size[row]) for row in rows])
    assert result.tolist() == size
    assert max(size) == size[found[0][0]]
    for order in (lambda: epoch_batches(size, 0, 0, 0), lambda: evaluation_batches(size, 0)):
        with pytest.raises(ValueError, match="a batch of 0 rows"):
            order()


@pytest.mark.parametrize("types", [True, False])
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_batch_is_what_the_tokenizer_itself_pads(types: bool, side: str, tmp_path: Path) -> None:
    coder = tokenizer(types=types)
    data = batches.tokenize(PAIRS, coder, 9, tmp_path)
    found = collate(data, [2, 0], pad_token_id=0, padding_side=side)
    assert PAIRS.text_pair is not None
    expected = coder(
        [PAIRS.text[2], PAIRS.text[0]],
        [PAIRS.text_pair[2], PAIRS.text_pair[0]],
        truncation=True,
        max_length=9,
        padding=True,
        padding_side=side,
        return_tensors="pt",
    )
    assert found.pop("labels").tolist() == [1, 1]
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
        assert found[name].dtype == torch.int64


def test_width_is_rounded_up(tmp_path: Path) -> None:
    data = batches.tokenize(PAIRS, tokenizer(), 16, tmp_path)
    assert collate(data, [0, 1], 0, multiple_of=8)["input_ids"].shape == (2, 8)


def test_labels_of_regression_are_floats_and_may_be_absent(tmp_path: Path) -> None:
    data = batches.tokenize(Examples(("a", "b"), None, (0.5, 2.0)), tokenizer(), 8, tmp_path)
    assert collate(data, [1], 0)["labels"].dtype == torch.float32
    bare = batches.tokenize(Examples(("a", "b")), tokenizer(), 8, tmp_path)
    assert "labels" not in collate(bare, [1], 0)


def test_the_tokenizers_own_limit_holds(tmp_path: Path) -> None:
    long = Examples(("a " * 50, "b"))
    data = batches.tokenize(long, tokenizer(), 128, tmp_path)
    assert data.lengths() == [16, 3]
    assert data.full == 1


def same(left: Tokenized, right: Tokenized) -> bool:
    return torch.equal(left.ids, right.ids) and torch.equal(left.offsets, right.offsets)


def test_the_cache_is_used_and_keyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = batches.tokenize(PAIRS, tokenizer(), 9, tmp_path)
    relabelled = Examples(PAIRS.text, PAIRS.text_pair, (0, 0, 0))
    with monkeypatch.context() as patch:
        patch.setattr(batches, "_tokenize", lambda *a: pytest.fail("tokenised again"))
        again = batches.tokenize(relabelled, tokenizer(), 9, tmp_path)
    assert same(first, again)
    assert again.labels is not None
    assert again.labels.tolist() == [0, 0, 0]
    other_words = tokenizer([*WORDS[:4], "d", "c", "b", "a"])
    assert not same(first, batches.tokenize(PAIRS, other_words, 9, tmp_path))
    batches.tokenize(PAIRS, tokenizer(), 7, tmp_path)
    batches.tokenize(Examples(("c", "a b", "d"), PAIRS.text_pair), tokenizer(), 9, tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 4
    assert not list(tmp_path.glob("*.tmp*"))


def test_use_of_a_tokenizer_does_not_change_its_fingerprint() -> None:
    coder = tokenizer()
    before = batches.tokenizer_fingerprint(coder)
    coder(["a b c"], truncation=True, max_length=4, padding="max_length")
    assert batches.tokenizer_fingerprint(coder) == before


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "noise", "folder"])
def test_a_damaged_cache_is_passed_over(damage: str, tmp_path: Path) -> None:
    first = batches.tokenize(PAIRS, tokenizer(), 9, tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    content = bytearray(path.read_bytes())
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        flipped = bytes([*content[:-1], content[-1] ^ 1])
        kinds = {"empty": b"", "cut": content[:-3], "flipped": flipped, "noise": b"\xff" * 99}
        path.write_bytes(kinds[damage])
    assert token_cache.load(tmp_path, path.stem, 3) is None
    assert same(batches.tokenize(PAIRS, tokenizer(), 9, tmp_path), first)
    if damage != "folder":
        assert token_cache.load(tmp_path, path.stem, 3) is not None


def test_a_cache_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    assert len(batches.tokenize(PAIRS, tokenizer(), 9, file / "tokens")) == 3
