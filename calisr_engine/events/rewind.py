"""What a resume takes back: the one rule for all that read a log.

A run goes on from a checkpoint, so what was trained after that was written did not happen. This is
more than what has a higher step: at the very step of the checkpoint, after it, a person may have
switched a group or asked for an evaluation. What happened to the process (it started, warned,
failed, was stopped) stays true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from calisr_engine.events import types as ev
from calisr_engine.events.decode import DecodeError, Line, decode

TRAINED: tuple[type[ev.Event], ...] = (
    ev.Progress,
    ev.StableRankSampled,
    ev.StepPartsMeasured,
    ev.CoinFlipped,
    ev.SrsEvaluated,
    ev.GroupSwitched,
    ev.Evaluated,
    ev.GeneralisationMeasured,
    ev.CheckpointSaved,
)
"""Events of training itself."""


class Placed(Protocol):
    """Something that stands in the log at a line and at a step."""

    @property
    def seq(self) -> int: ...

    @property
    def step(self) -> int: ...


@dataclass(frozen=True)
class Cut:
    """Where a run goes on.

    Attributes:
        step: of the checkpoint; 0 for a start from nothing.
        seq: the last line that holds. None where the process died between the checkpoint and its
            line: then nothing came after it, and the step decides.
    """

    step: int
    seq: int | None

    def keeps(self, trained: Placed) -> bool:
        """Whether what was trained there holds."""
        return trained.step <= self.step and (self.seq is None or trained.seq <= self.seq)


def cut_of(start: ev.RunStarted, saved: Mapping[int, int], begun: bool) -> Cut | None:
    """Where `start` goes on; None for the first start.

    Args:
        saved: step -> place in the log, of the checkpoints that held before.
        begun: whether there was a start before. One that goes on from nothing begins anew.
    """
    step = start.resumed_from
    if step is None:
        return Cut(0, -1) if begun else None
    return Cut(step, saved.get(step, None if step else -1))


def effective(
    records: Iterable[Mapping[str, Any]], malformed: list[str] | None = None
) -> list[Line]:
    """The events of a log, without what a resume took back.

    Args:
        malformed: takes a line for each record that is no event of its type.
    """
    kept: list[Line] = []
    for record in records:
        try:
            line = decode(record)
        except DecodeError as error:
            if malformed is not None:
                malformed.append(f"line {record['seq']}: {error.message}")
            continue
        if line is None:
            continue
        if isinstance(line.event, ev.RunStarted):
            saved = {
                each.step: each.seq for each in kept if isinstance(each.event, ev.CheckpointSaved)
            }
            begun = any(isinstance(each.event, ev.RunStarted) for each in kept)
            cut = cut_of(line.event, saved, begun)
            if cut is not None:
                kept = [e for e in kept if not isinstance(e.event, TRAINED) or cut.keeps(e)]
        kept.append(line)
    return kept
