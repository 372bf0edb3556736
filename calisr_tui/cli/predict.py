"""`calisr predict`: what the best model of a run says of texts."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calisr_engine.errors import ConfigError, DataError
from calisr_engine.plain_words import counted, one_line, quoted
from calisr_tui.charts.answer import name_of
from calisr_tui.cli.options import OutputDir, RunArgument, find_run, quiet_libraries
from calisr_tui.cli.out import put, put_json, put_json_line, say

if TYPE_CHECKING:
    from calisr_engine.results.prediction_files import Row
    from calisr_engine.results.predictor import Prediction, Text
    from calisr_engine.results.run_task import RunTask

EXAMPLE = 'Example: calisr predict runs/my-run "A fine day." · --file new.csv --out found.csv'
MOST_COLUMNS = 4
"""Classes that a table on the terminal has a column for; of more, the likeliest alone is shown."""


def add_to(app: typer.Typer) -> None:
    app.command("predict", epilog=EXAMPLE)(predict)


def predict(
    name: RunArgument,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...",
            help="Texts; `-` reads one a line from stdin (pairs: TEXT⇥TEXT; so do alternatives).",
        ),
    ] = None,
    pairs: Annotated[
        list[str] | None,
        typer.Option("--pair", metavar="TEXT", help="The second text, once for each text."),
    ] = None,
    choices: Annotated[
        list[str] | None,
        typer.Option(
            "--choice", metavar="TEXT", help="An alternative; those of each text in turn."
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="A CSV, TSV, JSONL, Parquet or CoNLL file.")
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", metavar="COLUMN", help="Its column; else as the run was trained."),
    ] = None,
    text_pair: Annotated[
        str | None, typer.Option("--text-pair", metavar="COLUMN", help="Its second column.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write a .csv, .tsv, .jsonl or .parquet file; of tagged words also .conll.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Texts of a batch.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, mps, cuda or cuda:N.")] = "auto",
    output_dir: OutputDir = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a text.")] = False,
) -> None:
    """Predict texts with a run's best model, also of a run that stopped, failed or still trains.

    Classes come with their probabilities, in the order of the texts. A table on a terminal, else
    tab-separated lines. Where words are tagged, texts are cut at blanks, and entities stand in
    brackets.
    """
    from calisr_engine.config.load import from_resolved
    from calisr_engine.results import prediction_files
    from calisr_engine.results.run_task import task_of

    beside = [*(pairs or ()), *(choices or ())]
    _check_one_source(texts or [], beside, file, text, text_pair)
    if out is not None and file is not None and out.resolve() == file.resolve():
        raise ConfigError(f"--out is the file to predict, {out}", "name another file")
    run_dir = find_run(name, output_dir)
    config = from_resolved(run_dir / "config.toml")
    task = task_of(config)
    if out is not None:
        prediction_files.check_out(out, task)
    quiet_libraries()
    rows: Iterable[Text]
    if file is not None:
        rows, notes = prediction_files.read_texts(file, task, text, text_pair)
        for note in notes:
            say(note)
    elif texts == ["-"]:
        rows = _lines(task)
    else:
        rows = _given(texts or [], pairs or [], choices or [], task)
        for each in texts or []:
            if os.path.isfile(each):  # False for what is too long, or no path at all
                say(f"{quoted(each)} is taken as a text; --file reads the file of that name")
    from calisr_engine.results.predictor import Predictor

    predictor = Predictor(run_dir, device, batch_size, config)
    # Who types lines wants an answer to each.
    window = 1 if texts == ["-"] and sys.stdin.isatty() else None
    found = predictor.with_texts(rows, window)
    if out is not None:
        count = prediction_files.write_predictions(out, found, task, predictor.classes)
        say(f"{counted(count, 'text')} predicted")
        put_json({"out": str(out), "rows": count}) if as_json else put(out)
        return
    _show(found, task, predictor.classes, as_json)


def _check_one_source(
    texts: Sequence[str],
    beside: Sequence[str],
    file: Path | None,
    text: str | None,
    text_pair: str | None,
) -> None:
    if not texts and file is None:
        raise ConfigError(
            "there is nothing to predict", "give texts, --file FILE, or - for lines of stdin"
        )
    if texts and file is not None:
        raise ConfigError("give texts or --file, not both")
    if file is None and (text is not None or text_pair is not None):
        option = "--text" if text is not None else "--text-pair"
        raise ConfigError(f"{option} names a column of --file, and there is none", "add --file")
    if beside and file is not None:
        raise ConfigError(
            "--pair and --choice stand beside a text, and a file has columns",
            "for a second column, use --text-pair; alternatives are in the run's own columns",
        )
    if "-" in texts and (len(texts) > 1 or beside):
        raise ConfigError(
            "- reads all from stdin, and stands alone", "other texts stand behind a tab there"
        )


def _given(
    texts: Sequence[str], pairs: Sequence[str], choices: Sequence[str], task: RunTask
) -> list[Text]:
    count = len(task.choices)
    if choices and not count:
        raise ConfigError(f"{task.name} has no alternatives", "leave --choice out")
    if len(choices) != count * len(texts):
        raise ConfigError(
            f"{task.name} takes {count} alternatives for each text, and there are {len(texts)} "
            f"texts and {len(choices)} --choice",
            f"give --choice TEXT {count} times for each text, in the order of the texts",
        )
    if not task.is_pair:
        if pairs:
            raise ConfigError(f"{task.name} takes single texts, not pairs", "leave --pair out")
        if count:
            starts = range(0, len(choices), count)
            own = [choices[start : start + count] for start in starts]
            return [(text, *each) for text, each in zip(texts, own, strict=True)]
        return list(texts)
    if len(pairs) != len(texts):
        raise ConfigError(
            f"{task.name} takes pairs of texts, and there are {len(texts)} texts and {len(pairs)} "
            "--pair",
            "give --pair TEXT once for each text, in the same order",
        )
    return list(zip(texts, pairs, strict=True))


def _lines(task: RunTask) -> Iterator[Text]:
    """Texts of the lines of stdin, of which there is at least one."""
    lines = _texts_of(sys.stdin.buffer, task)
    first = next(lines, None)
    if first is None:
        raise DataError("stdin is empty", "give one text a line")
    return itertools.chain([first], lines)


def _texts_of(stream: Iterable[bytes], task: RunTask) -> Iterator[Text]:
    for number, content in enumerate(stream, 1):
        try:
            line = content.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(
                f"stdin, line {number}: byte {error.start + 1} is not UTF-8", "convert it to UTF-8"
            ) from error
        if task.choices:
            cells = tuple(line.split("\t"))
            if len(cells) != 1 + len(task.choices):
                raise DataError(
                    f"stdin, line {number}: {len(cells) - 1} alternatives in {quoted(line)}",
                    f"write a text and its {len(task.choices)} alternatives on one line, with a "
                    "tab between them",
                )
            yield cells
            continue
        if not task.is_pair:
            yield line
            continue
        text, tab, second = line.partition("\t")
        if not tab:
            raise DataError(
                f"stdin, line {number}: {quoted(line)} has no second text",
                f"{task.name} takes pairs: write both on one line, with a tab between them",
            )
        yield text, second


def _show(rows: Iterable[Row], task: RunTask, classes: Sequence[str] | None, as_json: bool) -> None:
    from calisr_engine.results.prediction_files import record, tsv_lines

    if as_json:
        for row in rows:
            put_json_line(record(*row))
    elif sys.stdout.isatty():
        if task.tags_words:
            for _, found in rows:
                put(name_of(found))
        else:
            _table(rows, classes)
    else:
        for line in tsv_lines(rows, task, classes):
            put(line)


def _table(rows: Iterable[Row], classes: Sequence[str] | None) -> None:
    """Lines as wide as the terminal, each as soon as it is known."""
    from rich.cells import cell_len, set_cell_size

    shown = list(classes or ()) if len(classes or ()) <= MOST_COLUMNS else None
    label = max([cell_len(one_line(each)) for each in classes or ()] + [len("prediction")])
    titles = ["probability"] if shown is None else [one_line(each) for each in shown]
    if classes is None:
        titles = []
    widths = [min(20, max(6, cell_len(each))) for each in titles]
    label = min(label, 24)
    room = max(
        20, shutil.get_terminal_size((80, 24)).columns - label - sum(widths) - 2 * len(widths) - 3
    )

    def line(first: str, values: Sequence[str], last: str) -> str:
        cells = [set_cell_size(value, width) for value, width in zip(values, widths, strict=True)]
        if cell_len(last) > room:
            last = set_cell_size(last[: 2 * room], room - 1).rstrip() + "…"
        return "  ".join([set_cell_size(first, label), *cells, last])

    put(line("prediction", titles, "text"))
    for text, found in rows:
        words = text if isinstance(text, str) else " | ".join(text)
        put(line(name_of(found), _shares(found, shown), one_line(words[: 4 * room])))


def _shares(found: Prediction, shown: Sequence[str] | None) -> list[str]:
    if found.probabilities is None:
        return []
    if shown is None:
        values: Any = [max(found.probabilities.values())]
    else:
        values = [found.probabilities[each] for each in shown]
    return [f"{value:.4f}" for value in values]
