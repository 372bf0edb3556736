"""Many groups as a map: a cell a group, with its phase, its counter and its last sample.

Groups of a layer and a component each stand by components and layers, whichever way round shows
more of each; other groups one beside the other, each with its name. What does not fit scrolls.

    ░◆120▼   light since step 120; its last sample was a hit (the light part below the full step)
    █3/5△    in full fine-tuning, 3 hits in 5 samples of the window; its last sample was none
    █3△, ▅△  the same where there is less room; the height of the block is the score
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from calisr_engine.models.grouping import by_layer_and_component
from calisr_tui.charts.drawing import append_cells
from calisr_tui.charts.plot import Piece
from calisr_tui.charts.signs import BARS, FULL, LIGHT, SWITCH
from calisr_tui.charts.srs_table import HIT, MISS, Row, bar
from calisr_tui.verbatim import Text

MOST_ROWS = 8
"""Groups up to which they stand in a table, a row each."""

NO_SAMPLE, CHOSEN, NOTHING = "·", "▸", "–"
SHORTER: tuple[Mapping[str, str], ...] = (
    {},
    {"attention_output": "att out", "intermediate": "interm"},
    {"attention_output": "attn", "intermediate": "inter", "output": "outp"},
)
"""Components where there is less and less room."""
WITH_BAR = 10
"""Cells from which on a bar of the score stands beside what is said."""
NAME, FLOWING = 16, 8
"""Cells of a group's name, and lines of a map of groups that have no layers, if they can."""


