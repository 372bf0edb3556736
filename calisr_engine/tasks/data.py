"""The data of a run: from the settings to training, validation and test rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from calisr_engine.errors import DataError, concerning
from calisr_engine.plain_words import quoted
from calisr_engine.task_kinds import KINDS, THRESHOLD, KindName
from calisr_engine.tasks import (
    demo,
    glue,
    glue_folder,
    hub,
    metrics,
    own_files,
    prediction_table,
    superglue_read,
    tagged,
)
from calisr_engine.tasks.examples import Examples, subsample
from calisr_engine.tasks.glue_task import GlueTask
from calisr_engine.tasks.metrics import Tagged
from calisr_engine.tasks.outputs import given_labels
from calisr_engine.tasks.settings import TaskSettings
from calisr_engine.tasks.source import Source

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class TaskData:
    """Everything a run needs to know about its data.

    Attributes:
        label_names: class names by class number, None for regression; for a choice the columns of
            its alternatives.
        metrics: names of the metrics that are computed; the first picks the best model.
        validation: sets by name: "validation", or "matched" and "mismatched" for MNLI.
        test: sets without labels by name; often empty.
        synthetic: generated rather than collected (the demo task).
        fingerprint: sha256 of the rows used, in order.
        notes: what the user should know about this data.
        threshold: probability above which a label is given, where there are several a text.
    """

    name: str
    kind: KindName
    label_names: tuple[str, ...] | None
    metrics: tuple[str, ...]
    train: Examples
    validation: Mapping[str, Examples]
    test: Mapping[str, Examples]
    synthetic: bool
    fingerprint: str
    notes: tuple[str, ...]
    threshold: float = THRESHOLD

    @property
    def metric(self) -> str:
        """The metric that picks the best model."""
        return self.metrics[0]

    def predictions(self, logits: Tensor) -> np.ndarray:
        """What these logits say, as `metrics.compute` takes it.

        Args:
            logits: shape (rows, outputs), or (words, classes) where each word has a tag.
        """
        if self.kind == "regression":
            return logits.reshape(-1).double().numpy()
        if self.kind == "multi_label":
            return given_labels(logits.double().numpy(), self.threshold)
        return logits.argmax(dim=-1).numpy()

    def score(self, name: str, logits: Tensor) -> dict[str, float]:
        """The metrics on one validation set, from logits in the order of its rows.

        Raises:
            RunFailedError: the logits are not finite.
        """
        labels, tags = self._truth(name)
        if not logits.isfinite().all():
            metrics.compute([], [float("nan")], [0.0])
        return metrics.compute(self.metrics, self.predictions(logits), labels, tags)

    def score_notes(self, name: str, logits: Tensor) -> list[str]:
        """Why some of those metrics say nothing; empty as a rule."""
        return metrics.notes(self.metrics, self.predictions(logits), self._truth(name)[0])

    def _truth(self, name: str) -> tuple[Sequence[Any], Tagged | None]:
        """Labels of a validation set, one after the other; and what the tags of words are."""
        rows = self.validation[name]
        assert rows.label is not None
        if rows.words is None:
            return rows.label, None
        numbers = [number for row in rows.label if isinstance(row, tuple) for number in row]
        names = self.label_names or ()
        if not tagged.marks_entities(names):
            return numbers, None
        return numbers, Tagged(tagged.as_bioes(names), list(map(len, rows.words)))

    def prediction_table(
        self,
        name: str,
        logits: Tensor,
        split: Literal["validation", "test"] = "validation",
        texts: bool = False,
    ) -> str:
        """Predictions as tab-separated text with a header row; see `prediction_table.written`."""
        examples = (self.validation if split == "validation" else self.test)[name]
        return prediction_table.written(
            examples, self.predictions(logits).tolist(), logits, self.label_names, texts
        )


def load_task(settings: TaskSettings, source: Source | None = None) -> TaskData:
    """Read what the settings name: own data, the demo task, or a GLUE task.

    A GLUE task comes from `data_dir` where one is given, else from the hub.

    Args:
        source: what the settings name, where it was read just before.

    Raises:
        NotFoundError: there is no task of that name.
        UnavailableError: the data is not here and the hub cannot be reached.
        DataError: a file cannot be used; the message names file, line and column.
        ConfigError: the metric does not fit.
    """
    source = source or _read(settings)
    classes = len(source.label_names)
    names = source.metrics
    if settings.metric is not None:
        spans = tagged.marks_entities(source.label_names)
        metrics.check(settings.metric, source.kind, classes, spans)
        names = (settings.metric, *(name for name in names if name != settings.metric))
    salt = glue.plain(source.name)
    train = subsample(source.train, settings.max_train_examples, f"{salt} train")
    validation = {
        name: subsample(rows, settings.max_validation_examples, f"{salt} {name}")
        for name, rows in source.validation.items()
    }
    notes = list(source.notes)
    for word, before, after in [
        ("training", source.train, train),
        *((name, source.validation[name], validation[name]) for name in validation),
    ]:
        if len(after) < len(before):
            notes.append(
                f"{len(after):,} of {len(before):,} {word} rows are used, as the settings say"
            )
    left = set(train.label or ())
    if KINDS[source.kind].has_classes:
        left = set(train.classes())
    # Where the right alternative stands says nothing of what is learned.
    if len(left) < 2 and source.kind not in ("multi_label", "choice"):
        one = "class" if source.label_names else "value"
        raise DataError(
            f"task.max_train_examples: the {len(train):,} training rows that it leaves are all of "
            f"one {one}",
            "raise task.max_train_examples",
        )
    lost = [name for number, name in enumerate(source.label_names) if number not in left]
    if lost and source.kind != "choice":
        shown = ", ".join(map(quoted, lost[:5])) + (" and others" if len(lost) > 5 else "")
        notes.append(f"no training row that task.max_train_examples leaves has the label {shown}")
    if source.synthetic:
        notes.append("the demo task is synthetic: its sentences come from a small grammar")
    return TaskData(
        name=source.name,
        kind=source.kind,
        label_names=source.label_names or None,
        metrics=names,
        train=train,
        validation=validation,
        test=dict(source.test),
        synthetic=source.synthetic,
        fingerprint=_fingerprint(replace(source, train=train, validation=validation)),
        notes=tuple(notes),
        threshold=settings.threshold,
    )


def _read(settings: TaskSettings) -> Source:
    if settings.is_own:
        return own_files.read(settings)
    unused = [
        f"task.{key} has no effect without task.train_file"
        for key in (
            *("text_column", "text_pair_column", "label_column", "label_columns"),
            *("label_separator", "choice_columns", "kind", "test_file"),
        )
        if getattr(settings, key) is not None
    ]
    if glue.plain(settings.name) == "demo":
        source = demo.read()
        if settings.data_dir is not None:
            unused.append("task.data_dir has no effect on the demo task, which is built in")
    else:
        with concerning("task.name"):
            task = glue.find(settings.name)
        with concerning("task.data_dir", "task.name"):
            source = _read_known(task, settings)
    return replace(source, notes=(*source.notes, *unused))


def _read_known(task: GlueTask, settings: TaskSettings) -> Source:
    """A task known by name, from its official files where a folder is given, else from the hub."""
    if task.languages:
        return superglue_read.read_languages(task, settings)
    if task.collection == "SuperGLUE":
        return superglue_read.read(task, settings.data_dir)
    if settings.data_dir is None:
        return hub.read(task)
    return glue_folder.read(task, settings.data_dir)


def _fingerprint(source: Source) -> str:
    """sha256 of all rows that train or evaluate, and of what the classes are called."""
    parts = {
        "kind": source.kind,
        "label_names": source.label_names,
        "train": source.train.fingerprint(),
        "validation": {name: rows.fingerprint() for name, rows in source.validation.items()},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
