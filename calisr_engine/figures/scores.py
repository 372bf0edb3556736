"""The scores of runs as a table: a row for each group of each kind of run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calisr_engine.analysis.score import GroupScore, pooled
from calisr_engine.errors import NotFoundError
from calisr_engine.events.view import GroupView, RunView
from calisr_engine.figures.runs import begun_views, own_groups
from calisr_engine.grid.labels import METHOD, label, task_title


@dataclass(frozen=True)
class ScoreRow:
    """One group over the runs of one method and task.

    Attributes:
        row: in words; runs: their ids.
    """

    row: str
    runs: tuple[str, ...]
    score: GroupScore

    def to_dict(self) -> dict[str, Any]:
        return {"row": self.row, "run_ids": list(self.runs), **self.score.to_dict()}


def score_views(
    sources: Sequence[str], output_dir: Path
) -> tuple[dict[str, RunView], dict[str, str]]:
    """As `begun_views`, of the runs that have a sample.

    Raises:
        NotFoundError: a source names nothing, or no run of them has a sample.
        ConfigError: a grid file is wrong.
    """
    begun, problems = begun_views(sources, output_dir)
    views = {
        name: view
        for name, view in begun.items()
        if any(group.counted for group in view.groups.values())
    }
    if not views:
        raise NotFoundError(
            f"no run of {', '.join(sources)} has a stable rank sample",
            "name calibrated runs that have got to their first sample, or a grid of such runs",
        )
    return views, problems


def score_rows(views: Mapping[str, RunView]) -> list[ScoreRow]:
    """Groups in rows: runs of one method, variant, control, reading and task are taken together."""
    members: dict[tuple[str, str], list[tuple[str, RunView, GroupView]]] = {}
    for name, view in views.items():
        row = _row(view)
        for group in view.groups.values():
            if group.counted:
                members.setdefault((row, group.name), []).append((name, view, group))
    return [
        ScoreRow(
            row,
            tuple(name for name, _, _ in own),
            pooled([(view, group) for _, view, group in own]),
        )
        for (row, _), own in members.items()
    ]


def _row(view: RunView) -> str:
    facts = dict(
        zip(METHOD, (view.method, view.variant, view.control, view.regularizer), strict=True)
    )
    words = [task_title(view.task), label(facts, METHOD), own_groups(view)]
    words.append("" if view.reading == "step" else view.reading)
    words.append("vote" if view.votes else "")
    delta = view.threshold
    words.append("" if delta in (None, 0.5) else f"delta {delta:g}")
    return " ".join(filter(None, words))
