"""The user's own data on the command line: options, what is guessed and said, and `calisr data`."""

from __future__ import annotations

import functools
import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calisr_engine.errors import ConfigError
from calisr_tui.cli import complete
from calisr_tui.cli.options import Json
from calisr_tui.cli.out import PlainConsole, put, put_json, say

if TYPE_CHECKING:
    from calisr_engine.config.load import ResolvedConfig
    from calisr_engine.preview.guess import Guessed
    from calisr_engine.preview.look import Look

PANEL = "Own data"


def option(name: str, words: str, metavar: str) -> Any:
    return typer.Option(name, help=words, metavar=metavar, rich_help_panel=PANEL)


Train = Annotated[
    Path | None,
    option(
        "--train", "Training data: a CSV, TSV, JSONL or Parquet file, or a folder of them.", "FILE"
    ),
]
Validation = Annotated[
    Path | None,
    option("--validation", "Validation data; without it part of the rows is set aside.", "FILE"),
]
Test = Annotated[Path | None, option("--test", "Data without labels to predict.", "FILE")]
Dataset = Annotated[
    str | None,
    option("--dataset", "A data set of the Hugging Face hub instead of files.", "NAME[:CONFIG]"),
]
TrainSplit = Annotated[
    str | None, option("--train-split", "Its split to train on; train if none is given.", "NAME")
]
ValidationSplit = Annotated[
    str | None, option("--validation-split", "Its split to validate on.", "NAME")
]
TestSplit = Annotated[str | None, option("--test-split", "Its split to predict.", "NAME")]
TextColumn = Annotated[str | None, option("--text", "Column with the text.", "COLUMN")]
PairColumn = Annotated[str | None, option("--text-pair", "Column with the second text.", "COLUMN")]
LabelColumn = Annotated[str | None, option("--label", "Column with the label.", "COLUMN")]
LabelColumns = Annotated[
    str | None,
    option("--labels", "Several columns of 0 and 1, one a label: toxic,obscene.", "COLUMNS"),
]
LabelSeparator = Annotated[
    str | None, option("--label-separator", "What stands between the labels of a row.", "TEXT")
]
Choices = Annotated[
    str | None,
    option("--choices", "Columns of alternatives, one of them right: choice1,choice2.", "COLUMNS"),
]
Kind = Annotated[
    str | None,
    option("--kind", "classification, regression, multi_label, token or choice.", "KIND"),
]
Metric = Annotated[
    str | None, option("--metric", "Metric that picks the best model, such as macro_f1.", "METRIC")
]
Header = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header",
        help="Whether the first row of a CSV or TSV file names the columns.",
        rich_help_panel=PANEL,
    ),
]
ValidationShare = Annotated[
    float | None,
    option("--validation-share", "Share of the rows set aside, 0.1 if none is given.", "SHARE"),
]
Encoding = Annotated[
    str | None, option("--encoding", "Of files that are not UTF-8, such as cp1252.", "NAME")
]


_OPTIONS: dict[str, Any] = {
    "train": Train,
    "validation": Validation,
    "test": Test,
    "dataset": Dataset,
    "train_split": TrainSplit,
    "validation_split": ValidationSplit,
    "test_split": TestSplit,
    "text": TextColumn,
    "text_pair": PairColumn,
    "label": LabelColumn,
    "labels": LabelColumns,
    "label_separator": LabelSeparator,
    "choices": Choices,
    "kind": Kind,
    "metric": Metric,
    "encoding": Encoding,
    "header": Header,
    "validation_share": ValidationShare,
}
"""Parameter of a command -> the option that it is; None where it is not given."""


