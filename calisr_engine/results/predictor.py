"""The best model of a run, asked about new texts.

from calisr_engine.results.predictor import Predictor
predictor = Predictor(Path("runs/my-run"))
for found in predictor.predict(["A fine day.", "The rain in vain."]):
    print(found.prediction, found.probabilities)
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from calisr_engine.config.load import from_resolved
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import CalisrError, ConfigError, DataError, RunFailedError
from calisr_engine.plain_words import counted
from calisr_engine.results.best_model import Progress, export_counts, logits_of, open_best
from calisr_engine.results.run_task import RunTask, class_names, task_of
from calisr_engine.runs.layout import RunPaths
from calisr_engine.tasks.batches import MEGA_BATCHES
from calisr_engine.tasks.cells import is_missing, whole_characters, word
from calisr_engine.tasks.examples import Examples
from calisr_engine.tasks.outputs import given_labels, label_probabilities
from calisr_engine.tasks.tagged import Entity, entities
from calisr_engine.training.device import choose_device

Text = str | tuple[str, ...]
"""A text, or both texts of a pair; where each word has a tag, a text that is cut at blanks, or its
words; for a choice the text (with its question, `tasks.choices.asked`) and its alternatives."""

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True)
class TaggedWord:
    """A word, its tag, and the probability of that tag."""

    word: str
    tag: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What the model says of one text.

    Attributes:
        prediction: the class name, or the value of a regression; the labels that are given where
            there can be several; the tags of the words where each has one; the column of the
            alternative that is chosen.
        probabilities: by class name, in the order of the classes; None for a regression and for
            words.
        words: where each word has a tag; None else.
    """

    prediction: str | float | tuple[str, ...]
    probabilities: dict[str, float] | None
    words: tuple[TaggedWord, ...] | None = None

    @property
    def entities(self) -> tuple[tuple[Entity, str, float], ...]:
        """(entity, its words, the mean probability of their tags) where the tags mark any."""
        words = self.words or ()
        return tuple(
            (
                each,
                " ".join(one.word for one in words[each.start : each.end]),
                fmean(one.probability for one in words[each.start : each.end]),
            )
            for each in entities([one.tag for one in words])
        )


