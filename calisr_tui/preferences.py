"""What the app remembers of its list of runs, in a file beside the keys and the theme."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from calisr_engine.errors import CalisrError, ConfigError
from calisr_engine.runs.columns import column
from calisr_engine.storage.plain import read_json
from calisr_engine.storage.whole import write_text

FILE = "runs.json"
LARGEST = 1 << 16


@dataclass(frozen=True)
class RunsTable:
    """How runs are listed.

    Attributes:
        columns: in this order; none for the usual ones.
        sort: a column; down: highest first.
        groups: columns that make the levels of a tree.
    """

    columns: tuple[str, ...] = ()
    sort: str = "created"
    down: bool = True
    groups: tuple[str, ...] = ()


def read_runs_table(folder: Path) -> RunsTable:
    """The table as it was left; what is not there or cannot be used is as usual."""
    found: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        found = read_json(folder / FILE, LARGEST)
    usual = RunsTable()
    sort, down = found.get("sort"), found.get("down")
    return RunsTable(
        columns=_known(found.get("columns")),
        sort=(_known([sort]) or (usual.sort,))[0],
        down=down if isinstance(down, bool) else usual.down,
        groups=_known(found.get("groups")),
    )


def write_runs_table(folder: Path, table: RunsTable) -> None:
    """Remember a table; where the folder cannot be written, it is forgotten."""
    with contextlib.suppress(CalisrError):
        write_text(folder / FILE, json.dumps(asdict(table)) + "\n", "how runs are listed")


def _known(names: object) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in names if isinstance(names, list) else []:
        with contextlib.suppress(ConfigError):
            if isinstance(name, str):
                found[column(name).name] = None
    return tuple(found)
