"""Trackers follow the event log of a run while it is written."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import CalisrError
from calisr_engine.events.log import EventWriter
from calisr_engine.events.types import Warned
from calisr_engine.runs import installed
from calisr_engine.runs.layout import RunPaths
from calisr_engine.trackers import backends, queue
from calisr_engine.trackers.muted import muted
from calisr_engine.trackers.queue import TrackerQueue
from calisr_engine.trackers.scalars import scalars

HINT = "the run goes on, and its event log holds everything"


@contextlib.contextmanager
def following(
    config: RunConfig, paths: RunPaths, writer: EventWriter, resumed_from: int | None
) -> Iterator[None]:
    """Hand the figures of what `writer` writes within the block to `output.trackers`.

    A tracker in trouble is dropped with one warning event. At the end of the block each may take a
    bounded time to finish. Nothing is raised but what the block raises.
    """
    names = config.output.trackers
    if not names:
        yield
        return
    lacking = installed.missing(names)
    for name in lacking:
        _warn(writer, name, "it is not installed", installed.pip_line([name]))
    if "wandb" in names:  # read when it is imported: it must not ask for a key at the terminal
        os.environ.setdefault("WANDB_SILENT", "true")
    with muted():
        feeds = [
            TrackerQueue(name, partial(backends.start, name, config, paths, resumed_from))
            for name in names
            if name not in lacking
        ]
        followers = _Followers(feeds, writer)
        writer.listener = followers.take
        try:
            yield
        finally:
            writer.listener = None
            followers.close()


class _Followers:
    def __init__(self, queues: list[TrackerQueue], writer: EventWriter) -> None:
        self._queues = queues
        self._writer = writer

    def take(self, record: Mapping[str, Any]) -> None:
        """Queue a record's figures; drop feeds in trouble."""
        values = scalars(record)
        if values:
            for each in self._queues:
                each.offer(values, record["step"])
        self._drop()

    def close(self) -> None:
        """Let all finish, side by side."""
        for each in self._queues:
            each.finish()
        deadline = time.monotonic() + queue.CLOSE_SECONDS
        for each in self._queues:
            each.wait(deadline)
        self._drop()

    def _drop(self) -> None:
        lost = [(each, each.trouble) for each in self._queues if each.trouble is not None]
        # Before the warnings, which come here again.
        self._queues = [f for f in self._queues if all(f is not gone for gone, _ in lost)]
        for each, why in lost:
            _warn(self._writer, each.name, str(why), HINT)


def _warn(writer: EventWriter, name: str, why: str, hint: str) -> None:
    with contextlib.suppress(CalisrError):  # a full disk is told by the run's own events
        writer.write(
            writer.last_step,
            Warned(message=f"tracker {name} gets no more figures: {why}", hint=hint),
        )
