"""Predicting a set of texts with the best model of a run, as the GLUE server wants it."""

from __future__ import annotations

from calisr_engine.results.best_model import Progress
from calisr_engine.results.predictor import Predictor as RunPredictor
from calisr_engine.submission.choose import Candidate
from calisr_engine.submission.files import class_cells, score_cells
from calisr_engine.tasks import glue
from calisr_engine.tasks.examples import Examples


class Predictor:
    """The best model of one run, on a device."""

    def __init__(self, run: Candidate, device: str = "auto") -> None:
        self._task = glue.find(run.task)
        self._model = RunPredictor(run.path, device, config=run.config)

    def cells(self, examples: Examples, progress: Progress | None = None) -> list[str]:
        """What a submission says of each row, in the order of `examples`.

        Raises:
            ConfigError: the model's classes are not those of the task.
            RunFailedError: it predicts values that are not numbers.
        """
        logits = self._model.logits(examples, progress)
        names = self._model.classes
        if names is None:
            return score_cells(logits.reshape(-1).double().tolist())
        return class_cells(self._task, [names[number] for number in logits.argmax(-1).tolist()])
