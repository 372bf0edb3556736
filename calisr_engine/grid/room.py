"""How many more runs this machine's memory can hold, from what the running ones take."""

from __future__ import annotations

from pathlib import Path

import psutil

from calisr_engine.events.decode import decode_block
from calisr_engine.events.log import EventReader
from calisr_engine.events.types import Resources
from calisr_engine.runs.layout import RunPaths

SPARE = 1.25
"""A run is expected to take this much times the most that one has been measured to take."""


class MeasuredRoom:
    """Lets runs begin one after the other, each once all that run have said what they take.

    That is the memory in their `resources` events; at its peak a run may take more, hence `SPARE`.
    """

    def __init__(self) -> None:
        self._readers: dict[Path, EventReader] = {}
        self._measured: dict[Path, int] = {}
        self._largest = 0

    def more(self, running: list[Path]) -> int:
        """How many more runs can begin beside those: 1 or 0."""
        for gone in self._readers.keys() - set(running):
            del self._readers[gone]
            self._measured.pop(gone, None)
        for run_dir in running:
            if run_dir not in self._readers:
                self._readers[run_dir] = EventReader(RunPaths(run_dir).events)
                for _ in self._readers[run_dir].blocks():
                    pass  # what an earlier process took is no measure
            for block in self._readers[run_dir].blocks():
                for taken in _memory(block):
                    self._measured[run_dir] = max(taken, self._measured.get(run_dir, 0))
                    self._largest = max(taken, self._largest)
        return begins(len(running), len(self._measured), self._largest, _free_bytes())


def _memory(block: bytes) -> list[int]:
    """Bytes that a process took, each time that its log says so."""
    said = [line.event for line in decode_block(block)[0] if line.kind is Resources]
    found = [each.memory_bytes for each in said if isinstance(each, Resources)]
    return [each for each in found if each is not None]


def begins(running: int, measured: int, largest: int, free: int) -> int:
    """1 if another run may begin: none runs, or all are measured and one as large fits, too."""
    if running == 0:
        return 1
    return int(measured == running and largest * SPARE <= free)


def _free_bytes() -> int:
    return int(psutil.virtual_memory().available)
