"""The files of a GLUE submission: names, official sizes, how predictions are written, the zip.

The format is that of gluebenchmark.com: a tab-separated file for each test set with the header
`index<TAB>prediction`, rows numbered from 0, all at the top of one zip. Imports nothing heavy.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from calisr_engine.errors import ConfigError, DataError, RunFailedError
from calisr_engine.storage.whole import whole_file
from calisr_engine.tasks import glue
from calisr_engine.tasks.glue_task import GlueTask

HEADER = "index\tprediction"
LOWEST, HIGHEST = 0.0, 5.0
"""Bounds of the STS-B score."""

EARLIEST = (1980, 1, 1, 0, 0, 0)
"""Time of all entries, so that equal predictions give an equal zip."""


@dataclass(frozen=True)
class SubmissionFile:
    """One file in the zip.

    Attributes:
        name: as the server wants it ("MNLI-mm.tsv").
        task: the GLUE task whose model predicts it.
        test: the test set of that task.
    """

    name: str
    task: str
    test: str = "test"

    @property
    def glue(self) -> GlueTask:
        return glue.find(self.task)

    @property
    def rows(self) -> int:
        """Official number of test rows."""
        return self.glue.sizes["test" if self.test == "test" else f"test/{self.test}"]

    @property
    def title(self) -> str:
        return self.name.removesuffix(".tsv")


FILES: tuple[SubmissionFile, ...] = (
    SubmissionFile("CoLA.tsv", "cola"),
    SubmissionFile("SST-2.tsv", "sst2"),
    SubmissionFile("MRPC.tsv", "mrpc"),
    SubmissionFile("QQP.tsv", "qqp"),
    SubmissionFile("STS-B.tsv", "stsb"),
    SubmissionFile("MNLI-m.tsv", "mnli", "matched"),
    SubmissionFile("MNLI-mm.tsv", "mnli", "mismatched"),
    SubmissionFile("QNLI.tsv", "qnli"),
    SubmissionFile("RTE.tsv", "rte"),
    SubmissionFile("WNLI.tsv", "wnli"),
    SubmissionFile("AX.tsv", "mnli", "ax"),
)
"""All that the server asks for. AX, the diagnostic set, is predicted by the MNLI model."""


def class_cells(task: GlueTask, names: Sequence[str]) -> list[str]:
    """What the server wants for each predicted class name: the name itself, or 0 or 1.

    Raises:
        ConfigError: a name is no class of the task.
    """
    words = dict(zip(task.label_names, task.file_labels, strict=True))
    unknown = sorted(set(names) - set(words))
    if unknown:
        raise ConfigError(
            f"the model predicts {', '.join(map(repr, unknown[:3]))}, which is no class of "
            f"{task.title}",
            f"the classes are {', '.join(task.label_names)}",
        )
    return [words[name] for name in names]


def score_cells(values: Sequence[float]) -> list[str]:
    """STS-B scores, clipped to [0, 5].

    Raises:
        RunFailedError: one is not a number.
    """
    if any(value != value for value in values):
        raise RunFailedError("the model predicts values that are not numbers", "train it anew")
    return [f"{min(max(value, LOWEST), HIGHEST):.6f}" for value in values]


def check_rows(file: SubmissionFile, index: Sequence[int | str]) -> None:
    """Check the number and the numbering of a test set's rows against the official set.

    Raises:
        DataError: it has another size, or its rows are not numbered from 0, each number once.
    """
    if len(index) != file.rows:
        raise DataError(
            f"the test set has {len(index):,} rows where the official one has {file.rows:,}",
            "give the official test file, complete",
        )
    if set(index) != set(range(file.rows)):
        raise DataError(
            f"the test rows are not numbered 0 to {file.rows - 1:,}, each number once",
            "give the official test file, unchanged",
        )


def table(index: Sequence[int | str], cells: Sequence[str]) -> str:
    """The content of one file, in the order of the row numbers."""
    rows = sorted(zip(map(int, index), cells, strict=True))
    return "\n".join([HEADER, *(f"{number}\t{cell}" for number, cell in rows)]) + "\n"


def sample(file: SubmissionFile) -> str:
    """A stand-in: the task's first class (0 for STS-B) in every row. It says nothing."""
    cell = file.glue.file_labels[0] if file.glue.file_labels else f"{LOWEST:.6f}"
    return table(range(file.rows), [cell] * file.rows)


def check_out(out: Path) -> None:
    """Say before anything is predicted that the zip cannot be written.

    Raises:
        ConfigError: it exists, is no .zip, or its folder does not exist.
    """
    if out.suffix.lower() != ".zip":
        raise ConfigError(f"--out: {out} must end in .zip", f"such as {out.stem or 'glue'}.zip")
    if out.exists():
        raise ConfigError(f"--out: {out} exists already", "delete it, or choose another name")
    if not out.absolute().parent.is_dir():
        raise ConfigError(f"--out: the folder {out.parent} does not exist", "make it first")


def write_zip(out: Path, tables: Mapping[str, str]) -> None:
    """Write the zip whole or not at all, its entries in the order of FILES.

    Raises:
        StorageError: the file cannot be written.
    """
    hint, needs = "or choose another place with --out", sum(map(len, tables.values()))
    with (
        whole_file(out, "the zip", hint, needs=needs) as part,
        zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for file in FILES:
            if file.name in tables:
                entry = zipfile.ZipInfo(file.name, EARLIEST)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, tables[file.name].encode("utf-8"))
