"""Predictions of a set of rows as a tab-separated table: written by a run, read again by others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from calisr_engine.tasks.examples import Examples
from calisr_engine.tasks.lines import one_cell

if TYPE_CHECKING:
    from torch import Tensor

LOGIT = "logit "
"""Before the name of a class, in the header."""
PROBABILITY = "probability "
"""Before the name of a class, in the header of what `predict` writes."""
TEXTS = ("text", "text_pair")
"""The columns of texts; the first has the word where each word has a row."""
CHOICE = "choice "
"""Before the number of an alternative from 1, in the header."""
PLACE = "place"
"""The column that numbers the words of a text from 0."""


def text_names(count: int) -> tuple[str, ...]:
    """Names of the columns of so many texts: one, two, or one and its alternatives."""
    if count <= len(TEXTS):
        return TEXTS[:count]
    return (TEXTS[0], *(f"{CHOICE}{number}" for number in range(1, count)))


def written(
    examples: Examples,
    predicted: Sequence[Any],
    logits: Tensor,
    names: Sequence[str] | None,
    texts: bool = False,
) -> str:
    """The table, with a header row.

    A row an example: index (as the source numbers its rows), label (not for test sets), prediction
    (class name or value; several labels as a JSON list), for classes the logit of each, and with
    `texts` the text, or both, or the text and its alternatives. Where each word has a tag, a row a
    word: its place comes after the index, and its text is the word.

    Args:
        predicted: class numbers, values, or for several labels 0 and 1 by class; of each row or
            word.
        logits: shape (rows or words, outputs).
        names: class names by class number, without what parts cells (`labels.check_name`); None
            for values.
    """
    if len(logits) != examples.answers:
        raise ValueError(f"{len(logits)} predictions for {examples.answers} rows")
    index = examples.index or range(len(examples))
    header = [
        "index",
        *([PLACE] if examples.words is not None else []),
        *(["label"] if examples.label is not None else []),
        "prediction",
    ]
    if names is not None:
        header += [f"{LOGIT}{each}" for each in names]
    shown = examples.texts if texts else [()] * len(examples)
    header += text_names(len(shown[0]) if shown else 0)
    lines = ["\t".join(header)]
    values = logits.reshape(len(logits), -1).tolist()
    for at, (row, place, label) in enumerate(_answers(examples)):
        cells = [str(index[row])]
        if place is not None:
            cells.append(str(place))
        if examples.label is not None:
            cells.append(str(label) if names is None else _name(label, names))
        said = predicted[at]
        cells.append(repr(said) if names is None else _name(said, names))
        if names is not None:
            cells += [repr(value) for value in values[at]]
        if place is not None and texts:
            assert examples.words is not None
            cells.append(one_cell(examples.words[row][place]))
        else:
            cells += map(one_cell, shown[row])
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


def _answers(examples: Examples) -> Iterator[tuple[int, int | None, Any]]:
    """(row, place of the word in it or None, label) of each answer."""
    for row in range(len(examples)):
        label: Any = None if examples.label is None else examples.label[row]
        if examples.words is None:
            yield row, None, label
            continue
        for place in range(len(examples.words[row])):
            yield row, place, None if label is None else label[place]


def _name(answer: Any, names: Sequence[str]) -> str:
    """One class, or the list of those that are given."""
    if isinstance(answer, tuple | list):
        given = [names[number] for number, one in enumerate(answer) if one]
        return json.dumps(given, ensure_ascii=False)
    return names[int(answer)]