def with_options(after: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command the options of own data, which it reads from its context (`task_options`).

    Args:
        after: the parameter of the command behind which they are listed; one of the same name as an
            option takes that option's place.
    """

    def give(command: Callable[..., int]) -> Callable[..., int]:
        known = inspect.signature(command, eval_str=True)
        own = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
            )
            for name, annotation in _OPTIONS.items()
            if name not in known.parameters
        ]
        names = {each.name for each in own}

        @functools.wraps(command)
        def run(**given: Any) -> int:
            return command(**{name: value for name, value in given.items() if name not in names})

        listed: list[inspect.Parameter] = []
        for each in known.parameters.values():
            listed.append(each.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            if each.name == after:
                listed += own
        run.__signature__ = known.replace(parameters=listed)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in listed}
        return run

    return give


def task_options(ctx: typer.Context) -> dict[str, Any]:
    """What the options of a command say of [task], by dotted key; each is named in `OPTIONS`."""
    from calisr_engine.config.options import OPTIONS, OWN_DATA

    names = {key: OPTIONS[key] for key in OWN_DATA}
    names |= {"task.header": "--header", "task.max_length": "--max-length"}
    places = {opt.lstrip("-"): each.name for each in ctx.command.params for opt in each.opts}
    found = {key: ctx.params.get(places.get(name.lstrip("-"), "")) for key, name in names.items()}
    for key in ("task.label_columns", "task.choice_columns"):
        if found.get(key) is not None:
            columns = str(found[key]).split(",")
            found[key] = [each.strip() for each in columns if each.strip()]
    return {key: value for key, value in found.items() if value is not None}


def say_guesses(found: Guessed, seen: Look) -> None:
    """What was guessed and why, on stderr."""
    from calisr_tui.charts.data_look import sizes

    say(f"data: {seen.path}: {seen.form}; {sizes(seen) or f'{len(found.table):,} rows'}")
    for key, value in found.values.items():
        name = key.removesuffix("_file").removesuffix("_column").replace("_", " ")
        shown = ", ".join(value) if isinstance(value, tuple) else value
        say(f"  {name} = {'none' if key == 'header' else shown} ({found.why[key]})")
    say("  otherwise: --text, --text-pair, --label, --kind, --metric; look at it with: calisr data")


def check(resolved: ResolvedConfig, found: Guessed) -> Look:
    """A look at the data of a run that is about to begin.

    Raises:
        CalisrError: training would refuse it.
    """
    from calisr_engine.preview.look import look

    seen = look(resolved.config.task, found)
    if seen.problem is not None:
        raise seen.problem
    return seen


def add_to(app: typer.Typer) -> None:
    app.command(
        "data", epilog="Examples: calisr data reviews.csv · calisr data folder --label stars"
    )(data)


@with_options(after="train")
def data(
    ctx: typer.Context,
    train: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Training data: a file or a folder.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Count tokens as this model's tokenizer does.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option("--max-length", min=8, help="Longest input in tokens.")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="KEY=VALUE",
            help="As for `calisr run`.",
            autocompletion=complete.settings,
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Look at data of your own: columns and their roles, labels, lengths, what is odd in it."""
    from calisr_engine.config.load import Base, load
    from calisr_engine.config.own_data import given_of_task, guessed
    from calisr_engine.preview.lengths import token_counter
    from calisr_engine.preview.look import look

    if train is None and ctx.params.get("dataset") is None:
        raise ConfigError("there is nothing to look at", "name a file, a folder, or --dataset NAME")
    options = task_options(ctx) | ({} if model is None else {"model.name": model})
    given = given_of_task(Base(), sets or [], options)
    found, lacking, guesses = guessed(given)
    resolved = None
    if lacking is None:
        rows = len(found.table)
        resolved = load(None, sets or [], options, guessed=guesses, examples=rows)
        counter = token_counter(resolved.config.model.name)
        seen = look(resolved.config.task, found, counter)
    else:
        from calisr_engine.preview.look import unfinished

        seen = unfinished(found, given | found.values, lacking)
    line = "" if resolved is None or seen.problem else resolved.command_line()
    if as_json:
        put_json(seen.to_dict() | {"guessed": _told(found), "command": line})
    else:
        _print(seen, line)
    if seen.problem is not None:
        if not as_json:
            raise seen.problem
        return seen.problem.exit_code
    return 0


def _told(found: Guessed) -> dict[str, dict[str, str]]:
    return {
        key: {"value": str(value), "why": found.why.get(key, "")}
        for key, value in found.values.items()
    }


def _print(seen: Look, line: str) -> None:
    import sys

    from calisr_engine.preview.look import notes, warnings
    from calisr_tui.charts import data_look

    width = min(shutil.get_terminal_size((100, 24)).columns, 140)
    console = PlainConsole(width=width if sys.stdout.isatty() else 140)
    width = console.width
    put(f"{seen.path}: {seen.form}")
    if seen.sets:
        put(data_look.sizes(seen))
    put()
    console.print(data_look.columns_table(seen, width))
    put()
    console.print(data_look.rows_table(seen, 20, width))
    if seen.sets:
        put()
        console.print(data_look.label_bars(seen.sets, width))
    if seen.lengths is not None:
        put(data_look.length_words(seen.lengths))
        console.print(data_look.length_bars(seen.lengths, width))
    for warning in warnings(seen):
        put(f"! {warning}")
    for note in notes(seen):
        put(f"· {note}")
    if line:
        put(f"\ntrain on it: {line}")
