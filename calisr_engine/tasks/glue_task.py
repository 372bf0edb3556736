"""What a task that is known by name is: columns, labels, metrics and official sizes. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

HUB_ID = "nyu-mll/glue"

Kind = Literal["classification", "regression", "choice"]


def sizes(train: int, validation: int, test: int) -> dict[str, int]:
    """Official numbers of rows of a task with one set of each."""
    return {"train": train, "validation": validation, "test": test}


@dataclass(frozen=True)
class GlueTask:
    """One task of GLUE, or of another collection.

    Attributes:
        name: how settings name it, which is also its configuration on the hub.
        title: how papers write it, which is also the folder of its official files.
        label_names: class names, in the order of the class numbers; empty for regression.
        written_labels: how the official files write those classes, in the same order; empty where
            they write the names.
        metrics: the metric that papers report, then the usual second one.
        hub_columns: names of the text, or of both texts, on the hub.
        written_columns: the same in the official files; empty where they are called alike.
        file_label: name of the label column in the official files.
        train_file: official file of the training data; "" where there are none.
        validation, test: set -> (official file, split on the hub).
        sizes: official number of rows of "train" and of each validation and test set, the test
            sets as "test" or "test/NAME".
        bare_header: names of the columns where train and dev have no header row.
        collection: GLUE, SuperGLUE, XNLI or PAWS-X.
        languages: configurations on the hub, one a language; the first one trains where nobody
            says another. Empty for tasks of one language.
        words: columns with the first character of the word that is marked in each text, and with
            the one after its last (WiC); empty where none is.
        question: column of the question that is put behind the text (COPA); "" where there is none.

    The alternatives of a choice are the columns that `label_names` names.
    """

    name: str
    title: str
    summary: str
    label_names: tuple[str, ...]
    metrics: tuple[str, ...]
    hub_columns: tuple[str, ...]
    sizes: Mapping[str, int]
    kind: Kind = "classification"
    written_labels: tuple[str, ...] = ()
    written_columns: tuple[str, ...] = ()
    file_label: str = "label"
    train_file: str = "train.tsv"
    validation: Mapping[str, tuple[str, str]] = field(
        default_factory=lambda: {"validation": ("dev.tsv", "validation")}
    )
    test: Mapping[str, tuple[str, str]] = field(
        default_factory=lambda: {"test": ("test.tsv", "test")}
    )
    bare_header: tuple[str, ...] = ()
    hub_id: str = HUB_ID
    collection: str = "GLUE"
    languages: tuple[str, ...] = ()
    words: tuple[tuple[str, str], ...] = ()
    question: str = ""

    @property
    def is_pair(self) -> bool:
        return len(self.hub_columns) == 2

    @property
    def choices(self) -> tuple[str, ...]:
        """Columns of the alternatives; empty where there is nothing to choose from."""
        return self.label_names if self.kind == "choice" else ()

    @property
    def file_labels(self) -> tuple[str, ...]:
        """How the official files write the classes."""
        return self.written_labels or self.label_names

    @property
    def file_columns(self) -> tuple[str, ...]:
        """Names of the text, or of both texts, in the official files."""
        return self.written_columns or self.hub_columns

    @property
    def folder(self) -> str:
        """Name of the folder of the official files."""
        return self.title
