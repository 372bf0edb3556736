"""The answers of a run's best model on its validation rows, beside the truth and the texts.

From the files in `predictions/`, else from the logits in `best/`, so also of a run that stopped,
failed or still trains. No model is built.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calisr_engine.analysis.label_mistakes import LabelSets
from calisr_engine.analysis.mistakes import Answers, AnyAnswers
from calisr_engine.analysis.tag_mistakes import TaggedTexts
from calisr_engine.config.load import from_resolved
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import CalisrError, ConfigError, DataError, UnavailableError
from calisr_engine.results.run_task import RunTask, data_of, task_of
from calisr_engine.runs import load_view
from calisr_engine.runs.layout import RunPaths
from calisr_engine.storage.plain import read_plain
from calisr_engine.tasks.prediction_table import CHOICE, LOGIT, PLACE, TEXTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


LARGEST = 1 << 30
"""Bytes of a file of predictions at most."""


@dataclass(frozen=True)
class Evaluated:
    """One evaluation of a run's best model.

    Attributes:
        name: of the set of rows, "validation" but for MNLI; `names`: of all its sets.
        step: of the best model; None where the log does not tell.
        source: the file or folder that the answers were read from.
        notes: why there are no texts.
    """

    answers: AnyAnswers
    name: str
    names: tuple[str, ...]
    step: int | None
    source: Path
    notes: tuple[str, ...] = ()


def evaluated(run_dir: Path, name: str | None = None) -> Evaluated:
    """What the best model of a run said of the rows of a validation set; None takes the first.

    Raises:
        ConfigError: there is no such set.
        NotFoundError: the run was not evaluated yet.
        UnavailableError: its files are damaged, or its data is not here or not as it was.
    """
    paths, config = RunPaths(run_dir), from_resolved(RunPaths(run_dir).config)
    view = load_view(run_dir)
    # A run that went on after it was complete may have a better model in `best/`.
    if view.state == "completed" or not paths.best.is_dir():
        files = {path.stem: path for path in sorted(paths.predictions.glob("*.tsv"))}
        files.pop("test", None)  # the user's own test rows have no labels
        if files:
            chosen = _chosen(name, tuple(files))
            return _from_file(run_dir, config, chosen, files, view.best_step)
    from calisr_engine.results.best_model import best_logits

    step, logits = best_logits(run_dir)
    chosen = _chosen(name, tuple(logits))
    data = data_of(run_dir, config)
    rows, values = data.validation[chosen], logits[chosen].double().numpy()
    if rows.answers != len(values) or rows.label is None:
        raise UnavailableError(
            f"{paths.best} has {len(values):,} predictions and {config.task.name} "
            f"{rows.answers:,} {'rows' if rows.words is None else 'words'}",
            "put the run's data back",
        )
    index = [str(each) for each in rows.index or range(len(rows))]
    texts = rows.texts if rows.words is None else list(rows.words)
    answers = _of_logits(task_of(config), index, rows.label, values, data.label_names, texts)
    return Evaluated(answers, chosen, tuple(logits), step, paths.best / f"step-{step}")


def _of_logits(
    task: RunTask,
    index: Sequence[str],
    label: Sequence[Any],
    logits: NDArray[np.float64],
    classes: tuple[str, ...] | None,
    texts: Sequence[tuple[str, ...]] | None,
) -> AnyAnswers:
    """Answers of the task's kind; `texts` are the words of each where these are tagged."""
    if classes is not None and task.tags_words:
        return TaggedTexts.of_logits(index, label, logits, classes, texts)
    if classes is not None and task.kind == "multi_label":
        return LabelSets.of_logits(index, label, logits, classes, task.threshold, texts)
    answers = Answers.of_logits(index, label, logits, classes, texts)
    return replace(answers, kind="choice") if task.choices else answers


def _chosen(name: str | None, names: Sequence[str]) -> str:
    if name is None:
        return names[0]
    if name not in names:
        raise ConfigError(
            f"the run has no validation set {name!r}", f"it has {', '.join(sorted(names))}"
        )
    return name


