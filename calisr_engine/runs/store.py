"""Finding, listing, making and deleting run directories."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import shutil
import time
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from calisr_engine.errors import (
    CalisrError,
    DamagedError,
    LockedError,
    NotFoundError,
)
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
from calisr_engine.runs.index import Index, Key
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked
from calisr_engine.storage.plain import open_plain

STARTING_SECONDS = 30.0
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
    rb'(^\{"v":\d+,"seq":\d+,"attempt":\d+,"time":[\d.]+,"step":\d+,"type":"(?:%b)",.*\n)++'
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


def find(name: str, root: Path) -> Path:
    """The run directory that `name` stands for: a path, an id, or the unique start of an id.

    Raises:
        NotFoundError: there is none, or more than one begins so.
    """
    direct = Path(name)
    if is_run(direct):
        return direct
    if is_run(root / name):
        return root / name
    ids = run_ids(root)
    starting = [each for each in ids if each.startswith(name)]
    if len(starting) == 1:
        return root / starting[0]
    if len(starting) > 1:
        shown = ", ".join(starting[:5])
        raise NotFoundError(f"{name!r} begins {len(starting)} runs: {shown}", "give more of the id")
    near = difflib.get_close_matches(name, ids, n=1, cutoff=0.4)
    raise NotFoundError(
        f"there is no run {name!r} in {root}",
        f"did you mean {near[0]}?" if near else f"`calisr runs --output-dir {root}` lists the runs",
    )


def is_run(folder: Path) -> bool:
    """Whether a folder is a run directory: it has a log, whatever that is like."""
    try:
        return os.path.lexists(RunPaths(folder).events)
    except ValueError:  # a name that no file can have
        return False


def run_ids(root: Path) -> list[str]:
    """Names of all run directories in `root`, sorted."""
    try:
        with os.scandir(root) as entries:
            return sorted(
                e.name for e in entries if os.path.lexists(os.path.join(e.path, "events.jsonl"))
            )
    except OSError:
        return []


def newest_in_training(root: Path) -> Path | None:
    """The run in `root` that began last of those that some process trains now, or is about to."""
    begun: dict[Path, float] = {}
    for run_id in run_ids(root):
        paths = RunPaths(root / run_id)
        with contextlib.suppress(OSError):
            if is_locked(paths):
                begun[paths.root] = paths.lock.stat().st_mtime
            elif is_starting(paths.root):
                begun[paths.root] = paths.events.stat().st_mtime
    return max(begun, key=lambda run_dir: begun[run_dir], default=None)


def is_starting(run_dir: Path) -> bool:
    """Whether a log has one line and that is new: its process still loads libraries."""
    log = RunPaths(run_dir).events
    try:
        if not 0 <= time.time() - log.stat().st_mtime < STARTING_SECONDS:
            return False
        with open_plain(log) as file:
            return file.read(HEAD_BYTES).count(b"\n") == 1
    except OSError:
        return False


class History:
    """The runs of a folder, to be listed again and again: what has not changed is not read again.

    An index file beside them keeps that from one process to the next; it is rebuilt where it is
    missing, damaged or out of date.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._index = Index(root, RunSummary)

    def read(self) -> list[RunSummary]:
        """All runs, newest first; one whose log cannot be read is `unreadable`."""
        summaries = []
        for run_id in run_ids(self.root):
            run_dir = self.root / run_id
            key = _key(run_dir)
            summary = self._index.get(run_id, key)
            if summary is None or summary.state == "unreadable":  # it may have become readable
                try:
                    summary = summarise(run_dir)
                except NotFoundError:  # removed just now
                    continue
            path, state = str(run_dir), summary.state
            if (summary.run_id, summary.path) != (run_id, path):
                summary = replace(summary, run_id=run_id, path=path)
            self._index.put(run_id, key, summary)
            if state in ("running", "paused", "interrupted"):
                live = is_locked(RunPaths(run_dir))
                state = (
                    "interrupted" if not live else "running" if state == "interrupted" else state
                )
            summaries.append(summary if state == summary.state else replace(summary, state=state))
        self._index.write()
        return sorted(summaries, key=lambda s: (s.created or 0.0, s.run_id), reverse=True)


def list_runs(root: Path) -> list[RunSummary]:
    """All runs in `root`, newest first, as `History` reads them."""
    return History(root).read()


def _key(run_dir: Path) -> Key:
    """What changes with a log, and with what is said of the run; 0 for what cannot be asked."""
    found = [0, 0, 0]
    with contextlib.suppress(OSError):
        status = os.stat(run_dir / "events.jsonl")
        found[:2] = status.st_mtime_ns, status.st_size
    with contextlib.suppress(OSError):
        found[2] = os.stat(run_dir / "about.json").st_mtime_ns
    return found[0], found[1], found[2]


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
        run_id=run_dir.name,
        path=str(run_dir),
        state=view.state,
        model=view.model,
        task=view.task,
        method=view.method,
        variant=view.variant,
        control=view.control,
        delta=view.delta,
        seed=view.seed,
        metric=view.metric,
        best=view.best,
        last=view.last,
        step=view.step,
        total_steps=view.total_steps,
        share=view.share,
        created=view.created,
        updated=view.updated,
        switched=view.switched,
        problem="; ".join(filter(None, (view.problem, problem))),
        settings_text=_json(flatten(view.config)),
        **said,
    )


def _json(settings: dict[str, Any]) -> str:
    """As JSON; half a character pair, which a log can escape and JSON cannot hold, as "?"."""
    text = json.dumps(settings, ensure_ascii=False)
    return text.encode(errors="replace").decode()


def _complete_view(log: Path) -> RunView | None:
    """What the first lines and the last one say of a complete run; None for any other run.

    The summary in the last line holds what folding the whole log would give.
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
        if not lines or lines[0].kind is not Completed:
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


def delete(run_dir: Path) -> None:
    """Delete a run directory.

    Raises:
        LockedError: a process trains in it.
        CalisrError: it cannot be removed.
    """
    if is_locked(RunPaths(run_dir)):
        raise LockedError(f"{run_dir.name} is being trained; stop it first")
    try:
        shutil.rmtree(run_dir)
    except OSError as error:
        raise CalisrError(f"{run_dir} could not be deleted: {error}") from error
