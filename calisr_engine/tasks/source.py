"""What every source of data hands over, before it is cut down and fingerprinted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from calisr_engine.task_kinds import KindName
from calisr_engine.tasks.examples import Examples
from calisr_engine.tasks.glue_task import GlueTask


@dataclass(frozen=True)
class Source:
    """One task's rows and facts, as read.

    Attributes:
        label_names: class names by class number; empty for regression.
        metrics: the task's own metrics, the one that picks the best model first.
        validation, test: sets by name.
        synthetic: generated rather than collected.
        notes: what the user should know about this data.
    """

    name: str
    kind: KindName
    label_names: tuple[str, ...]
    metrics: tuple[str, ...]
    train: Examples
    validation: Mapping[str, Examples]
    test: Mapping[str, Examples] = field(default_factory=dict)
    synthetic: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def of_task(
        cls,
        task: GlueTask,
        train: Examples,
        validation: Mapping[str, Examples],
        test: Mapping[str, Examples],
        notes: Sequence[str] = (),
    ) -> Source:
        """The rows of a task that is known by name; a note that comes again is kept once."""
        return cls(
            name=task.name,
            kind=task.kind,
            label_names=task.label_names,
            metrics=task.metrics,
            train=train,
            validation=validation,
            test=test,
            notes=tuple(dict.fromkeys(notes)),
        )
