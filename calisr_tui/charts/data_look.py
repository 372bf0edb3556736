"""A look at the user's data as text: columns, first rows, bars of labels, histogram of lengths."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType

from calisr_engine.plain_words import one_line
from calisr_engine.preview.lengths import Lengths
from calisr_engine.preview.look import Look, SetLook, notes, warnings
from calisr_tui import form
from calisr_tui.verbatim import Table, Text
from calisr_tui.words import share

MOST_LABELS = 12
BAR = "▆"
NARROW = 24
"""Cells up to which a column is shown whole."""


def columns_table(seen: Look, width: int) -> Table:
    """A row a column: its role and why, or what it holds, and an example."""
    table = Table(box=None, pad_edge=False, header_style="dim", width=width)
    names = [one_line(each["name"]) for each in seen.columns]
    longest = max((cell_len(name) for name in names), default=6)
    table.add_column("column", no_wrap=True, overflow="ellipsis", min_width=min(longest, 24))
    table.add_column("role", no_wrap=True, min_width=5)
    whys = max((cell_len(each["why"]) for each in seen.columns), default=0)
    left = width - min(longest, 24) - 5 - 6
    table.add_column("why", no_wrap=True, overflow="ellipsis", width=min(whys, left * 3 // 5))
    table.add_column("example", no_wrap=True, overflow="ellipsis", ratio=1)
    for name, each in zip(names, seen.columns, strict=True):
        table.add_row(
            Text(name),
            Text(each["role"], "bold"),
            Text(each["why"], "" if each["role"] else "dim"),
            Text(one_line(each["example"]), "dim"),
        )
    return table


def rows_table(seen: Look, count: int, width: int) -> Table:
    """The first rows, each on one line: text, pair and label first, the others as they fit."""
    by_role = {each["role"]: each["name"] for each in seen.columns}
    first = [by_role[role] for role in ("label", "text", "pair") if role in by_role]
    names = [*first, *(name for name in seen.header if name not in first)]
    table = Table(box=None, pad_edge=False, header_style="dim", width=width)
    at: list[int] = []
    left = width
    for name in names:
        place = seen.header.index(name)
        texts = [one_line(name), *(one_line(row[place]) for row in seen.head)]
        longest = max(map(cell_len, texts))
        wide = longest > NARROW
        left -= (20 if wide else longest) + 2
        if left < 0 and at:
            break
        at.append(place)
        table.add_column(
            Text(one_line(name)),
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if wide else None,
            min_width=None if wide else longest,
        )
    for row in seen.head[:count]:
        table.add_row(*(Text(one_line(row[place])) for place in at))
    return table


def label_bars(sets: Sequence[SetLook], width: int) -> Text:
    """The classes of the training rows as bars, with the counts of each side."""
    text = Text(no_wrap=True, overflow="ellipsis")
    train = sets[0]
    for each in sets:
        if each.mean is not None:
            text.append(
                f"{each.name}: targets from {each.lowest:g} to {each.highest:g}, {each.mean:.3g} "
                "in the mean\n"
            )
    if not train.labels:
        return text
    sides = [each for each in sets if each.labels]
    counts = [dict(each.labels) for each in sides]
    shown = sorted(train.labels, key=lambda each: -each[1])[:MOST_LABELS]
    most = max(1, shown[0][1])
    named = max(5, min(24, max(cell_len(one_line(name)) for name, _ in shown)))
    columns = [max(len(side.name), len(f"{most:,}")) for side in sides]
    room = max(5, width - named - sum(columns) - 2 * len(columns) - 9)
    text.append(set_cell_size("label", named), "dim")
    for side, digits in zip(sides, columns, strict=True):
        text.append(f"  {side.name:>{digits}}", "dim")
    text.append("\n")
    for name, count in shown:
        text.append(set_cell_size(one_line(name), named))
        for known, digits in zip(counts, columns, strict=True):
            text.append(f"  {known.get(name, 0):>{digits},}")
        text.append(f"  {count / max(1, train.labelled):>4.0%}  ", "dim")
        text.append(BAR * max(1, round(room * count / most)) + "\n")
    if len(train.labels) > MOST_LABELS:
        text.append(f"and {len(train.labels) - MOST_LABELS} more labels\n", "dim")
    return text


def length_bars(found: Lengths, width: int) -> Text:
    """A histogram of lengths, a line a bin; what is cut is drawn paler."""
    text = Text(no_wrap=True, overflow="ellipsis")
    names = [
        f"{low} to {high - 1}" if high - low > 1 else f"{low}"
        for low, high in pairwise(found.edges)
    ]
    if found.longest >= found.edges[-1]:
        names[-1] = f"{found.edges[-2]} and more"
    name_width = max(map(len, names))
    most = max(1, *found.counts)
    room = max(5, width - name_width - 10)
    for name, low, count in zip(names, found.edges, found.counts, strict=False):
        cut = found.cut is not None and low >= found.max_length
        text.append(f"{name:>{name_width}}  {count:>6,}  ", "dim")
        text.append(("░" if cut else BAR) * -(-room * count // most) + "\n")
    return text


def length_words(found: Lengths) -> str:
    """Mean and longest input, and what is cut, in a sentence."""
    words = (
        f"{found.mean:.0f} {found.unit} in the mean, {found.longest:,} at most"
        f" ({found.rows:,} inputs)"
    )
    if found.cut is None:
        return f"{words}; tokens are more, and the model's tokenizer is not here to count them"
    if not found.cut:
        return f"{words}; none is cut at max_length = {found.max_length}"
    return f"{words}; {share(found.cut)} are longer than max_length = {found.max_length} and cut"


def overview(seen: Look, width: int, rows: int = 20) -> Group:
    """Everything beside the setup form: what is odd first, then labels, columns, lengths, rows."""
    parts: list[RenderableType] = [Text(f"{seen.form}\n{sizes(seen)}".rstrip())]
    parts += [Text(f"! {each}") for each in warnings(seen)]
    if seen.sets:
        parts += [Text(), label_bars(seen.sets, width)]
    else:
        parts.append(Text())
    parts += [columns_table(seen, width), Text()]
    if seen.lengths is not None:
        parts += [Text(length_words(seen.lengths)), length_bars(seen.lengths, width)]
    path = Path(seen.path)
    named = [note.replace(str(path.absolute()), path.name) for note in notes(seen)]
    parts += [Text(f"· {form.in_form(each)}") for each in named]
    parts += [Text(), rows_table(seen, rows, width)]
    return Group(*parts)


def sizes(seen: Look) -> str:
    """How many rows each side has, in words."""
    parts = [f"{each.rows:,} rows to {_VERBS.get(each.name, each.name)}" for each in seen.sets]
    return ", ".join(parts)


_VERBS = {"train": "train", "validation": "validate", "test": "predict"}
