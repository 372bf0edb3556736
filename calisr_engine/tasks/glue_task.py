"""What a task that is known by name is: columns, labels, metrics and official sizes. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

HUB_ID = "nyu-mll/glue"

Kind = Literal["classification", "regression"]


@dataclass(frozen=True)
class GlueTask:
    """One task of GLUE, or of another collection.

    Attributes:
        name: how settings name it, which is also its configuration on the hub.
        title: how papers write it.
        label_names: class names, in the order of the class numbers; empty for regression.
        file_labels: how the official files write those classes, in the same order.
        metrics: the metric that papers report, then the usual second one.
        hub_columns: names of the text, or of both texts, on the hub.
        file_columns: the same in the official files.
        file_label: name of the label column in the official files.
        folder: name of the folder of the official files.
        validation, test: set -> (official file, split on the hub).
        sizes: official number of rows of "train" and of each validation and test set, the test
            sets as "test" or "test/NAME".
        bare_header: names of the columns where train and dev have no header row.
        collection: GLUE, SuperGLUE, XNLI or PAWS-X.
        languages: configurations on the hub, one a language; the first one trains where nobody
            says another. Empty for tasks of one language.
        words: columns with the first character of the word that is marked in each text, and with
            the one after its last (WiC); empty where none is.
    """

    name: str
    title: str
    summary: str
    kind: Kind
    label_names: tuple[str, ...]
    file_labels: tuple[str, ...]
    metrics: tuple[str, ...]
    hub_columns: tuple[str, ...]
    file_columns: tuple[str, ...]
    folder: str
    sizes: Mapping[str, int]
    file_label: str = "label"
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

    @property
    def is_pair(self) -> bool:
        return len(self.hub_columns) == 2

    @property
    def train_name(self) -> str:
        """What the official file of the training data is called."""
        return "train.jsonl" if self.collection == "SuperGLUE" else "train.tsv"
