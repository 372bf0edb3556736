"""What a grid file may say of settings: known keys, each once, and not more runs than can be.

Values are checked where each run is loaded; here is what no single run can tell.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from calisr_engine.config.names import unknown_key
from calisr_engine.config.toml_file import show
from calisr_engine.errors import ConfigError, Place, Problem
from calisr_engine.grid.paper import paper_tables
from calisr_engine.grid.spec import GridFile, When

MOST_RUNS = 20_000
"""Runs of one grid."""

OF_THE_GRID = ("output.dir", "output.name")
"""Settings that the grid gives each of its runs."""


def check_grid(grid: GridFile, path: Path) -> None:
    """Refuse what would be passed over in silence, or never come to an end.

    Raises:
        ConfigError: one problem for each mistake.
    """
    problems = [*_unknown(grid), *_own(grid), *_twice(grid), *_too_many(grid), *_paper(grid)]
    if problems:
        what = f"{len(problems)} mistakes" if len(problems) > 1 else "one mistake"
        place = Place(show(path))
        located = [replace(each, place=place) for each in problems]
        raise ConfigError(f"{path}: {what} in the grid", "Nothing was started.", located)


def matches(rule: When, settings: Mapping[str, Any]) -> bool:
    """Whether a rule is for a run with these settings. A number is not true or false."""
    return all(
        settings.get(key) == wanted and isinstance(settings.get(key), bool) == _is_flag(wanted)
        for key, wanted in rule.match.items()
    )


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _unknown(grid: GridFile) -> Iterable[Problem]:
    named = [("grid.rows", grid.grid.rows), ("grid.columns", grid.grid.columns)]
    named += [(f"when.{at}.match", tuple(rule.match)) for at, rule in enumerate(grid.when)]
    for where, keys in named:
        for key in keys:
            problem = unknown_key(key, None)
            if problem is not None:
                message = f"{key[:80]!r}: {problem.message}"
                yield Problem(message, problem.mend, (where,))


def _own(grid: GridFile) -> Iterable[Problem]:
    named = [("axes", grid.axes), ("settings", grid.settings)]
    named += [("zip", table) for table in grid.zip] + [("when", rule.set) for rule in grid.when]
    for where, keys in named:
        for key in OF_THE_GRID:
            if key in keys:
                yield Problem(
                    "the grid gives its runs their folder and name",
                    "remove it; --output-dir and [grid] name say where they lie",
                    (f"{where}.{key}",),
                )


def _twice(grid: GridFile) -> Iterable[Problem]:
    counts = Counter(key for table in (grid.axes, *grid.zip) for key in table)
    for key, count in counts.items():
        if count > 1:
            yield Problem(f"is on {count} axes", "keep one of them", (key,))


def _too_many(grid: GridFile) -> Iterable[Problem]:
    sizes = {key: len(values) for key, values in grid.axes.items()}
    sizes |= {", ".join(table): len(next(iter(table.values()))) for table in grid.zip}
    count = math.prod(sizes.values())
    if count > MOST_RUNS:
        longest = max(sizes, key=sizes.__getitem__)
        yield Problem(
            f"the axes have {_size(count)} combinations; {MOST_RUNS:,} are the most",
            f"shorten them (the longest has {sizes[longest]:,} values: {longest[:200]})",
            ("axes",),
        )


def _paper(grid: GridFile) -> Iterable[Problem]:
    wanted, known = grid.grid.paper, paper_tables()
    if wanted is not None and wanted not in known:
        yield Problem(
            f"there is no table {wanted[:80]!r} of the paper's figures",
            f"one of {', '.join(known)}",
            ("grid.paper",),
        )


def _size(count: int) -> str:
    return f"{count:,}" if count < 10**15 else f"10^{int(math.log10(count))}"
