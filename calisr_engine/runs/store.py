"""Finding, listing, making and deleting run directories."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import (
    CalisrError,
    ConfigError,
    DamagedError,
    LockedError,
    NotFoundError,
    StorageError,
)
from calisr_engine.events.fold import fold
from calisr_engine.events.log import parse
from calisr_engine.events.types import (
    Progress,
    Resources,
    SrsEvaluated,
    StableRankSampled,
    Warned,
)
from calisr_engine.events.view import RunView, Switch
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked
from calisr_engine.storage.whole import FULL, storage_error, write_text

INDEX = ".calisr-index.json"
INDEX_VERSION = 2
HEAD_LINES = 20
TAIL_BYTES = 1 << 16
PASSED_OVER = {each.type for each in (Progress, Resources, StableRankSampled, SrsEvaluated, Warned)}
"""Events of which a history line needs time and step alone: most of a log."""


@dataclass(frozen=True)
class RunSummary:
    """One line of the history.

    Attributes:
        state: as `RunView.state`, or `unreadable`: then `problem` says why, and no more is known.
    """

    run_id: str
    path: str
    state: str
    model: str = "?"
    task: str = "?"
    method: str = "?"
    variant: str = "off"
    delta: float | None = None
    seed: int | None = None
    metric: str = ""
    best: float | None = None
    last: float | None = None
    step: int = 0
    total_steps: int = 0
    share: float | None = None
    created: float | None = None
    updated: float | None = None
    switched: dict[str, int] | None = None
    problem: str = ""


_SUMMARY = TypeAdapter(RunSummary)


def new_run_dir(root: Path, config: RunConfig, name: str | None = None) -> Path:
    """Make the directory of a new run: the name asked for, or one made from the settings.

    Raises:
        ConfigError: the folder cannot be written.
        StorageError: the disk is full.
        LockedError: a run of the name asked for exists.
    """
    name = name or config.output.name
    stem = name or "-".join(
        part.replace("/", "_").replace(" ", "_")
        for part in (
            config.task.name,
            Path(config.model.name).name,
            config.method.name,
            config.calibration.variant,
            f"s{config.training.seed}",
            time.strftime("%y%m%d-%H%M%S"),
        )
    )
    try:
        root.mkdir(parents=True, exist_ok=True)
        for attempt in range(1000):
            folder = root / (stem if attempt == 0 else f"{stem}-{attempt + 1}")
            try:
                folder.mkdir()
            except FileExistsError:
                if name is None:
                    continue
                raise LockedError(
                    f"output.name: a run named {name} is already in {root}",
                    f"go on with it (calisr resume {folder}), delete it, or choose another name",
                ) from None
            return folder
    except OSError as error:
        mend = "choose another folder with --output-dir"
        if error.errno in FULL:
            raise storage_error(root / stem, "the run directory", error, f"or {mend}") from error
        raise ConfigError(
            f"output.dir: {root} cannot be written: {error.strerror or error}",
            mend,
        ) from error
    raise ConfigError(f"output.dir: too many runs named {stem} in {root}", "clean up the folder")


def find(name: str, root: Path) -> Path:
    """The run directory that `name` stands for: a path, an id, or the unique start of an id.

    Raises:
        NotFoundError: there is none, or more than one begins so.
    """
    direct = Path(name)
    if (direct / "events.jsonl").is_file():
        return direct
    if (root / name / "events.jsonl").is_file():
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


def run_ids(root: Path) -> list[str]:
    """Names of all run directories in `root`, sorted."""
    try:
        with os.scandir(root) as entries:
            return sorted(
                e.name for e in entries if os.path.isfile(os.path.join(e.path, "events.jsonl"))
            )
    except OSError:
        return []


def list_runs(root: Path) -> list[RunSummary]:
    """All runs in `root`, newest first; one whose log cannot be read is `unreadable`.

    An index file beside them spares reading unchanged logs; it is rebuilt where it is missing,
    damaged or out of date.
    """
    index = _read_index(root)
    fresh: dict[str, Any] = {}
    summaries = []
    for run_id in run_ids(root):
        log = root / run_id / "events.jsonl"
        try:
            status = log.stat()
        except OSError:
            continue
        key = [status.st_mtime_ns, status.st_size]
        entry = index.get(run_id)
        summary = None
        if entry is not None and entry.get("key") == key:
            with contextlib.suppress(ValidationError, KeyError):
                summary = _SUMMARY.validate_python(entry["summary"], strict=True)
        if summary is None or summary.problem:  # a right to read it may have been given since
            try:
                summary = summarise(root / run_id)
            except NotFoundError:  # removed just now
                continue
        fresh[run_id] = {"key": key, "summary": asdict(summary)}
        if summary.state in ("running", "paused", "interrupted"):
            live = is_locked(RunPaths(root / run_id))
            state = summary.state if live and summary.state != "interrupted" else "interrupted"
            if live and summary.state == "interrupted":
                state = "running"
            summary = RunSummary(**(asdict(summary) | {"state": state}))
        summaries.append(RunSummary(**(asdict(summary) | {"path": str(root / run_id)})))
    if fresh != index:
        _write_index(root, fresh)
    return sorted(summaries, key=lambda s: (s.created or 0.0, s.run_id), reverse=True)


def summarise(run_dir: Path) -> RunSummary:
    """The history line of one run, from as little of its log as it takes.

    Raises:
        NotFoundError: there is no log.
    """
    paths = RunPaths(run_dir)
    try:
        view = _complete_view(paths.events) or _short_view(paths)
    except DamagedError as error:
        return RunSummary(run_dir.name, str(run_dir), "unreadable", problem=error.message)
    return RunSummary(
        run_id=run_dir.name,
        path=str(run_dir),
        state=view.state,
        model=view.model,
        task=view.task,
        method=view.method,
        variant=view.variant,
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
    )


def _complete_view(log: Path) -> RunView | None:
    """What the first lines and the last one say of a complete run; None for any other run.

    The summary in the last line holds what folding the whole log would give.
    """
    view = RunView()
    try:
        with log.open("rb") as file:
            for _ in range(HEAD_LINES):
                record = parse(file.readline())
                if record is not None and record["type"] in ("run_created", "run_started"):
                    fold(view, record)
                if view.total_steps:
                    break
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            last = parse(file.read().rstrip(b"\n").rsplit(b"\n", 1)[-1])
        if last is None or last["type"] != "completed" or not view.total_steps:
            return None
        fold(view, last)
        said = last["summary"]
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
    except (OSError, KeyError, TypeError, AttributeError, ValueError):
        return None
    return view if view.state == "completed" and view.config else None


def _short_view(paths: RunPaths) -> RunView:
    """What `load_view` gives, as far as a history line shows it: most lines are passed over.

    Raises:
        NotFoundError: there is no log.
        DamagedError: it cannot be read, or holds no line that can.
    """
    view = RunView()
    try:
        with paths.events.open("rb") as log:
            for line in log:
                record = parse(line) if line.endswith(b"\n") else None
                if record is None:
                    continue
                if record["type"] not in PASSED_OVER:
                    fold(view, record)
                elif type(record.get("time")) in (int, float):
                    view.updated = record["time"]
                    view.step = max(view.step, record["step"])
            size = log.tell()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(
            f"{paths.root} is not a run directory: it has no {paths.events.name}",
            "`calisr runs` lists the runs",
        ) from error
    except OSError as error:
        raise DamagedError(f"{paths.events} cannot be read: {error.strerror}") from error
    if size and view.updated is None:
        raise DamagedError(f"{paths.events} is damaged: it holds no line that can be read")
    if view.state in ("running", "paused") and not is_locked(paths):
        view.state = "interrupted"
    return view


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


def _read_index(root: Path) -> dict[str, Any]:
    try:
        content = json.loads((root / INDEX).read_text(encoding="utf-8"))
        entries = dict(content["runs"]) if content["version"] == INDEX_VERSION else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {name: entry for name, entry in entries.items() if isinstance(entry, dict)}


def _write_index(root: Path, runs: dict[str, Any]) -> None:
    with contextlib.suppress(StorageError):  # a read-only folder is listed without an index
        text = json.dumps({"version": INDEX_VERSION, "runs": runs})
        write_text(root / INDEX, text, "the index of the runs")
