"""The best model of a run, asked about new texts.

from calisr_engine.results.predictor import Predictor
predictor = Predictor(Path("runs/my-run"))
for found in predictor.predict(["A fine day.", "The rain in vain."]):
    print(found.prediction, found.probabilities)
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from calisr_engine.config.load import from_resolved
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import CalisrError, ConfigError, DataError, RunFailedError
from calisr_engine.results.best_model import Progress, export_counts, logits_of, open_best
from calisr_engine.results.run_task import RunTask, class_names, task_of
from calisr_engine.runs.layout import RunPaths
from calisr_engine.tasks.batches import MEGA_BATCHES
from calisr_engine.tasks.cells import whole_characters
from calisr_engine.tasks.examples import Examples
from calisr_engine.training.device import choose_device

Text = str | tuple[str, str]
"""A text, or both texts of a pair."""

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True)
class Prediction:
    """What the model says of one text.

    Attributes:
        prediction: the class name, or the value of a regression.
        probabilities: by class name, in the order of the classes; None for a regression.
    """

    prediction: str | float
    probabilities: dict[str, float] | None


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
            ConfigError: there is no such device.
        """
        self.device = _device(device)
        self._config = from_resolved(RunPaths(run_dir).config) if config is None else config
        self.task: RunTask = task_of(self._config)
        self.batch_size = batch_size or self._config.training.eval_batch_size
        names: Sequence[str] = ()
        if self.task.kind == "classification" and not export_counts(run_dir):
            names = class_names(run_dir, self._config)
        model, self._tokenizer = open_best(run_dir, self._config, names, self.task.kind)
        self.classes = model_classes(model) if self.task.kind == "classification" else None
        """Class names by class number; None for a regression."""
        self._model = model.to(self.device)

    def predict(self, texts: Iterable[Text], window: int | None = None) -> Iterator[Prediction]:
        """One prediction a text, in the order of `texts`, which may be endless.

        Texts are read a window at a time and sorted by length within it, so that little is padded.

        Args:
            texts: single texts or pairs, as the run's task has them.
            window: texts that are read before the first is answered; None takes 50 batches.

        Raises:
            DataError: a text where there should be a pair, or a pair for a text.
            RunFailedError: the model predicts values that are not numbers.
        """
        return (found for _, found in self.with_texts(texts, window))

    def with_texts(
        self, texts: Iterable[Text], window: int | None = None
    ) -> Iterator[tuple[Text, Prediction]]:
        """As `predict`, each prediction with its text; no more than a window is held at once."""
        size = window or self.batch_size * MEGA_BATCHES
        rows = enumerate(texts, 1)
        while part := list(itertools.islice(rows, size)):
            found = self._predicted(self.logits(self._examples(part), keep_tokens=False))
            yield from zip((text for _, text in part), found, strict=True)

    def logits(
        self, examples: Examples, progress: Progress | None = None, keep_tokens: bool = True
    ) -> Tensor:
        """Logits of shape (rows, classes), fp32 on the CPU, in the order of `examples`.

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

    def _examples(self, rows: Sequence[tuple[int, Text]]) -> Examples:
        for number, row in rows:
            if isinstance(row, str) is self.task.is_pair:
                wanted, found = "a pair of texts", "one text"
                if not self.task.is_pair:
                    wanted, found = found, wanted
                raise DataError(
                    f"text {number}: {found}, and {self.task.name} takes {wanted}",
                    f"give {wanted}, as the run was trained with",
                )
        columns = zip(*([row] if isinstance(row, str) else row for _, row in rows), strict=True)
        text, *pair = (tuple(map(whole_characters, column)) for column in columns)
        return Examples(text, pair[0] if pair else None)

    def _predicted(self, logits: Tensor) -> Iterator[Prediction]:
        if self.classes is None:
            for value in logits.reshape(-1).double().tolist():
                yield Prediction(value, None)
            return
        shares = torch.softmax(logits.double(), dim=-1)
        for number, row in zip(logits.argmax(-1).tolist(), shares.tolist(), strict=True):
            probabilities = dict(zip(self.classes, row, strict=True))
            yield Prediction(self.classes[number], probabilities)


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