def _from_file(
    run_dir: Path, config: RunConfig, name: str, files: Mapping[str, Path], step: int | None
) -> Evaluated:
    answers = _read(files[name], task_of(config))
    notes: tuple[str, ...] = ()
    lacking = answers.words if isinstance(answers, TaggedTexts) else answers.texts
    if lacking is None:
        answers, notes = _with_texts(answers, run_dir, config, name)
    return Evaluated(answers, name, tuple(files), step, files[name], notes)


def _read(path: Path, task: RunTask) -> AnyAnswers:
    """A file that `prediction_table.written` wrote."""
    import numpy as np

    def broken(why: object) -> DataError:
        return DataError(
            f"{path} is no file of predictions that CaliSr wrote: {why}",
            "write it again: take the file away and `calisr resume` the run, or train it anew",
        )

    try:
        head, *lines = read_plain(path, LARGEST).decode("utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise broken(error) from error
    header = head.split("\t")
    rows = [line.split("\t") for line in lines]
    short = next((n for n, row in enumerate(rows, 2) if len(row) != len(header)), None)
    if short is not None:
        raise broken(f"line {short} has another number of cells than the header")
    column = dict(zip(header, zip(*rows, strict=True), strict=True)) if rows else {}
    names = tuple(each.removeprefix(LOGIT) for each in header if each.startswith(LOGIT))
    needed = ["index", *([PLACE] if task.tags_words else []), "label", "prediction"]
    lacking = next((name for name in needed if name not in column), None)
    if lacking is not None or len(column) != len(header) or bool(names) is not task.has_classes:
        raise broken(f"it has no {lacking}" if lacking else "its columns are not those of its task")
    texts = [column[each] for each in header if each in TEXTS or each.startswith(CHOICE)]
    try:
        numbers = {each: number for number, each in enumerate(names)}
        label = [_label(each, numbers, task) for each in column["label"]]
        wanted = [LOGIT + each for each in names] or ["prediction"]
        logits = np.array([column[each] for each in wanted], dtype=np.float64).T
        starts = [row for row, place in enumerate(column.get(PLACE, ())) if int(place) == 0]
    except KeyError as error:
        raise broken(f"the label {error} is no class of it") from error
    except (ValueError, TypeError) as error:
        raise broken(error) from error
    if not np.isfinite(logits).all():
        raise broken("it holds values that are not numbers")
    index: Sequence[str] = column["index"]
    found = list(zip(*texts, strict=True)) if texts else None
    if task.tags_words:  # a row a word: back to a row a text
        ends = [*starts[1:], len(rows)]
        cut = list(zip(starts, ends, strict=True))
        index = [index[start] for start, _ in cut]
        label = [label[start:end] for start, end in cut]
        found = [tuple(texts[0][start:end]) for start, end in cut] if texts else None
    return _of_logits(task, index, label, logits, names or None, found)


def _label(cell: str, numbers: Mapping[str, int], task: RunTask) -> Any:
    """What a cell of the column of labels says, by class number.

    Raises:
        KeyError: it names a class that there is not.
        ValueError: it is no number, or no list.
    """
    if not numbers:
        return float(cell)
    if task.kind != "multi_label":
        return numbers[cell]
    given = {numbers[name] for name in json.loads(cell)}
    return [int(number in given) for number in numbers.values()]


def _with_texts(
    answers: AnyAnswers, run_dir: Path, config: RunConfig, name: str
) -> tuple[AnyAnswers, tuple[str, ...]]:
    """The same with the texts of the run's data, where it is here and as it was."""
    try:
        rows = data_of(run_dir, config).validation[name]
        if len(rows) != len(answers):
            raise UnavailableError("the data has another number of rows")
    except (CalisrError, KeyError) as error:
        why = error.message if isinstance(error, CalisrError) else f"it has no set {error}"
        hint = "the next run keeps them with its predictions with output.prediction_texts = true"
        return answers, (f"the texts are not here: {why}; {hint}",)
    if isinstance(answers, TaggedTexts):
        return replace(answers, words=rows.words), ()
    return replace(answers, texts=rows.texts), ()
