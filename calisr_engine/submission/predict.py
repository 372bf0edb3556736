"""Predicting a set of texts with the best model of a run."""

from __future__ import annotations

from typing import Any

from torch import nn

from calisr_engine.errors import ConfigError, RunFailedError
from calisr_engine.results.best_model import Progress, logits_of, open_best
from calisr_engine.submission.choose import Candidate
from calisr_engine.submission.files import class_cells, score_cells
from calisr_engine.tasks import glue
from calisr_engine.tasks.examples import Examples
from calisr_engine.training.device import choose_device


class Predictor:
    """The best model of one run, on a device.

    The precision is the run's own where the device has it.
    """

    def __init__(self, run: Candidate, device: str = "auto") -> None:
        self._task = glue.find(run.task)
        self._config = run.config
        self._device = choose_device(device)
        model, self._tokenizer = open_best(
            run.path, run.config, self._task.label_names, self._task.kind
        )
        self._names = None if self._task.kind == "regression" else model_classes(model)
        self._model = model.to(self._device)

    def cells(self, examples: Examples, progress: Progress | None = None) -> list[str]:
        """What a submission says of each row, in the order of `examples`.

        Raises:
            ConfigError: the model's classes are not those of the task.
            RunFailedError: it predicts values that are not numbers.
        """
        logits = logits_of(
            self._model, self._tokenizer, examples, self._config, self._device, progress
        )
        if not logits.isfinite().all():
            raise RunFailedError("the model predicts values that are not numbers", "train it anew")
        if self._names is None:
            return score_cells(logits.reshape(-1).double().tolist())
        names = self._names
        return class_cells(self._task, [names[number] for number in logits.argmax(-1).tolist()])


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
