"""From runs to a submission: what each file is predicted by, or why it is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from calisr_engine.errors import CalisrError, UnavailableError
from calisr_engine.submission import files
from calisr_engine.submission.choose import Candidate, Choice, choose_runs
from calisr_engine.submission.files import FILES, SubmissionFile
from calisr_engine.tasks import glue_folder, hub
from calisr_engine.tasks.examples import Examples


class Predicts(Protocol):
    """A model that writes the cells of a submission (`predict.Predictor`, imported late)."""

    def cells(
        self, examples: Examples, progress: Callable[[int, int], None] | None = None
    ) -> list[str]: ...


@dataclass(frozen=True)
class Entry:
    """One file of the submission.

    Attributes:
        choice: the run that predicts it, if there is one.
        rows: rows of the test set that was found; None where none was.
        missing: why it is not predicted; "" where it is.
        filled: whether a constant stands in for the missing predictions.
    """

    file: SubmissionFile
    choice: Choice | None = None
    rows: int | None = None
    missing: str = ""
    filled: bool = False

    @property
    def state(self) -> str:
        """predicted, filled or missing."""
        return "predicted" if not self.missing else "filled" if self.filled else "missing"

    def to_dict(self) -> dict[str, Any]:
        run = None if self.choice is None else self.choice.run
        return {
            "file": self.file.name,
            "state": self.state,
            "official_rows": self.file.rows,
            "rows": self.rows,
            "why_missing": self.missing or None,
            "run": None if run is None else str(run.path),
            "chosen": None if self.choice is None else self.choice.why,
            "metric": None if run is None else run.metric,
            "value": None if run is None else run.value,
        }


def plan(
    folders: Sequence[Path], named: Mapping[str, str], data_dir: Path | None = None
) -> list[tuple[Entry, Examples | None]]:
    """Every file with its run and its test set, read and checked; predicts nothing.

    Args:
        folders, named: as in `choose_runs`.
        data_dir: folder of the official files, above what the runs' settings say.

    Raises:
        NotFoundError, ConfigError: as `choose_runs`.
    """
    chosen = choose_runs(folders, named)
    where = ", ".join(map(str, folders))
    found: list[tuple[Entry, Examples | None]] = []
    for file in FILES:
        choice = chosen.get(file.task)
        if choice is None:
            reason = f"no complete run of {file.glue.title} in {where}"
            found.append((Entry(file, missing=reason), None))
            continue
        entry = Entry(file, choice)
        try:
            examples = read_test(file, choice.run, data_dir)
            entry = replace(entry, rows=len(examples))
            files.check_rows(file, examples.index or range(len(examples)))
            found.append((entry, examples))
        except CalisrError as error:
            found.append((replace(entry, missing=error.message), None))
    return found


def read_test(file: SubmissionFile, run: Candidate, data_dir: Path | None) -> Examples:
    """A test set from where the run's own data came from, or from `data_dir`.

    Raises:
        UnavailableError: it is not there.
        DataError: it cannot be used.
    """
    folder = data_dir or run.config.task.data_dir
    if folder is None:
        return hub.read_test(file.glue, file.test)
    return glue_folder.read_test(file.glue, folder, file.test)


def build(
    planned: Sequence[tuple[Entry, Examples | None]],
    out: Path,
    predictor: Callable[[Candidate], Predicts],
    fill_missing: bool = False,
    progress: Callable[[Entry, int, int], None] | None = None,
) -> list[Entry]:
    """Predict what can be predicted and write the zip.

    A run whose model cannot be opened or does not fit costs only its own files. One model is in
    memory at a time.

    Args:
        predictor: opens the model of a run.
        fill_missing: put constant stand-ins where predictions are missing.
        progress: called with an entry, its rows predicted so far, and its rows.

    Raises:
        UnavailableError: nothing at all can be predicted; no zip is written.
        ConfigError: the zip cannot be written.
    """
    entries: list[Entry] = []
    tables: dict[str, str] = {}
    opened: tuple[Path, Predicts] | None = None
    # In the order of runs, so that MNLI's model is opened once for its three files.
    for entry, examples in sorted(planned, key=lambda pair: pair[0].file.task):
        if examples is not None and entry.choice is not None:
            run = entry.choice.run
            try:
                if opened is None or opened[0] != run.path:
                    opened = None
                    opened = (run.path, predictor(run))
                cells = opened[1].cells(examples, _told(progress, entry))
                index = examples.index or range(len(examples))
                tables[entry.file.name] = files.table(index, cells)
            except CalisrError as error:
                entry = replace(entry, missing=error.message)
        entries.append(entry)
    order = {file.name: number for number, file in enumerate(FILES)}
    entries.sort(key=lambda entry: order[entry.file.name])
    if not tables:
        raise UnavailableError(
            "nothing can be predicted: "
            + "; ".join(f"{entry.file.name}: {entry.missing}" for entry in entries),
            "train runs on GLUE tasks, and give the folder of the official files with --data-dir",
        )
    if fill_missing:
        entries = fill(entries)
        tables |= {e.file.name: files.sample(e.file) for e in entries if e.filled}
    files.write_zip(out, tables)
    return entries


def fill(entries: Sequence[Entry]) -> list[Entry]:
    """The same, with a stand-in wherever predictions are missing."""
    return [replace(entry, filled=bool(entry.missing)) for entry in entries]


def _told(
    progress: Callable[[Entry, int, int], None] | None, entry: Entry
) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(entry, done, total)