@dataclass(frozen=True)
class Places:
    """Where the groups stand.

    Attributes:
        rows, columns: titles; without any, each cell carries its own name.
        cells: row by row the number of the group there, or None.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[int | None, ...], ...]

    def turned(self) -> Places:
        return Places(self.columns, self.rows, tuple(zip(*self.cells, strict=True)))

    def find(self, index: int) -> tuple[int, int]:
        """(row, column) of a group."""
        return next((y, row.index(index)) for y, row in enumerate(self.cells) if index in row)

    def beside(self, index: int, down: int, right: int) -> int:
        """The nearest group that way; the same one at the edge."""
        y, x = self.find(index)
        while True:
            y, x = y + down, x + right
            if not (0 <= y < len(self.cells) and 0 <= x < len(self.cells[y])):
                return index
            found = self.cells[y][x]
            if found is not None:
                return found


@dataclass(frozen=True)
class Arrangement:
    """How a map is drawn in some room.

    Attributes:
        form: cells of what is said of a group; beside it stands its name where it has one.
        pitch: cells from one group to the next.
        title: cells of the titles of the rows, or of the names in the cells.
        rows, columns: those that are seen.
    """

    places: Places
    form: int
    pitch: int
    title: int
    rows: range
    columns: range

    @property
    def named(self) -> bool:
        """Whether each cell carries the name of its group."""
        return not self.places.rows

    @property
    def begin(self) -> int:
        """The first cell of the first group of a line, where the mark of the chosen one stands."""
        return 0 if self.named else 2 + self.title

    def at(self, x: int, y: int) -> int | None:
        """The group that is drawn there; None for none."""
        row, column = y - 1 + self.rows.start, (x - self.begin) // self.pitch + self.columns.start
        seen = row in self.rows and column in self.columns and x >= self.begin
        return self.places.cells[row][column] if seen else None


def is_map(groups: Sequence[str]) -> bool:
    """Whether these groups are too many for a table."""
    return len(groups) > MOST_ROWS


def natural_height(groups: tuple[str, ...], width: int, said: tuple[int, ...]) -> int:
    """Lines that a map takes where it may choose, the line of titles included."""
    found = by_layer_and_component(groups)
    if found is not None:
        return 1 + len(found[1])
    return 1 + len(arrange(groups, width, 1 + FLOWING, 0, said).rows)


@lru_cache(maxsize=32)
def arrange(
    groups: tuple[str, ...], width: int, height: int, chosen: int, said: tuple[int, ...]
) -> Arrangement:
    """The map of these groups in `height` lines of `width` cells; `chosen` is always seen.

    Args:
        said: of `said_lengths`.
    """
    lines = max(1, height - 1)
    with_bar = [each + 7 for each in said]
    alone = [min(each + 2, WITH_BAR - 1) for each in said]
    forms = (*with_bar, *alone, 3, 2)
    places = _by_cells(groups)
    if places is None:
        return _flowing(groups, width, lines, chosen, (with_bar[0], *alone, 3, 2))
    for form in forms:
        for way in (places, places.turned()):
            for names in SHORTER:
                title = max(len(_titled(row, names)) for row in way.rows)
                heads = [names.get(column, column) for column in way.columns]
                for pitch in (form + 1, form)[: 1 + (form == 2)]:
                    wide = 2 + title + pitch * len(heads) - (pitch > form) <= width
                    readable = pitch == 2 or max(map(len, heads)) < pitch
                    if wide and readable and len(way.rows) <= lines:
                        long = max(len(_titled(row, {})) for row in way.rows)
                        if 2 + long + pitch * len(heads) <= width:
                            title = long
                        most = 24 if form in with_bar else pitch
                        if form in alone:
                            most = min(form + 3, WITH_BAR)
                        spare = max(pitch, min(most, (width - 1 - title) // len(heads)))
                        return _window(way, spare, form, title, width, lines, chosen)
    title = max(len(_titled(row, SHORTER[-1])) for row in places.rows)
    return _window(places, 4, 3, title, width, lines, chosen)


def _window(
    places: Places, pitch: int, form: int, title: int, width: int, lines: int, chosen: int
) -> Arrangement:
    """As many rows and columns as there is room for, around the chosen one."""
    y, x = places.find(chosen)
    begin = 0 if not places.rows else 2 + title
    form = pitch - 1 if pitch > form + 1 else form
    wide = max(1, (width - begin + pitch - form) // pitch)
    columns = max(map(len, places.cells))
    return Arrangement(
        places, form, pitch, title, _around(y, lines, len(places.cells)), _around(x, wide, columns)
    )


def _around(chosen: int, seen: int, count: int) -> range:
    seen = min(seen, count)
    first = max(0, min(chosen - seen // 2, count - seen))
    return range(first, first + seen)


@lru_cache(maxsize=8)
def _by_cells(groups: tuple[str, ...]) -> Places | None:
    found = by_layer_and_component(groups)
    if found is None:
        return None
    layers, components, cells = found
    at = {cell: index for index, cell in enumerate(cells)}
    return Places(
        tuple(components),
        tuple(map(str, layers)),
        tuple(tuple(at.get((layer, each)) for layer in layers) for each in components),
    )


def _flowing(
    groups: tuple[str, ...], width: int, lines: int, chosen: int, forms: tuple[int, ...]
) -> Arrangement:
    """Groups without layers, from top to bottom and then on in the next column."""
    name = min(NAME, max(map(len, groups)))
    for form in forms[1:]:
        pitch = 1 + name + 1 + form
        columns = max(1, width // (pitch + 1))
        rows = math.ceil(len(groups) / columns)
        if rows <= lines or form == forms[-1]:
            break
    rows = max(rows, min(lines, math.ceil(len(groups) / max(1, columns))))
    columns = math.ceil(len(groups) / rows)
    table = tuple(
        tuple(
            index if (index := column * rows + row) < len(groups) else None
            for column in range(columns)
        )
        for row in range(rows)
    )
    pitch = min(max(pitch + 1, width // columns), name + 2 + forms[0] + 6)
    places = Places((), (), table)
    y, x = places.find(chosen)
    wide = max(1, width // pitch)
    room = pitch - name - 3
    form = max(each for each in (*forms[1:], form, room if room >= forms[0] else 0) if each <= room)
    return Arrangement(
        places, form, pitch, name, _around(y, lines, rows), _around(x, wide, columns)
    )


# Drawing ------------------------------------------------------------------------------------------


def map_text(
    table: Sequence[Row],
    seen: Arrangement,
    delta: float | None,
    width: int,
    chosen: int | None,
    focused: bool,
    styles: Mapping[str, str],
) -> Text:
    """The map as text, a line of titles first.

    Args:
        table: the groups. delta: None where no score decides. chosen: None for no mark.
        focused: whether the chosen cell is where the keys go.
    """
    at = (-1, -1) if chosen is None else seen.places.find(chosen)
    lines = [_titles(seen, at, width, styles)]
    for y in seen.rows:
        pieces: list[Piece] = []
        if not seen.named:
            mark = CHOSEN if y == at[0] else " "
            title = f"{mark}{shorter(seen.places.rows[y], seen.title):<{seen.title}}"
            pieces += [(title, "bold" if y == at[0] else ""), (" ", "")]
        for x in seen.columns:
            pieces += _in_pitch(table, seen, y, x, (y, x) == at, delta, styles)
        line = Text(no_wrap=True)
        append_cells(line, pieces)
        if y == at[0] and at[1] in seen.columns:
            start = seen.begin + (at[1] - seen.columns.start) * seen.pitch
            inside = seen.pitch if seen.named else seen.form
            style = styles["row"] if focused else "bold underline"
            line.stylize(style, start, start + inside)
        line.truncate(width, pad=True)
        lines.append(line)
    return Text("\n", no_wrap=True, overflow="crop").join(lines)


def _in_pitch(
    table: Sequence[Row],
    seen: Arrangement,
    y: int,
    x: int,
    chosen: bool,
    delta: float | None,
    styles: Mapping[str, str],
) -> list[Piece]:
    """One group with the space up to the next, and its name where it carries one."""
    index = seen.places.cells[y][x]
    if index is None:
        return [(" " * seen.pitch, "")]
    pieces: list[Piece] = []
    if seen.named:
        mark = CHOSEN if chosen else " "
        name = f"{mark}{shorter(table[index].name, seen.title):<{seen.title}}"
        pieces += [(name, "bold" if chosen else ""), (" ", "")]
    pieces += cell(table[index], seen.form, delta, styles)
    room = seen.pitch - seen.form - (2 + seen.title if seen.named else 0)
    return [*pieces, (" " * room, "")]


def _titles(seen: Arrangement, at: tuple[int, int], width: int, styles: Mapping[str, str]) -> Text:
    """The titles of the columns, and how many rows and columns are out of sight."""
    above, below = seen.rows.start, len(seen.places.cells) - seen.rows.stop
    before = seen.columns.start
    after = max(map(len, seen.places.cells)) - seen.columns.stop
    hidden = [
        f"{sign}{count}"
        for sign, count in (("↑", above), ("↓", below), ("←", before), ("→", after))
        if count
    ]
    note = " ".join(hidden)
    if seen.named:
        return Text(f" {note} more".ljust(width)[:width] if note else " " * width, styles["dim"])
    layers = "" if seen.places.rows[0].isdigit() else "layer"
    corner = f" {note or layers}"[: seen.begin]
    row = list(corner.ljust(width))
    places = sorted(seen.columns, key=lambda x: x != at[1])
    for x in places:
        start = seen.begin + (x - seen.columns.start) * seen.pitch
        title = shorter(seen.places.columns[x], max(2, min(seen.pitch - 1, 5 + 11 * (not layers))))
        around = row[max(0, start - 1) : start + len(title) + 1]
        if x == at[1] or all(sign == " " for sign in around):
            row[start : start + len(title)] = title
    text = Text("".join(row)[:width].ljust(width), styles["dim"], no_wrap=True)
    if at[1] >= 0:
        start = seen.begin + (at[1] - seen.columns.start) * seen.pitch
        text.stylize(f"not dim bold {styles['strong']}", start, start + seen.pitch)
    return text


def cell(row: Row, form: int, delta: float | None, styles: Mapping[str, str]) -> list[Piece]:
    """What is said of a group in `form` cells."""
    light = row.phase != "fft"
    phase: Piece = (LIGHT if light else FULL, styles["lft" if light else "fft"])
    sign: Piece = (NO_SAMPLE, styles["dim"])
    if row.difference is not None:
        style = styles["dim"] if light else styles["good" if row.hit else "bad"]
        sign = (HIT if row.hit else MISS, style)
    if form < 3:
        return [phase if light or delta is None else (_level(row.score), phase[1]), sign]
    room = form - 2 if form < WITH_BAR else min(7, form - 6)
    words = _words(row, room)
    if form >= WITH_BAR and len(words) < room:  # apart from the block where there is room
        words = f" {words}"
    words = f"{words:<{room}}"
    strong = styles["strong"] if row.switched_at is not None else ""
    if form < WITH_BAR:
        return [phase, (words, strong), sign]
    if delta is None:
        return [phase, (words, strong), sign, (" " * (form - room - 2), "")]
    wide = form - room - 3
    drawn, _ = bar(row.score, delta, wide)
    style = styles["dim"] if light else styles["fft"]
    drawing = [(each, styles["dim"] if each == "╌" else style) for each in drawn]
    return [phase, (words, strong), sign, (" ", ""), *drawing]


def _words(row: Row, room: int) -> str:
    """The step of the switch, or the counter, as far as there is room."""
    if row.switched_at is not None:
        words = f"{SWITCH}{row.switched_at}"
        return words if len(words) <= room else SWITCH
    if not row.samples:
        return NOTHING
    whole = f"{row.hits:g}/{row.samples}"
    if len(whole) <= room:
        return whole
    hits = f"{row.hits:g}"
    return hits if len(hits) <= room else _level(row.score)


def _level(score: float | None) -> str:
    """A score as the height of a block."""
    return NO_SAMPLE if score is None else BARS[max(0, min(7, round(8 * score) - 1))]


def _titled(row: str, names: Mapping[str, str]) -> str:
    """The title of a row where components are called as in `names`."""
    return f"layer {row}" if row.isdigit() and not names else names.get(row, row)


def shorter(text: str, width: int) -> str:
    for names in SHORTER:
        if len(_titled(text, names)) <= width:
            return _titled(text, names)
    return f"{text[: width - 1]}…"


def said_lengths(table: Sequence[Row]) -> tuple[int, ...]:
    """Cells of the longest text, and of the longest counter, where steps of switches are longer."""
    counters = max([3, *(len(f"{row.hits:g}/{row.samples}") for row in table if row.samples)])
    steps = [len(f"{SWITCH}{row.switched_at}") for row in table if row.switched_at is not None]
    longest = max([counters, *steps])
    return (longest, counters) if longest > counters else (counters,)
