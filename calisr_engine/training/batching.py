"""A run's tokenised data as batches on its device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from torch import Tensor

from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import ConfigError
from calisr_engine.models.packing import real_tokens
from calisr_engine.task_kinds import KINDS, OUTSIDE
from calisr_engine.tasks.batches import (
    Tokenized,
    collate,
    epoch_batches,
    evaluation_batches,
    tokenize,
)
from calisr_engine.tasks.data import TaskData
from calisr_engine.training.device import moved, works_beside
from calisr_engine.training.predict import Take
from calisr_engine.training.ranks import slice_of

SOME_UNKNOWN, MOST_UNKNOWN = 0.1, 0.5
"""Shares of unknown tokens in the training data that are noted, and refused."""

SURELY_NOT = -30.0
"""Logit of a class that a word is not of."""

AHEAD = 4
"""Micro-batches that are prepared for a GPU before they are asked for."""


class TaskBatches:
    """Training, validation and test batches of one run.

    Attributes:
        notes: what the user should know of inputs that were cut or are not understood.
        per_epoch: micro-batches in one pass over the training data.
        unseen: logits of a word that was cut, for `predict`.
        train_count, validation_count: examples.
        longest: tokens of the longest input.
    """

    def __init__(self, data: TaskData, tokenizer: Any, config: RunConfig) -> None:
        self._tokenizer = tokenizer
        self._seed = config.training.seed
        self._batch_size = config.training.batch_size
        self._eval_batch_size = config.training.eval_batch_size
        self._few_widths = config.training.compile
        self._packs = config.training.packing
        self.longest, self.notes = longest_input(tokenizer, config.task.max_length, data)
        self._data = data
        self._train = tokenize(data.train, tokenizer, self.longest)
        self.notes += _unknown(self._train, tokenizer)
        self._lengths, self._terms = self._train.lengths(), self._train.terms()
        _check_terms(self._train, self._terms)
        self.unseen = unseen_logits(data.kind, data.label_names)
        self._splits = {
            ("validation", name): tokenize(examples, tokenizer, self.longest)
            for name, examples in data.validation.items()
        }
        self._orders: dict[int, list[list[int]]] = {}
        self._ahead: dict[tuple[int, int], Future[dict[str, Tensor]]] = {}
        self._thread: ThreadPoolExecutor | None = None
        self.per_epoch = batches_in(len(self._train), self._batch_size)
        self.train_count = len(self._train)
        if self._train.words is not None:
            self.notes += _cut_words("training", self._train)
            for name, rows in self._splits.items():
                self.notes += _cut_words(name[1], rows)
        elif self._train.full:
            share = self._train.full / (len(self._train.offsets) - 1)
            what = "examples" if self._train.choices is None else "alternatives"
            self.notes.append(
                f"{self._train.full} training {what} ({share:.1%}) fill task.max_length = "
                f"{self.longest} tokens; most of them were cut"
            )
        self.validation_count = sum(len(rows) for rows in self._splits.values())

    def lengths(self) -> tuple[list[int], list[int]]:
        """Tokens of each row of training, and of the validation set with the longest row; of a row
        with alternatives of all of them, padded to the longest."""
        sides = [self._train, *self._splits.values()]
        train, *others = [[(rows.choices or 1) * n for n in rows.lengths()] for rows in sides]
        return train, max(others, key=lambda each: max(each, default=0))

    def validation_names(self) -> list[str]:
        return list(self._data.validation)

    def train(self, epoch: int, index: int, device: torch.device) -> dict[str, Tensor]:
        """Micro-batch `index` of `epoch` (both from 0)."""
        return moved(self._padded(self._order(epoch)[index]), device)

    def train_part(
        self, epoch: int, index: int, device: torch.device, rank: int, size: int
    ) -> tuple[dict[str, Tensor] | None, int]:
        """(rank's slice of a micro-batch, None if it is empty; examples in the whole of it).

        For a GPU the batches that follow are prepared meanwhile, in a thread.
        """
        rows = self._order(epoch)[index]
        own = slice_of(rows, rank, size)
        if not own:
            return None, len(rows)
        if not works_beside(device):
            return moved(self._padded(own), device), len(rows)
        return moved(self._prepared(epoch, index, device, rank, size), device), len(rows)

    def terms(self, epoch: int, index: int, rank: int, size: int) -> tuple[int, int]:
        """Of how many terms the loss of a micro-batch is the mean: (rank's slice of it, all)."""
        rows = self._order(epoch)[index]
        own = slice_of(rows, rank, size)
        return sum(self._terms[row] for row in own), sum(self._terms[row] for row in rows)

    def _prepared(
        self, epoch: int, index: int, device: torch.device, rank: int, size: int
    ) -> dict[str, Tensor]:
        """Rank's slice of a micro-batch in pinned memory; begins the next ones."""

        def prepare(rows: list[int]) -> dict[str, Tensor]:
            batch = self._padded(rows)
            return {key: value.pin_memory() for key, value in batch.items()}

        if self._thread is None:
            # A thread of its own would take the first GPU, whichever the run trains on.
            use = torch.get_device_module(device).set_device
            self._thread = ThreadPoolExecutor(1, "calisr-batches", use, (device,))
        number = epoch * self.per_epoch + index
        wanted = [divmod(each, self.per_epoch) for each in range(number, number + 1 + AHEAD)]
        for at in wanted:
            own = slice_of(self._order(at[0])[at[1]], rank, size)
            if at not in self._ahead and own:
                self._ahead[at] = self._thread.submit(prepare, own)
        self._ahead = {at: self._ahead[at] for at in wanted if at in self._ahead}
        return self._ahead[epoch, index].result()

    def _padded(self, rows: list[int]) -> dict[str, Tensor]:
        """A training batch on the CPU."""
        width = None
        if self._few_widths:
            width = wide_enough(max(self._lengths[row] for row in rows), self.longest)
        batch = padded(self._train, rows, self._tokenizer, width)
        return batch | real_tokens(batch) if self._packs else batch

    def _order(self, epoch: int) -> list[list[int]]:
        if epoch not in self._orders:
            order = epoch_batches(self._lengths, self._batch_size, self._seed, epoch)
            assert len(order) == self.per_epoch, "the number of batches must not depend on epochs"
            self._orders = {e: known for e, known in self._orders.items() if e == epoch - 1}
            self._orders[epoch] = order
        return self._orders[epoch]

    def fixed_order(self, device: torch.device, limit: int | None) -> Iterator[dict[str, Tensor]]:
        """Training batches of the first `limit` examples or of all, in the order of the data."""
        count = min(limit or self.train_count, self.train_count)
        for start in range(0, count, self._batch_size):
            rows = list(range(start, min(start + self._batch_size, count)))
            yield moved(padded(self._train, rows, self._tokenizer), device)

    def of_training(
        self, chosen: Sequence[int], rank: int = 0, size: int = 1
    ) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
        """(places in `chosen`, tensors on the CPU) of rank's batches of these training examples."""
        lengths = [self._lengths[row] for row in chosen]
        for places in evaluation_batches(lengths, self._eval_batch_size)[rank::size]:
            yield places, padded(self._train, [chosen[place] for place in places], self._tokenizer)

    def evaluation(
        self, split: str, name: str, rank: int = 0, size: int = 1
    ) -> tuple[Iterator[tuple[list[int], dict[str, Tensor]]], int, Take | None]:
        """Of one set: (rank's batches of (row numbers, tensors) on the CPU, answers of all ranks,
        what is an answer in a batch's logits)."""
        key = (split, name)
        if key not in self._splits:
            self._splits[key] = tokenize(self._data.test[name], self._tokenizer, self.longest)
        rows = self._splits[key]
        order = evaluation_batches(rows.lengths(), self._eval_batch_size)[rank::size]
        batches = evaluation_stream(rows, self._tokenizer, order)
        return batches, rows.answers, taking(rows, self._tokenizer)


def wide_enough(tokens: int, longest: int) -> int:
    """The width of a batch whose longest row has so many tokens, where widths shall be few.

    Multiples of 8 up to 32, then two steps to each doubling (48, 64, 96, 128, ...); never more than
    `longest`.
    """
    step = 8
    while tokens > 4 * step:
        step *= 2
    return min(-(-tokens // step) * step, longest)


def batches_in(rows: int, batch_size: int) -> int:
    """Micro-batches in one pass over so many rows; the last may be smaller."""
    return -(-rows // batch_size)


def longest_input(tokenizer: Any, wanted: int, data: TaskData) -> tuple[int, list[str]]:
    """Longest input in tokens, and a note where it is shorter than `wanted`.

    Raises:
        ConfigError: the model takes so few that nothing of a text is left.
    """
    room = int(tokenizer.model_max_length)
    pair = data.train.text_pair is not None or data.train.choices is not None
    own = tokenizer.num_special_tokens_to_add(pair=pair)
    if room <= own:
        raise ConfigError(
            f"model.name: the model takes at most {room} tokens, and its tokenizer adds {own} of "
            "its own, so nothing of a text is left",
            "mend max_position_embeddings in config.json or model_max_length in "
            "tokenizer_config.json",
        )
    if room >= wanted:
        return wanted, []
    return room, [
        f"the model takes at most {room} tokens, so task.max_length = {wanted} is lowered to that"
    ]


def _unknown(data: Tokenized, tokenizer: Any) -> list[str]:
    """A note where many tokens are unknown to the tokenizer.

    Raises:
        ConfigError: most of them are: the model would see lengths, not texts.
    """
    unknown = tokenizer.unk_token_id
    if unknown is None:
        return []
    special = torch.tensor([each for each in tokenizer.all_special_ids if each != unknown])
    count = int((data.ids == unknown).sum())
    words = len(data.ids) - int(torch.isin(data.ids, special).sum())
    share = count / max(1, words)
    said = f"{share:.0%} of the training tokens are {tokenizer.unk_token}, unknown to the tokenizer"
    if share > MOST_UNKNOWN:
        raise ConfigError(
            f"model.name: {said}",
            "use a model of the language and the writing of these texts, with its own tokenizer",
        )
    return [said] if share > SOME_UNKNOWN else []


def evaluation_stream(
    data: Tokenized, tokenizer: Any, order: Sequence[list[int]]
) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
    """(row numbers, tensors on the CPU) of each batch."""
    return ((rows, padded(data, rows, tokenizer)) for rows in order)


def _cut_words(name: str, data: Tokenized) -> list[str]:
    """A note where words have no token: beyond the longest input, or made of nothing."""
    assert data.words is not None
    cut = data.answers - int((data.words >= 0).sum())
    if not cut:
        return []
    what = "nothing is learned of them" if name == "training" else f"they count as {OUTSIDE}"
    return [
        f"{cut:,} of {data.answers:,} {name} words have no token, as they stand beyond "
        f"task.max_length tokens; {what}"
    ]


def taking(data: Tokenized, tokenizer: Any) -> Take | None:
    """What is an answer in the logits of a batch, for `predict`; None where each row has one."""
    if data.words is None:
        return None
    return partial(data.take, padding_side=tokenizer.padding_side)


def unseen_logits(kind: str, names: Sequence[str] | None) -> list[float] | None:
    """Logits of a word that was cut: outside of all entities, where there is such a tag."""
    if not KINDS[kind].per_word or names is None:
        return None
    return [0.0 if name == OUTSIDE else SURELY_NOT for name in names] if OUTSIDE in names else None


def _check_terms(train: Tokenized, terms: Sequence[int]) -> None:
    """Refuse training data of which the tokenizer leaves no word.

    Raises:
        ConfigError: there is nothing that a loss could be of.
    """
    if train.words is not None and not sum(terms):
        raise ConfigError(
            "model.name: the tokenizer makes no token of any word of the training data",
            "use a model of the language and the writing of these texts, with its own tokenizer",
        )


def padded(
    data: Tokenized,
    rows: list[int],
    tokenizer: Any,
    width: int | None = None,
) -> dict[str, Tensor]:
    """One batch on the CPU, padded as the tokenizer pads, to its longest row or to `width`."""
    return collate(
        data,
        rows,
        tokenizer.pad_token_id,
        getattr(tokenizer, "pad_token_type_id", 0),
        tokenizer.padding_side,
        width=width,
    )
