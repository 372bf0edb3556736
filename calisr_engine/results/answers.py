"""The answers of a run's best model on its validation rows, beside the truth and the texts.

From the files in `predictions/`, else from the logits in `best/`, so also of a run that stopped,
failed or still trains. No model is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from calisr_engine.analysis.mistakes import Answers
from calisr_engine.config.load import from_resolved
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import CalisrError, ConfigError, DataError, UnavailableError
from calisr_engine.results.run_task import environment_of, task_of
from calisr_engine.runs import load_view
from calisr_engine.runs.layout import RunPaths
from calisr_engine.storage.plain import read_plain
from calisr_engine.tasks.data import LOGIT, TEXTS

if TYPE_CHECKING:
    from calisr_engine.tasks.data import TaskData
    from calisr_engine.tasks.examples import Examples

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

    answers: Answers
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
    data = _data(run_dir, config)
    rows, values = data.validation[chosen], logits[chosen].double().numpy()
    if len(rows) != len(values) or rows.label is None:
        raise UnavailableError(
            f"{paths.best} has {len(values):,} predictions and {config.task.name} {len(rows):,} "
            "rows",
            "put the run's data back",
        )
    index = [str(each) for each in rows.index or range(len(rows))]
    answers = Answers.of_logits(index, rows.label, values, data.label_names, _texts(rows))
    return Evaluated(answers, chosen, tuple(logits), step, paths.best / f"step-{step}")


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
    answers = _read(files[name], task_of(config).kind == "classification")
    notes: tuple[str, ...] = ()
    if answers.texts is None:
        answers, notes = _with_texts(answers, run_dir, config, name)
    return Evaluated(answers, name, tuple(files), step, files[name], notes)


def _read(path: Path, classes: bool) -> Answers:
    """A file that `TaskData.prediction_table` wrote."""
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
    lacking = next((n for n in ("index", "label", "prediction") if n not in column), None)
    if lacking is not None or len(column) != len(header) or bool(names) is not classes:
        raise broken(f"it has no {lacking}" if lacking else "its columns are not those of its task")
    texts = [column[each] for each in TEXTS if each in column]
    try:
        numbers = {each: number for number, each in enumerate(names)}
        label = [numbers[each] if names else float(each) for each in column["label"]]
        wanted = [LOGIT + each for each in names] or ["prediction"]
        logits = np.array([column[each] for each in wanted], dtype=np.float64).T
    except KeyError as error:
        raise broken(f"the label {error} is no class of it") from error
    except ValueError as error:
        raise broken(error) from error
    if not np.isfinite(logits).all():
        raise broken("it holds values that are not numbers")
    found = list(zip(*texts, strict=True)) if texts else None
    return Answers.of_logits(column["index"], label, logits, names or None, found)


def _with_texts(
    answers: Answers, run_dir: Path, config: RunConfig, name: str
) -> tuple[Answers, tuple[str, ...]]:
    """The same with the texts of the run's data, where it is here and as it was."""
    try:
        rows = _data(run_dir, config).validation[name]
        if len(rows) != len(answers):
            raise UnavailableError("the data has another number of rows")
    except (CalisrError, KeyError) as error:
        why = error.message if isinstance(error, CalisrError) else f"it has no set {error}"
        hint = "the next run keeps them with its predictions with output.prediction_texts = true"
        return answers, (f"the texts are not here: {why}; {hint}",)
    return replace(answers, texts=_texts(rows)), ()


def _texts(rows: Examples) -> list[tuple[str, ...]]:
    if rows.text_pair is None:
        return [(each,) for each in rows.text]
    return list(zip(rows.text, rows.text_pair, strict=True))


def _data(run_dir: Path, config: RunConfig) -> TaskData:
    """The run's data, read again.

    Raises:
        UnavailableError: it is not here, or not as it was.
    """
    from calisr_engine.tasks.data import load_task

    try:
        data = load_task(config.task)
    except CalisrError as error:
        raise UnavailableError(
            f"the data of {run_dir.name} cannot be read: {error.message}",
            error.hint or "put it back",
        ) from error
    if environment_of(run_dir).get("data_fingerprint", data.fingerprint) != data.fingerprint:
        raise UnavailableError(
            f"{config.task.name}: the data changed since {run_dir.name} was trained",
            "put its data back",
        )
    return data
