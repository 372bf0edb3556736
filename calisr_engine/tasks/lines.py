"""Cells as one line of a CSV or TSV file, which readers read back."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Any

BREAKS = re.compile("[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
"""Where readers of tables cut cells or lines."""


def one_cell(text: str) -> str:
    """The text with a space for each character at which readers of tables cut."""
    return BREAKS.sub(" ", text)


def tsv_line(cells: Iterable[str]) -> str:
    """Cells with tabs between and no line end; a tab or a line break in one becomes a space."""
    return "\t".join(map(one_cell, cells))


def csv_line(cells: Iterable[Any]) -> str:
    """Cells as RFC 4180 has them, and a line feed; every cell reads back as its text."""
    line = io.StringIO(newline="")
    # A csv.writer quotes a carriage return only where it is part of its own line end.
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue().removesuffix("\r\n") + "\n"
