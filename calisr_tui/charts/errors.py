"""A model's errors as text: classes, confusions, calibration, lengths, residuals, single rows."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from calisr_engine.analysis.error_report import ErrorReport, Mistake
from calisr_engine.plain_words import one_line
from calisr_tui.verbatim import Table, Text
from calisr_tui.words import share

MOST_CLASSES = 30
"""Classes that the table has a row for, and confusions in the list of them."""
MOST_SQUARE = 12
"""Classes of the largest confusion matrix that is drawn; of more the confusions are listed."""
LONGEST_NAME = 24
"""Cells of the name of a class."""
LONGEST_TEXT = 2000
"""Characters of a text that are shown at once."""
TRUE = "true ↓  predicted →"
BAR, REST, MARK = "▆", "·", "│"


def summary(report: ErrorReport) -> str:
    """The scores in a line."""
    scores = report.scores
    if report.wrong is None:
        return (
            f"{report.rows:,} rows · mean error {scores['mean_error']:+.4g} · mean absolute "
            f"{scores['mean_absolute_error']:.4g} · root mean squared "
            f"{scores['root_mean_squared_error']:.4g} · Pearson {scores['pearson']:.4f} · "
            f"Spearman {scores['spearman']:.4f}"
        )
    told = " · ".join(f"{_NAMES[name]} {value:.4f}" for name, value in scores.items())
    what = "texts have a wrong tag" if report.kind == "token" else "rows are wrong"
    return f"{report.wrong:,} of {report.rows:,} {what} · {told}"


_NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "matthews": "Matthews",
    "subset_accuracy": "all labels right",
    "span_f1": "span F1",
    "span_precision": "precision",
    "span_recall": "recall",
}
_OF_CLASS = {
    "multi_label": ("label", "rows"),
    "token": ("type", "there"),
    "choice": ("alternative", "rows"),
}
"""What a line of the table of classes is, and what is counted of it; else a class, and rows."""


def classes_table(report: ErrorReport, width: int) -> Table:
    """A row a class, the worst F1 first: precision, recall, F1, how often true and predicted.

    Where it has no room for long names, headings are short and names are cut; numbers never are.
    """
    worst = sorted(report.classes or (), key=lambda each: (each.f1, -each.rows))[:MOST_CLASSES]
    names = [one_line(each.name) for each in worst]
    counts = [(f"{each.rows:,}", f"{each.predicted:,}") for each in worst]
    one, counted = _OF_CLASS.get(report.kind, ("class", "rows"))
    heads, longest = ("precision", "recall", "F1", counted, "predicted"), max(map(cell_len, names))
    wide = [6, 6, 6, *(max(map(len, each)) for each in zip(*counts, strict=True))]

    def room() -> int:
        return width - sum(
            max(len(head), cells) + 2 for head, cells in zip(heads, wide, strict=True)
        )

    if room() < min(longest, LONGEST_NAME):
        heads = ("prec", "recall", "F1", counted, "pred")
    table = _table()
    table.add_column(one, no_wrap=True)
    for name in heads:
        table.add_column(name, justify="right", no_wrap=True)
    most = max(5, min(room(), LONGEST_NAME))
    for each, name, number in zip(worst, names, counts, strict=True):
        shares = (f"{value:.4f}" for value in (each.precision, each.recall, each.f1))
        table.add_row(Text(_cut(name, most)), *shares, *number)
    if len(report.classes or ()) > MOST_CLASSES:
        table.add_row(
            Text(_cut(f"and {len(report.classes or ()) - MOST_CLASSES} more", most), "dim")
        )
    return table


def confusion_table(report: ErrorReport, width: int) -> Table:
    """True classes down, predicted across; where that does not fit, what is confused most. Words by
    the type of their entity, where each has a tag."""
    names = [one_line(each) for each in report.confusion_names]
    matrix = report.confusion or ()
    cell = max((len(f"{count:,}") for row in matrix for count in row), default=1)
    first = max(cell_len(TRUE), *(min(cell_len(name), LONGEST_NAME) for name in names), 0)
    room = (width - first) // max(1, len(names)) - 2
    if first + sum(cell_len(name) + 2 for name in names) <= width:
        room = max(map(cell_len, names), default=0)
    table = _table()
    if len(names) > MOST_SQUARE or room < max(4, cell):
        for name in ("true", "predicted"):
            table.add_column(name, overflow="ellipsis", no_wrap=True, max_width=width // 3)
        table.add_column("words" if report.kind == "token" else "rows", justify="right")
        for true, said, count in report.confusions()[:MOST_CLASSES]:
            table.add_row(one_line(true), one_line(said), f"{count:,}")
        return table
    table.add_column(TRUE, overflow="ellipsis", no_wrap=True, max_width=LONGEST_NAME)
    for name in names:
        table.add_column(
            Text(_cut(name, max(room, cell))), justify="right", no_wrap=True, min_width=cell
        )
    for number, (name, row) in enumerate(zip(names, matrix, strict=True)):
        counts = [
            Text(f"{count:,}", "bold" if column == number else "" if count else "dim")
            for column, count in enumerate(row)
        ]
        table.add_row(name, *counts)
    return table


def calibration_curve(report: ErrorReport, width: int) -> Text:
    """A line a bin of confidence: how many rows, how sure the model was, how often it was right.

    The bar is the accuracy, the mark the mean confidence: a bar that ends short of its mark is
    over-confident.
    """
    text = Text(no_wrap=True, overflow="ellipsis")
    error, mean = report.expected_calibration_error, report.mean_confidence
    assert error is not None
    assert mean is not None
    if report.kind == "multi_label":  # each label of each row, by its probability
        text.append(f"expected calibration error {error:.4f}, each label of each row\n")
        text.append("probability labels  said   there   bar there, │ said\n", "dim")
    else:
        first = f"expected calibration error {error:.4f} · {share(mean)} sure in the mean"
        short = f"calibration error {error:.4f} · {share(mean)} sure"
        text.append(f"{first if len(first) <= width else short}\n")
        bars = "bar right, │ sure" if width >= 52 else "│ sure"
        text.append(f"confidence    rows  sure   right   {bars}\n", "dim")
    room = max(8, width - 37)
    for each in report.calibration or ():
        text.append(f"{each.low:.1f} to {each.high:.1f}  {each.rows:>6,}  ", "dim")
        text.append(f"{share(each.confidence):>5}  {share(each.accuracy):>6}   ")
        full, at = round(room * each.accuracy), min(room - 1, round(room * each.confidence))
        bar = [BAR] * full + [REST] * (room - full)
        bar[at] = MARK
        text.append("".join(bar) + "\n")
    return text


def lengths_table(report: ErrorReport) -> Table | Text:
    """A row a slice by length, with the metrics on it."""
    if report.lengths is None:
        return Text("the texts are not here, so nothing is known of their lengths", "dim")
    table = _table()
    table.add_column("words", no_wrap=True)
    table.add_column("rows", justify="right")
    names = [*report.lengths[0].scores]
    for name in names:
        heading = _SHORT.get(name) or _NAMES.get(name, name.replace("_", " "))
        table.add_column(heading, justify="right", no_wrap=True)
    for each in report.lengths:
        words = f"{each.low}" if each.low == each.high else f"{each.low} to {each.high}"
        table.add_row(words, f"{each.rows:,}", *(f"{each.scores[name]:.4f}" for name in names))
    return table


_SHORT = {
    "mean_error": "mean err",
    "mean_absolute_error": "mean abs",
    "root_mean_squared_error": "rms",
}


def residual_bars(report: ErrorReport, width: int) -> Text:
    """A histogram of prediction less target."""
    text = Text(no_wrap=True, overflow="ellipsis")
    found = report.residuals or ()
    most = max((count for *_, count in found), default=1)
    for low, high, count in found:
        text.append(f"{low:>+10.3g} to {high:>+10.3g}  {count:>6,}  ", "dim")
        text.append(BAR * -(-max(5, width - 36) * count // max(1, most)) + "\n")
    return text


def row_words(each: Mistake) -> list[str]:
    """How sure or how far off, predicted, true: the cells of one row before its text."""
    if each.error is not None:
        return [f"{each.error:+.4g}", f"{each.prediction:.4g}", f"{each.label:.4g}"]
    assert each.confidence is not None
    return [f"{each.confidence:.4f}", one_line(str(each.prediction)), one_line(str(each.label))]


def row_heads(report: ErrorReport) -> list[str]:
    """The headings of `row_words`."""
    return ["sure" if report.wrong is not None else "error", "predicted", "true"]


def text_of(each: Mistake) -> str:
    """Its text, or both with a bar between, on one line; "" where it is not known."""
    return " | ".join(one_line(text[:LONGEST_TEXT]) for text in each.texts or ())


def mistakes_table(report: ErrorReport, rows: Sequence[Mistake], width: int) -> Table:
    """A line a row: confidence or error, predicted, true, index, text."""
    table = Table(box=None, pad_edge=False, header_style="dim", width=width)
    for name in row_heads(report):
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=20)
    table.add_column("row", justify="right", no_wrap=True, overflow="ellipsis", max_width=10)
    table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
    for each in rows:
        table.add_row(*row_words(each), one_line(each.index), text_of(each)[: 4 * width])
    return table


def _table() -> Table:
    return Table(box=None, pad_edge=False, header_style="dim")


def _cut(name: str, room: int) -> str:
    return name if cell_len(name) <= room else set_cell_size(name, max(1, room - 1)).rstrip() + "…"
