"""Tokenising once, the order of batches, and padding a batch to its longest row.

The orders are pure functions of the lengths, the seed and the epoch, so a run that stopped at batch
k of epoch e goes on with exactly the batches that it would have had.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from calisr_engine.errors import ConfigError
from calisr_engine.tasks import token_cache
from calisr_engine.tasks.examples import Examples

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MEGA_BATCHES = 50
"""Batches in each pool of rows that is sorted by length."""

CHUNK = 2000

IGNORED = -100
"""The label of a token that has none; the loss passes it over."""


@dataclass(frozen=True)
class Tokenized:
    """Token ids of all rows, end to end.

    Attributes:
        ids: int32, shape (tokens of all rows,).
        offsets: int64, shape (rows + 1,); row i is ids[offsets[i]:offsets[i + 1]].
        types: uint8, like ids; None where the tokenizer gives no token types.
        labels: int64 or float32, shape (rows,); float32, shape (rows, classes) for several labels;
            int64, like ids, where each word has one: at its first token, `IGNORED` elsewhere. None
            without labels.
        full: rows that fill the longest input, most of which were cut to fit.
        words: int32, like ids: at the first token of a word its number in all rows together, -1
            elsewhere; None where the whole text has the answer.
        answers: how many answers a model gives: one a row, or one a word.
        choices: alternatives of each row, which is so many inputs one after the other; `ids`,
            `offsets`, `types` and `full` are of inputs then. None where a row is one input.
    """

    ids: Tensor
    offsets: Tensor
    types: Tensor | None
    labels: Tensor | None
    full: int = 0
    words: Tensor | None = None
    answers: int = 0
    choices: int | None = None

    def __len__(self) -> int:
        return (len(self.offsets) - 1) // (self.choices or 1)

    def terms(self) -> list[int]:
        """Of how many terms the loss of each row is the mean: one, or its words with a label."""
        if self.words is None or self.labels is None:
            return [1] * len(self)
        there = torch.zeros(len(self.ids) + 1, dtype=torch.int64)
        there[1:] = (self.labels != IGNORED).cumsum(0)
        return (there[self.offsets[1:]] - there[self.offsets[:-1]]).tolist()

    def take(
        self, rows: Sequence[int], logits: Tensor, padding_side: str = "right"
    ) -> tuple[list[int], Tensor]:
        """(numbers of answers, their logits of shape (answers, classes)) from those of a batch.

        Args:
            rows: of the batch.
            logits: shape (rows, outputs), or (rows, width, classes) where each word has an answer.
        """
        if self.words is None:
            return list(rows), logits
        numbers, lines, columns = [], [], []
        width = logits.shape[1]
        for line, row in enumerate(rows):
            start, end = int(self.offsets[row]), int(self.offsets[row + 1])
            words = self.words[start:end]
            own = torch.nonzero(words >= 0).flatten()
            numbers.append(words[own].long())
            columns.append(own + (width - (end - start) if padding_side == "left" else 0))
            lines.append(torch.full_like(own, line))
        at = [torch.cat(each).to(logits.device) for each in (lines, columns)]
        return torch.cat(numbers).tolist(), logits[at[0], at[1]]

    def lengths(self) -> list[int]:
        """Tokens in each row, or in its longest alternative."""
        own = self.offsets[1:] - self.offsets[:-1]
        return (own if self.choices is None else own.view(-1, self.choices).amax(1)).tolist()


def tokenize(
    examples: Examples,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    cache_dir: Path | None = None,
    keep: bool = True,
) -> Tokenized:
    """Token ids of every row, cut to `max_length` (or to what the tokenizer's model can take).

    Kept in a cache by content, tokenizer and length. A cache that is damaged or cannot be written
    is passed over: it can cost time, never a run.

    Args:
        cache_dir: where to keep it; None takes `token_cache.default_dir()`.
        keep: whether there is a cache at all; texts that come once need none.
    """
    longest = effective_max_length(tokenizer, max_length)
    inputs = examples.inputs()
    tensors = (
        _kept(inputs, tokenizer, longest, cache_dir)
        if keep
        else _tokenize(inputs, tokenizer, longest)
    )
    return Tokenized(
        ids=tensors["ids"],
        offsets=tensors["offsets"],
        types=tensors.get("types"),
        labels=_labels(examples, tensors.get("words")),
        full=int(tensors["full"]),
        words=tensors.get("words"),
        answers=examples.answers,
        choices=None if examples.choices is None else len(examples.choices[0]),
    )


def _labels(examples: Examples, words: Tensor | None) -> Tensor | None:
    if examples.label is None:
        return None
    if words is not None:
        flat = [tag for row in examples.label if isinstance(row, tuple) for tag in row]
        own = torch.tensor([*flat, IGNORED], dtype=torch.int64)  # -1 is the last
        return own[words.long()]
    real = any(isinstance(label, float | tuple) for label in examples.label)
    return torch.tensor(examples.label, dtype=torch.float32 if real else torch.int64)


def _kept(
    examples: Examples, tokenizer: PreTrainedTokenizerBase, longest: int, cache_dir: Path | None
) -> dict[str, Tensor]:
    key = hashlib.sha256(
        json.dumps(
            [examples.text_fingerprint(), tokenizer_fingerprint(tokenizer), longest]
        ).encode()
    ).hexdigest()
    folder = token_cache.default_dir() if cache_dir is None else cache_dir
    tensors = token_cache.load(folder, key, len(examples))
    if tensors is None:
        tensors = _tokenize(examples, tokenizer, longest)
        token_cache.store(folder, key, tensors)
    return tensors


def _tokenize(
    examples: Examples, tokenizer: PreTrainedTokenizerBase, longest: int
) -> dict[str, Tensor]:
    with _left_as_found(tokenizer):
        return _tokens(examples, tokenizer, longest)


def _tokens(
    examples: Examples, tokenizer: PreTrainedTokenizerBase, longest: int
) -> dict[str, Tensor]:
    ids: list[np.ndarray] = []
    types: list[np.ndarray] = []
    words: list[np.ndarray] = []
    lengths: list[int] = []
    full = before = 0
    if examples.words is not None:
        check_words(tokenizer)
    for start in range(0, len(examples), CHUNK):
        part = slice(start, start + CHUNK)
        pair = None if examples.text_pair is None else list(examples.text_pair[part])
        split = examples.words is not None
        texts: Any = examples.words if examples.words is not None else examples.text
        coded: Any = tokenizer(
            list(map(list, texts[part])) if split else list(texts[part]),
            pair,
            is_split_into_words=split,
            truncation="longest_first",
            max_length=longest,
            padding=False,
            return_attention_mask=False,
            return_overflowing_tokens=False,
            verbose=False,
        )
        # A decoder's tokenizer may add nothing, so that an empty text has no token to be read.
        rows = [row or [tokenizer.pad_token_id] for row in coded["input_ids"]]
        lengths += [len(row) for row in rows]
        full += sum(len(row) >= longest for row in rows)
        ids.append(_flat(rows, np.int32))
        if "token_type_ids" in coded:
            types.append(_flat([row or [0] for row in coded["token_type_ids"]], np.uint8))
        if split:
            numbered = []
            for row, own in enumerate(texts[part]):
                numbered.append(_first_tokens(coded.word_ids(row), before) or [-1])
                before += len(own)
            words.append(_flat(numbered, np.int32))
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    tensors = {
        "ids": torch.from_numpy(np.concatenate(ids)),
        "offsets": torch.from_numpy(offsets),
        "full": torch.tensor(full),
    }
    if types:
        tensors["types"] = torch.from_numpy(np.concatenate(types))
    if words:
        tensors["words"] = torch.from_numpy(np.concatenate(words))
    return tensors


def check_words(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that does not tell which word a token is of.

    Raises:
        ConfigError: it is none of the library `tokenizers`.
    """
    if not tokenizer.is_fast:
        raise ConfigError(
            "model.name: its tokenizer does not tell which word a token is of, so words cannot be "
            "tagged",
            "use a model with a tokenizer.json",
        )


def _first_tokens(words: Sequence[int | None], before: int) -> list[int]:
    """The number of each token's word where it is the first of it, -1 elsewhere."""
    found, last = [], None
    for word in words:
        first = word is not None and word != last
        found.append(before + word if first and word is not None else -1)
        last = word if word is not None else last
    return found


@contextlib.contextmanager
def _left_as_found(tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    """Each call leaves its truncation and padding in a fast tokenizer, and they would be exported:
    only from runs that found nothing in the cache."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        yield
        return
    truncation, padding = backend.truncation, backend.padding
    try:
        yield
    finally:
        if truncation is None:
            backend.no_truncation()
        else:
            backend.enable_truncation(**truncation)
        if padding is None:
            backend.no_padding()
        else:
            backend.enable_padding(**padding)


def _flat(rows: Sequence[Sequence[int]], dtype: Any) -> np.ndarray:
    return np.fromiter((value for row in rows for value in row), dtype=dtype)


def effective_max_length(tokenizer: PreTrainedTokenizerBase, max_length: int) -> int:
    """`max_length`, or less where the tokenizer says that its model takes less."""
    own = getattr(tokenizer, "model_max_length", None)
    return min(max_length, int(own)) if own and own < 10**6 else max_length


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """sha256 of what decides the token ids: vocabulary, rules, special tokens, which columns."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        rules = json.loads(backend.to_str())
        # Both are set by each call anew.
        rules.pop("truncation", None)
        rules.pop("padding", None)
    else:
        import transformers

        rules = [
            transformers.__version__,
            sorted(tokenizer.get_vocab().items()),
            {k: repr(v) for k, v in sorted(tokenizer.init_kwargs.items())},
        ]
    facts = [
        type(tokenizer).__name__,
        rules,
        tokenizer.truncation_side,
        list(tokenizer.model_input_names),
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def epoch_batches(
    lengths: Sequence[int], batch_size: int, seed: int, epoch: int
) -> list[list[int]]:
    """Row numbers of each training batch of an epoch.

    Rows are shuffled, cut into pools of up to `MEGA_BATCHES` batches, sorted by length within each
    pool, cut into batches, and the batches shuffled. So rows of like length meet, and little is
    padded. Every row comes once; one batch is smaller where the rows do not divide evenly.

    The same arguments give the same batches on every machine: the numbers come from MT19937 as in
    numpy's RandomState, whose stream is frozen.
    """
    if batch_size < 1:
        raise ValueError(f"a batch of {batch_size} rows")
    draw = np.random.RandomState(_seed_words(seed, epoch))
    size = np.asarray(lengths, dtype=np.int64)
    order = draw.permutation(len(size))
    # At least four pools, or small data sets would be sorted as a whole.
    pool = batch_size * max(1, min(MEGA_BATCHES, len(size) // (4 * batch_size)))
    batches: list[list[int]] = []
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        rows = rows[np.argsort(-size[rows], kind="stable")]
        batches += [rows[at : at + batch_size].tolist() for at in range(0, len(rows), batch_size)]
    return [batches[position] for position in draw.permutation(len(batches))]


def _seed_words(seed: int, epoch: int) -> np.ndarray:
    digest = hashlib.sha256(f"calisr epoch {seed} {epoch}".encode()).digest()
    return np.frombuffer(digest, dtype="<u4")


def evaluation_batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Row numbers of each evaluation batch, longest rows first (so memory runs out at once or not).

    The row numbers restore the order: `result[rows] = outputs`.
    """
    if batch_size < 1:
        raise ValueError(f"a batch of {batch_size} rows")
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def collate(
    data: Tokenized,
    rows: Sequence[int],
    pad_token_id: int,
    pad_type_id: int = 0,
    padding_side: str = "right",
    multiple_of: int = 1,
    width: int | None = None,
) -> dict[str, Tensor]:
    """One batch, padded to its longest row.

    Args:
        multiple_of: round the width up to a multiple of this (8 helps tensor cores).
        width: or pad to this, which no row is longer than.

    Returns:
        `input_ids` and `attention_mask`, int64, shape (rows, width), or (rows, alternatives,
        width); `token_type_ids`, the same, where the tokenizer gives them; `labels`, where known:
        int64 or float32, shape (rows,), (rows, classes), or (rows, width) where each word has one.
    """
    index = own = torch.as_tensor(rows, dtype=torch.int64)
    if data.choices is not None:
        own = (index.unsqueeze(1) * data.choices + torch.arange(data.choices)).flatten()
    starts = data.offsets[own]
    lengths = data.offsets[own + 1] - starts
    if width is None:
        width = -(-int(lengths.max()) // multiple_of) * multiple_of
    column = torch.arange(width).unsqueeze(0)
    if padding_side == "left":
        column = column - (width - lengths).unsqueeze(1)
    inside = (column >= 0) & (column < lengths.unsqueeze(1))
    source = (starts.unsqueeze(1) + column).masked_fill_(~inside, 0)
    batch = {
        "input_ids": data.ids[source].long().masked_fill_(~inside, pad_token_id),
        "attention_mask": inside.long(),
    }
    if data.types is not None:
        batch["token_type_ids"] = data.types[source].long().masked_fill_(~inside, pad_type_id)
    if data.choices is not None:
        batch = {name: each.view(len(rows), data.choices, -1) for name, each in batch.items()}
    if data.labels is not None and data.words is not None:
        batch["labels"] = data.labels[source].masked_fill_(~inside, IGNORED)
    elif data.labels is not None:
        batch["labels"] = data.labels[index]
    return batch
