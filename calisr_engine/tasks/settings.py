"""The settings of [task]."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from calisr_engine.settings import Broken, DataPath, Section, Words
from calisr_engine.task_kinds import THRESHOLD, KindName
from calisr_engine.tasks import glue

SEVERAL = "a list of columns"
SOME_KINDS = {
    "label_columns": ("multi_label", "several labels a text"),
    "label_separator": ("multi_label", "several labels a text"),
    "choice_columns": ("choice", "a choice between alternatives"),
}
"""Settings that only one kind of task has, and what it is for."""


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
        None, description="Own training data: a CSV, TSV, JSONL, Parquet or CoNLL file."
    )
    validation_file: DataPath | None = Field(
        None,
        description="Own validation data, in the same columns as the training data. Without it "
        "part of the training data is set aside (validation_share).",
    )
    test_file: DataPath | None = Field(
        None, description="Own unlabelled data to predict (optional)."
    )
    text_column: str | None = Field(
        None, description="Column with the text, or with the list of its words (own files)."
    )
    text_pair_column: str | None = Field(
        None,
        description="Column with the second text, for pairs of sentences (own files); for a choice "
        "the question that is put behind the text.",
    )
    dataset: str | None = Field(
        None,
        description="A data set of the Hugging Face hub in place of own files, NAME or "
        "NAME:CONFIG; only its Parquet files are read.",
    )
    train_split: str | None = Field(
        None, description="Split of the data set that trains; none takes train."
    )
    validation_split: str | None = Field(
        None,
        description="Split of the data set that validates; none takes validation or dev where "
        "there is one, and else sets part of the training rows aside.",
    )
    test_split: str | None = Field(None, description="Split of the data set to predict (optional).")
    validation_share: float = Field(
        0.1,
        gt=0.0,
        le=0.5,
        description="Share of the training rows that validates where no validation data is given: "
        "of each class, or of each tenth of the targets. Rows with the same text stay together.",
    )
    split_seed: int = Field(
        0,
        ge=0,
        description="Which rows these are; the training seed does not matter, so runs with "
        "different seeds see the same data.",
    )
    encoding: Literal["cp1252", "latin-1", "cp1250", "cp1251", "shift_jis", "gb18030"] | None = (
        Field(
            None,
            description="What own files are in that are neither UTF-8 nor UTF-16 with its mark; "
            "none refuses them.",
        )
    )
    train_language: str | None = Field(
        None, description="Language that trains, of tasks with several (XNLI, PAWS-X); none: en."
    )
    eval_languages: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        None,
        description="Languages that validate, of tasks with several, each a set of its own; the "
        "first picks the best model. None takes the one that trains.",
        json_schema_extra={"expects": 'a list of languages such as ["de", "fr"]'},
    )
    header: bool = Field(
        True,
        description="Whether the first row of CSV and TSV files names the columns; if not they "
        "are called `column 1` and so on.",
    )
    label_column: str | None = Field(
        None, description="Column with the label, the labels, or the tags of the words (own files)."
    )
    label_columns: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        None,
        description="Several columns of 0 and 1, one a label, in the place of label_column "
        "(multi_label).",
        json_schema_extra={"expects": SEVERAL},
    )
    label_separator: Annotated[str, Field(min_length=1, max_length=8)] | None = Field(
        None,
        description="What stands between the labels of one row (multi_label); none reads lists, "
        'as JSON writes them ("[...]") or as JSONL and Parquet have them.',
    )
    choice_columns: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        None,
        description="Columns with the alternatives of each text, in their order; the label is the "
        "number of the right one from 0, or the name of its column (choice).",
        json_schema_extra={"expects": SEVERAL},
    )
    kind: KindName | None = Field(
        None,
        description="What the labels of own files are. classification: one class a text; "
        "regression: a number; multi_label: any number of labels; token: a tag for each word; "
        "choice: the right one of several alternatives.",
    )
    threshold: float = Field(
        THRESHOLD,
        gt=0.0,
        lt=1.0,
        description="Probability above which a label is given (multi_label).",
    )
    metric: str | None = Field(
        None,
        description="Metric that picks the best model: accuracy, f1, macro_f1, matthews, pearson, "
        "spearman; micro_f1, macro_f1, subset_accuracy for several labels; span_f1, "
        "span_precision, span_recall, accuracy for words. None takes the task's own.",
    )
    max_length: int = Field(128, ge=8, le=8192, description="Longest input in tokens; cut beyond.")
    max_train_examples: int | None = Field(
        None, ge=1, description="Train on this many examples only (a fixed random choice)."
    )
    max_validation_examples: int | None = Field(
        None, ge=1, description="Evaluate on this many examples only (a fixed random choice)."
    )

    @property
    def is_own(self) -> bool:
        """Whether the data is the user's: files, or a data set of the hub."""
        return self.train_file is not None or self.dataset is not None

    @property
    def data_kind(self) -> KindName | None:
        """What the labels of the data are, given or guessed in own data; None while nobody says."""
        if self.is_own:
            return self.kind
        if glue.is_task(self.name):
            return glue.find(self.name).kind
        return "classification" if glue.plain(self.name) == "demo" else None

    @property
    def inputs_of_a_row(self) -> int:
        """How many inputs a row is for the model: its alternatives, or one."""
        own = self.choice_columns or ()
        if not self.is_own and glue.is_task(self.name):
            own = glue.find(self.name).choices
        return len(own) or 1

    @property
    def labels_in(self) -> tuple[str, ...]:
        """Names of the columns that hold what is learned."""
        if self.label_columns:
            return self.label_columns
        return () if self.label_column is None else (self.label_column,)

    def _broken_languages(self) -> Iterator[Broken]:
        """Languages that a task does not have."""
        known = glue.find(self.name).languages
        one = self.train_language
        given = {"train_language": (one,) if one else (), "eval_languages": self.eval_languages}
        for key, languages in given.items():
            for language in languages or ():
                if language not in known:
                    of = f"{glue.find(self.name).title} has no language {language[:20]!r}"
                    mend = f"it has {', '.join(known)}" if known else "leave it out: it has one"
                    yield Broken(of, mend, (key, "name"))

    def _broken_labels(self) -> Iterator[Broken]:
        """Rules of what only some kinds of task have."""
        several = self.label_columns
        for key, (only, what) in SOME_KINDS.items():
            if getattr(self, key) and self.kind not in (None, only):
                yield Broken(
                    f"{key} is for {what}, and kind is {self.kind}",
                    f'set kind = "{only}", or leave {key} out',
                    (key, "kind"),
                )
        yield from self._broken_choices()
        if self.kind not in (None, "multi_label"):
            several = None
        if several and self.label_column is not None:
            yield Broken(
                "label_columns and label_column exclude each other",
                "name the columns of 0 and 1, or the one column that has all labels",
                ("label_columns", "label_column"),
            )
        elif several and self.label_separator is not None:
            yield Broken(
                "label_separator has no meaning beside label_columns",
                "leave it out: a column of 0 and 1 is one label",
                ("label_separator", "label_columns"),
            )
        elif several and len(several) < 2:
            yield Broken(
                "label_columns has one column only",
                "add the others; one column of 0 and 1 is label_column of a classification",
                ("label_columns",),
            )
        for key in ("text_column", "text_pair_column"):
            if several and getattr(self, key) in several:
                yield Broken(
                    f"{key} is one of label_columns, {getattr(self, key)[:80]!r}",
                    "the label must not stand in the text",
                    ("label_columns", key),
                )
        if self.kind == "token" and self.text_pair_column is not None:
            yield Broken(
                "the words of a text are tagged, and there are two texts",
                'leave text_pair_column out, or set another kind than "token"',
                ("text_pair_column", "kind"),
            )

    def _broken_choices(self) -> Iterator[Broken]:
        """Rules of the columns with alternatives."""
        columns = self.choice_columns or ()
        if self.kind not in (None, "choice"):
            return
        if self.kind == "choice" and not columns:
            yield Broken(
                "a choice needs choice_columns",
                "name the columns with the alternatives, such as choice1,choice2",
                ("choice_columns", "kind"),
            )
        elif len(columns) == 1:
            yield Broken(
                "choice_columns has one column only",
                "name the columns of all alternatives: there is nothing to choose from one",
                ("choice_columns",),
            )
        for key in ("text_column", "text_pair_column", "label_column"):
            if getattr(self, key) in columns:
                yield Broken(
                    f"{key} is one of choice_columns, {getattr(self, key)[:80]!r}",
                    "an alternative is a column of its own",
                    ("choice_columns", key),
                )

    def broken_rules(self) -> Iterator[Broken]:
        if not self.is_own and self.validation_file is None:
            if glue.plain(self.name) != "demo" and not glue.is_task(self.name):
                yield Broken(*glue.unknown(self.name), ("name",))
            elif glue.is_task(self.name):
                yield from self._broken_languages()
            return
        if not self.is_own:
            yield Broken(
                "own data needs train_file",
                "add train_file",
                ("train_file", "validation_file"),
            )
        if self.dataset is not None:
            for key in ("train_file", "validation_file", "test_file"):
                if getattr(self, key) is not None:
                    yield Broken(
                        f"dataset and {key} exclude each other",
                        "name a data set of the hub or files, not both",
                        ("dataset", key),
                    )
        for key in ("text_column", "label_column", "kind"):
            if getattr(self, key) is None and not (key == "label_column" and self.label_columns):
                mend = f"set task.{key} (`calisr data FILE` says which fits)"
                yield Broken(f"own data needs {key}", mend, (key,))
        yield from self._broken_labels()
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
