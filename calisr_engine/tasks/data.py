"""The data of a run: from the settings to training, validation and test rows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from calisr_engine.errors import DataError, concerning
from calisr_engine.plain_words import quoted
from calisr_engine.tasks import demo, glue, glue_folder, hub, metrics, own_files
from calisr_engine.tasks.examples import Examples, subsample
from calisr_engine.tasks.settings import TaskSettings
from calisr_engine.tasks.source import Source

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

_BREAK = re.compile("[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
"""Where readers of tables cut cells or lines."""


LOGIT = "logit "
"""Before the name of a class, in the header of a table of predictions."""
TEXTS = ("text", "text_pair")
"""The columns of texts there."""


@dataclass(frozen=True)
class TaskData:
    """Everything a run needs to know about its data.

    Attributes:
        label_names: class names by class number, None for regression.
        metrics: names of the metrics that are computed; the first picks the best model.
        validation: sets by name: "validation", or "matched" and "mismatched" for MNLI.
        test: sets without labels by name; often empty.
        synthetic: generated rather than collected (the demo task).
        fingerprint: sha256 of the rows used, in order.
        notes: what the user should know about this data.
    """

    name: str
    kind: Literal["classification", "regression"]
    label_names: tuple[str, ...] | None
    metrics: tuple[str, ...]
    train: Examples
    validation: Mapping[str, Examples]
    test: Mapping[str, Examples]
    synthetic: bool
    fingerprint: str
    notes: tuple[str, ...]

    @property
    def metric(self) -> str:
        """The metric that picks the best model."""
        return self.metrics[0]

    def predictions(self, logits: Tensor) -> np.ndarray:
        """Class numbers, or values for regression, from logits of shape (examples, outputs)."""
        if self.kind == "regression":
            return logits.reshape(-1).double().numpy()
        return logits.argmax(dim=-1).numpy()

    def score(self, name: str, logits: Tensor) -> dict[str, float]:
        """The metrics on one validation set, from logits in the order of its rows.

        Raises:
            RunFailedError: the logits are not finite.
        """
        labels = self.validation[name].label
        assert labels is not None
        if not logits.isfinite().all():
            metrics.compute([], [float("nan")], [0.0])
        return metrics.compute(self.metrics, self.predictions(logits), labels)

    def score_notes(self, name: str, logits: Tensor) -> list[str]:
        """Why some of those metrics say nothing; empty as a rule."""
        labels = self.validation[name].label
        assert labels is not None
        return metrics.notes(self.metrics, self.predictions(logits), labels)

    def prediction_table(
        self,
        name: str,
        logits: Tensor,
        split: Literal["validation", "test"] = "validation",
        texts: bool = False,
    ) -> str:
        """Predictions as tab-separated text with a header row.

        Columns: index (as the source numbers its rows), label (not for test sets), prediction
        (class name or value), for classes the logit of each, and with `texts` the text or both.
        """
        examples = (self.validation if split == "validation" else self.test)[name]
        if len(logits) != len(examples):
            raise ValueError(f"{len(logits)} predictions for {len(examples)} rows")
        names = self.label_names
        index = examples.index or range(len(examples))
        header = ["index", *(["label"] if examples.label is not None else []), "prediction"]
        if names is not None:
            header += [f"{LOGIT}{one_cell(each)}" for each in names]
        columns = [examples.text, *([] if examples.text_pair is None else [examples.text_pair])]
        columns = columns if texts else []
        header += TEXTS[: len(columns)]
        lines = ["\t".join(header)]
        values = logits.reshape(len(examples), -1).tolist()
        for row, predicted in enumerate(self.predictions(logits).tolist()):
            cells = [str(index[row])]
            if examples.label is not None:
                label = examples.label[row]
                cells.append(str(label) if names is None else one_cell(names[int(label)]))
            cells.append(repr(predicted) if names is None else one_cell(names[predicted]))
            if names is not None:
                cells += [repr(value) for value in values[row]]
            cells += [one_cell(column[row]) for column in columns]
            lines.append("\t".join(cells))
        return "\n".join(lines) + "\n"


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
        metrics.check(settings.metric, source.kind, classes)
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
    if len(left) < 2:
        one = "class" if source.label_names else "value"
        raise DataError(
            f"task.max_train_examples: the {len(train):,} training rows that it leaves are all of "
            f"one {one}",
            "raise task.max_train_examples",
        )
    lost = [name for number, name in enumerate(source.label_names) if number not in left]
    if lost:
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
    )


def _read(settings: TaskSettings) -> Source:
    if settings.is_own:
        return own_files.read(settings)
    unused = [
        f"task.{key} has no effect without task.train_file"
        for key in ("text_column", "text_pair_column", "label_column", "kind", "test_file")
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
            source = (
                hub.read(task)
                if settings.data_dir is None
                else glue_folder.read(task, settings.data_dir)
            )
    return replace(source, notes=(*source.notes, *unused))


def _fingerprint(source: Source) -> str:
    """sha256 of all rows that train or evaluate, and of what the classes are called."""
    parts = {
        "kind": source.kind,
        "label_names": source.label_names,
        "train": source.train.fingerprint(),
        "validation": {name: rows.fingerprint() for name, rows in source.validation.items()},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def one_cell(text: str) -> str:
    """The text with a space for each character at which readers of tables cut."""
    return _BREAK.sub(" ", text)
