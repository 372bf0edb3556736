"""The history line of one run, from as little of its log as it takes."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from calisr_engine.errors import DamagedError
from calisr_engine.events.decode import decode_block
from calisr_engine.events.flat_settings import flatten
from calisr_engine.events.fold import fold_blocks, fold_lines
from calisr_engine.events.log import EventReader
from calisr_engine.events.types import (
    CoinFlipped,
    Completed,
    Count,
    Figure,
    GeneralisationMeasured,
    Moment,
    Progress,
    Resources,
    RunCreated,
    RunStarted,
    SrsEvaluated,
    StableRankSampled,
    StepPartsMeasured,
    Warned,
)
from calisr_engine.events.view import RunView, Switch
from calisr_engine.runs import checked
from calisr_engine.runs.about import About, read_about
from calisr_engine.runs.layout import RunPaths
from calisr_engine.storage.plain import open_plain

HEAD_BYTES = 1 << 14
TAIL_BYTES = 1 << 12, 1 << 16
"""What is read of a log's end: the last line of a complete run is in it."""
PASSED_OVER = {
    each.type
    for each in (
        Progress,
        Resources,
        StableRankSampled,
        StepPartsMeasured,
        CoinFlipped,
        GeneralisationMeasured,
        SrsEvaluated,
        Warned,
    )
}
"""Events of which a history line needs time and step alone: most of a log."""

_PASSED_OVER = re.compile(
    rb'(^\{"v":\d+,"seq":\d+,"attempt":\d+,"time":[\d.]+,"step":\d+,"type":"(?:%b)",.*\n)+'
    % "|".join(PASSED_OVER).encode(),
    re.MULTILINE,
)
"""A stretch of their lines as the writer writes them; the group is the last one."""


@dataclass(frozen=True)
class RunSummary:
    """One line of the history.

    Attributes:
        state: as `RunView.state`, or `unreadable`: then no more is known.
        problem: what is wrong with its log ("" where nothing is known to be).
        name, notes, tags, pinned: what somebody said about it, as in `About`.
        settings_text: its settings, by dotted key, as JSON.
    """

    run_id: str
    path: str
    state: str
    model: str = "?"
    task: str = "?"
    method: str = "?"
    variant: str = "off"
    control: str = "off"
    delta: Figure | None = None
    seed: Count | None = None
    metric: str = ""
    best: Figure | None = None
    last: Figure | None = None
    step: Count = 0
    total_steps: Count = 0
    share: Figure | None = None
    created: Moment | None = None
    updated: Moment | None = None
    switched: dict[str, Count] | None = None
    problem: str = ""
    name: str = ""
    notes: str = ""
    tags: tuple[str, ...] = ()
    pinned: bool = False
    settings_text: str = "{}"

    @property
    def duration(self) -> float | None:
        """Seconds between the first and the newest line."""
        if self.created is None or self.updated is None:
            return None
        return self.updated - self.created

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Its settings by dotted key, as JSON has them."""
        try:
            found = orjson.loads(self.settings_text)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def searched(self) -> str:
        """Where a word of a filter is looked for, in small letters."""
        said = (self.run_id, self.name, self.notes, *self.tags, self.state, self.task, self.model)
        return "\n".join((*said, self.method, self.metric)).lower()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: all fields, and the derived ones that scripts ask for."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        del plain["settings_text"]
        return plain | {"duration": self.duration, "settings": self.settings}


def summarise(run_dir: Path) -> RunSummary:
    """The history line of one run, from as little of its log as it takes.

    Raises:
        NotFoundError: there is no log.
    """
    paths = RunPaths(run_dir)
    about, problem = About(), ""
    try:
        about = read_about(run_dir)
    except DamagedError as error:
        problem = error.message
    said = {each.name: getattr(about, each.name) for each in fields(about)}
    try:
        view = _complete_view(paths.events) or _short_view(paths)
    except DamagedError as error:
        return RunSummary(run_dir.name, str(run_dir), "unreadable", problem=error.message, **said)
    return RunSummary(
        run_dir.name,
        str(run_dir),
        problem="; ".join(filter(None, (view.problem, problem))),
        settings_text=_json(flatten(view.config)),
        **{name: getattr(view, name) for name in _OF_VIEW},
        **said,
    )


def planned(run_dir: Path, state: str, settings: dict[str, Any]) -> RunSummary:
    """The history line of a run that has told nothing yet, from its settings by dotted key."""
    return RunSummary(
        run_dir.name,
        str(run_dir),
        state,
        model=settings["model.name"],
        task=settings["task.name"],
        method=settings["method.name"],
        variant=settings["calibration.variant"],
        control=settings["calibration.control"],
        delta=settings["calibration.delta"],
        seed=settings["training.seed"],
        settings_text=_json(settings),
    )


_OWN = {"run_id", "path", "problem", "settings_text", *(each.name for each in fields(About))}
_OF_VIEW = tuple(each.name for each in fields(RunSummary) if each.name not in _OWN)
"""What a history line takes from the view, where it has the same name."""


def _json(settings: dict[str, Any]) -> str:
    """As JSON; half a character pair, which a log can escape and JSON cannot hold, as "?"."""
    text = json.dumps(settings, ensure_ascii=False)
    return text.encode(errors="replace").decode()


def _complete_view(log: Path) -> RunView | None:
    """What the first lines and the last one say of a complete run; None for any other run.

    The summary in the last line holds what folding the whole log would give. Settings and steps
    stand in the first lines, unless the run went on once more: it may have been given more epochs.
    """
    view = RunView()
    try:
        with open_plain(log) as file:
            head = file.read(HEAD_BYTES)
            first = decode_block(head[: head.rfind(b"\n") + 1])[0]
            fold_lines(view, [line for line in first if line.kind in (RunCreated, RunStarted)])
            if not view.total_steps or not view.config:
                return None
            last = _last_line(file)
        lines = decode_block(last)[0]
        if not lines or lines[0].kind is not Completed or lines[0].attempt > 1:
            return None
        said = fold_lines(view, lines).summary or {}
        view.metric, view.best, view.last = said["metric"], said["best"], said["last"]
        view.trainable, view.total = said["trainable"], said["total"]
        switched = {g: step for g, step in (said["switched"] or {}).items() if step is not None}
        view.switches = [
            Switch(
                step=step,
                epoch=0.0,
                group=group,
                cause="calibration",
                why="",
                trainable_before=0,
                trainable=0,
                total=0,
            )
            for group, step in sorted(switched.items(), key=lambda each: each[1])
        ]
    except (OSError, KeyError):
        return None
    return view


def _last_line(file: BinaryIO) -> bytes:
    """The last line of a file, without its end; b"" where it is not whole or a long one."""
    size = os.fstat(file.fileno()).st_size
    for most in TAIL_BYTES:
        file.seek(max(0, size - most))
        tail = file.read(most)
        begin = tail.rfind(b"\n", 0, -1) + 1
        if begin and tail.endswith(b"\n"):
            return tail[begin:-1]
    return b""


def _short_view(paths: RunPaths) -> RunView:
    """What `load_view` gives, as far as a history line shows it: most lines are passed over.

    Raises:
        NotFoundError: there is no log.
        DamagedError: it cannot be read, or holds no line that can.
    """
    reader = EventReader(paths.events)
    return checked(fold_blocks(RunView(), map(_notable, reader.blocks())), reader, paths)


def _notable(block: bytes) -> bytes:
    """A block without the lines that a history line does not need; each stretch of them leaves its
    last one, for time and step."""
    return _PASSED_OVER.sub(rb"\1", block)
