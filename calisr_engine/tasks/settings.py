"""The settings of [task]."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from calisr_engine.settings import Broken, DataPath, Section, Words
from calisr_engine.tasks import glue


class TaskSettings(Section):
    """What the encoder is fine-tuned on: a GLUE task, the demo task, or your own files."""

    name: Words = Field(
        "demo",
        description="`demo`, a GLUE task (`calisr tasks`), or a name of your choice for own files.",
    )
    data_dir: DataPath | None = Field(
        None,
        description="Folder with the official GLUE files, one folder a task "
        "(such as SST-2/train.tsv). Without it the hub is asked.",
    )
    train_file: DataPath | None = Field(
        None, description="Own training data: a CSV, TSV, JSONL or Parquet file."
    )
    validation_file: DataPath | None = Field(
        None, description="Own validation data, in the same columns as the training data."
    )
    test_file: DataPath | None = Field(
        None, description="Own unlabelled data to predict (optional)."
    )
    text_column: str | None = Field(None, description="Column with the text (own files).")
    text_pair_column: str | None = Field(
        None, description="Column with the second text, for pairs of sentences (own files)."
    )
    label_column: str | None = Field(None, description="Column with the label (own files).")
    kind: Literal["classification", "regression"] | None = Field(
        None, description="What the labels of own files are: class names or numbers."
    )
    metric: str | None = Field(
        None,
        description="Metric that picks the best model: accuracy, f1, macro_f1, matthews, pearson, "
        "spearman. None takes the task's own.",
    )
    max_length: int = Field(128, ge=8, le=8192, description="Longest input in tokens; cut beyond.")
    max_train_examples: int | None = Field(
        None, ge=1, description="Train on this many examples only (a fixed random choice)."
    )
    max_validation_examples: int | None = Field(
        None, ge=1, description="Evaluate on this many examples only (a fixed random choice)."
    )

    def broken_rules(self) -> Iterator[Broken]:
        files = ("train_file", "validation_file")
        missing = [key for key in files if getattr(self, key) is None]
        if len(missing) == len(files):
            if glue.plain(self.name) != "demo" and not glue.is_task(self.name):
                yield Broken(*glue.unknown(self.name), ("name",))
            return
        for key in missing:
            both = (key, *(each for each in files if each != key))
            yield Broken("own data needs both train_file and validation_file", f"add {key}", both)
        for key in ("text_column", "label_column", "kind"):
            if getattr(self, key) is None:
                yield Broken(f"own data needs {key}", "add it to [task]", (key,))
        columns = ("text_column", "text_pair_column", "label_column")
        named = [(key, getattr(self, key)) for key in columns if getattr(self, key) is not None]
        for at, (key, column) in enumerate(named):
            for other, same in named[:at]:
                if column == same:
                    yield Broken(
                        f"{other} and {key} are the same column, {column[:80]!r}",
                        "the label must not stand in the text"
                        if key == "label_column"
                        else "leave text_pair_column out for single texts",
                        (key, other),
                    )