class Predictor:
    """The best model of one run, on a device; of a stopped or failed run, its best so far.

    Input length and precision are the run's own, the latter where the device has it.
    """

    def __init__(
        self,
        run_dir: Path,
        device: str = "auto",
        batch_size: int | None = None,
        config: RunConfig | None = None,
    ) -> None:
        """Open it.

        Args:
            device: "auto", "cpu", "mps", "cuda" or "cuda:N".
            batch_size: texts of a batch; None takes the run's `training.eval_batch_size`.
            config: the run's settings, where they are known already.

        Raises:
            NotFoundError: the run has no best model (yet).
            UnavailableError: it is damaged, or the model that the run began with is not here.
            ConfigError: there is no such device, or a batch of no texts is asked for.
        """
        if batch_size is not None and batch_size < 1:
            raise ConfigError(f"a batch of {batch_size} texts", "batch_size is 1 or more")
        self.device = _device(device)
        self._config = from_resolved(RunPaths(run_dir).config) if config is None else config
        self.task: RunTask = task_of(self._config)
        self.batch_size = batch_size or self._config.training.eval_batch_size
        names: Sequence[str] = ()
        if self.task.has_classes and not export_counts(run_dir):
            names = class_names(run_dir, self._config)
        model, self._tokenizer = open_best(run_dir, self._config, names, self.task.kind)
        self.classes: list[str] | None = None
        """Class names by class number, for a choice the alternatives; None for a regression."""
        if self.task.has_classes:
            self.classes = list(self.task.choices) or model_classes(model)
        self._model = model.to(self.device)

    def predict(self, texts: Iterable[Text], window: int | None = None) -> Iterator[Prediction]:
        """One prediction a text, in the order of `texts`, which may be endless.

        Texts are read a window at a time and sorted by length within it, so that little is padded.

        Args:
            texts: single texts, pairs, or texts with alternatives, as the run's task has them.
            window: texts that are read before the first is answered; None takes 50 batches.

        Raises:
            DataError: a text where there should be a pair, a pair for a text, alternatives that
                are empty or not as many as the run was trained with, or something else than texts.
            RunFailedError: the model predicts values that are not numbers.
        """
        return (found for _, found in self.with_texts(texts, window))

    def with_texts(
        self, texts: Iterable[Text], window: int | None = None
    ) -> Iterator[tuple[Text, Prediction]]:
        """As `predict`, each prediction with its text; no more than a window is held at once."""
        if (
            not isinstance(texts, Iterable)
            or isinstance(texts, Mapping)
            or hasattr(texts, "columns")
        ):
            raise DataError(
                f"a {type(texts).__name__} is no list of texts",
                'give texts one after the other; of a table its column, such as frame["text"]',
            )
        size = window or self.batch_size * MEGA_BATCHES
        rows = enumerate(texts, 1)
        while part := list(itertools.islice(rows, size)):
            examples = self._examples(part)
            found = self._predicted(self.logits(examples, keep_tokens=False), examples)
            yield from zip((text for _, text in part), found, strict=True)

    def logits(
        self, examples: Examples, progress: Progress | None = None, keep_tokens: bool = True
    ) -> Tensor:
        """Logits of shape (rows, classes), or (words, classes) where each word has a tag, fp32 on
        the CPU, in the order of `examples`.

        Args:
            examples: at least one row.
            keep_tokens: keep the token ids in the cache, for rows that come again.

        Raises:
            RunFailedError: they are not finite.
        """
        logits = logits_of(
            self._model,
            self._tokenizer,
            examples,
            self._config,
            self.device,
            progress,
            self.batch_size,
            keep_tokens,
        )
        if not logits.isfinite().all():
            raise RunFailedError("the model predicts values that are not numbers", "train it anew")
        return logits

    def _examples(self, given: Sequence[tuple[int, Text]]) -> Examples:
        rows = [(number, _checked(number, row)) for number, row in given]
        if self.task.tags_words:
            return Examples.of_words([words_of(row) for _, row in rows])
        if self.task.choices:
            return self._choices(rows)
        wanted = "a pair of texts" if self.task.is_pair else "one text"
        for number, row in rows:
            count = 1 if isinstance(row, str) else len(row)
            if isinstance(row, str) is self.task.is_pair or count != 1 + self.task.is_pair:
                found = {1: "one text", 2: "a pair of texts"}.get(count, f"{count} texts")
                raise DataError(
                    f"text {number}: {found}, and {self.task.name} takes {wanted}",
                    f"give {wanted}, as the run was trained with",
                )
        columns = zip(*([row] if isinstance(row, str) else row for _, row in rows), strict=True)
        text, *pair = (tuple(map(whole_characters, column)) for column in columns)
        return Examples(text, pair[0] if pair else None)

    def _choices(self, rows: Sequence[tuple[int, Text]]) -> Examples:
        names = self.task.choices
        for number, row in rows:
            own = () if isinstance(row, str) else row[1:]
            if len(own) != len(names) or not all(each.strip() for each in own):
                found = "an empty alternative"
                if len(own) != len(names):
                    found = counted(len(own), "alternative")
                raise DataError(
                    f"text {number}: {found}, and {self.task.name} takes {len(names)}",
                    f"give a text and its {len(names)} alternatives, as the run was trained with",
                )
        texts = [tuple(map(whole_characters, row)) for _, row in rows]
        choices = tuple(row[1:] for row in texts)
        return Examples(tuple(row[0] for row in texts), choices=choices)

    def _predicted(self, logits: Tensor, examples: Examples) -> Iterator[Prediction]:
        if self.classes is None:
            for value in logits.reshape(-1).double().tolist():
                yield Prediction(value, None)
            return
        if self.task.kind == "multi_label":
            yield from self._several(logits)
            return
        shares = torch.softmax(logits.double(), dim=-1)
        if examples.words is not None:
            yield from self._tagged(shares, examples.words)
            return
        for number, row in zip(logits.argmax(-1).tolist(), shares.tolist(), strict=True):
            probabilities = dict(zip(self.classes, row, strict=True))
            yield Prediction(self.classes[number], probabilities)

    def _several(self, logits: Tensor) -> Iterator[Prediction]:
        names = self.classes or []
        values = logits.double().numpy()
        given = given_labels(values, self.task.threshold).tolist()
        for row, said in zip(label_probabilities(values).tolist(), given, strict=True):
            own = tuple(name for name, one in zip(names, said, strict=True) if one)
            yield Prediction(own, dict(zip(names, row, strict=True)))

    def _tagged(self, shares: Tensor, words: Sequence[Sequence[str]]) -> Iterator[Prediction]:
        names, at = self.classes or [], 0
        best, numbers = (each.tolist() for each in shares.max(dim=-1))
        for row in words:
            own = tuple(
                TaggedWord(word, names[numbers[at + place]], best[at + place])
                for place, word in enumerate(row)
            )
            at += len(row)
            yield Prediction(tuple(each.tag for each in own), None, own)


def _checked(number: int, row: object) -> Text:
    """The row of texts that this is.

    Raises:
        DataError: it is none.
    """
    if isinstance(row, str):
        return row
    parts: tuple[Any, ...] = (row,)
    if isinstance(row, Iterable) and not isinstance(row, bytes | Mapping):
        parts = tuple(row)
    wrong = [each for each in parts if not isinstance(each, str)]
    if not wrong:
        return parts
    found = "nothing" if is_missing(wrong[0]) else word(wrong[0])
    raise DataError(f"text {number}: {found} where a text is expected", "give texts as strings")


def words_of(text: Text) -> tuple[str, ...]:
    """The words of a text whose words are tagged: cut at blanks, where it is not cut yet."""
    parts = text.split() if isinstance(text, str) else text
    return tuple(map(whole_characters, parts))


def model_classes(model: nn.Module) -> list[str]:
    """Class names by class number, as the model's own config gives them.

    Raises:
        ConfigError: it numbers them otherwise than from 0.
    """
    config: Any = model.config
    names = {int(number): str(name) for number, name in config.id2label.items()}
    if sorted(names) != list(range(len(names))):
        raise ConfigError("the model's id2label does not number its classes from 0")
    return [names[number] for number in range(len(names))]


def _device(name: str) -> torch.device:
    try:
        if not _DEVICE.fullmatch(name):
            raise ConfigError("no device")
        return choose_device(name)
    except CalisrError as error:
        raise ConfigError(
            f"the device {name!r} is not on this machine",
            "use auto or cpu; `calisr doctor` lists what is here",
        ) from error
