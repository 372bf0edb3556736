"""What a figure shows, apart from how it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from calisr_engine.grid import spread

Style = Literal["line", "points", "line+points"]


@dataclass(frozen=True)
class Series:
    """One curve or set of points.

    Attributes:
        spread: sample standard deviation of each y over runs; empty where there is none.
        hollow: points to be drawn hollow (the panel's note says why); empty for none.
        colour: number of its colour; panels of one figure give the same thing the same one.
        marker: number of its marker; None: that of its colour.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    spread: tuple[float, ...] = ()
    hollow: tuple[bool, ...] = ()
    style: Style = "line"
    colour: int = 0
    marker: int | None = None

    @property
    def sign(self) -> int:
        """Number of its marker, and of the dashes of its line."""
        return self.colour if self.marker is None else self.marker


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        name: as the paper counts it ("2a").
        x_names: what stands at x = 0, 1, ... where x is no number.
        marks: x of vertical lines, which `mark_label` names; levels: y of horizontal lines.
        notes: what a reader must know to read it rightly.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_names: tuple[str, ...] = ()
    marks: tuple[float, ...] = ()
    mark_label: str = ""
    levels: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """Panels that belong together."""

    title: str
    panels: tuple[Panel, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Figure:
        """The figure of which `to_dict` gave this, also after a way through JSON.

        Raises:
            KeyError, TypeError: it is no figure.
        """
        panels = []
        for panel in content["panels"]:
            series = tuple(Series(**_tuples(each)) for each in panel["series"])
            panels.append(Panel(**(_tuples(panel) | {"series": series})))
        return cls(content["title"], tuple(panels), tuple(content["notes"]))


def _tuples(content: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and sample standard deviation (0 for one value), of one value or more."""
    mean, deviation = spread.mean_and_spread(values)
    assert mean is not None
    return mean, deviation or 0.0


Look = tuple[int, int | None]
"""Numbers of a colour and of a marker, as a `Series` has them."""


def looks(kinds: Sequence[tuple[str, str]]) -> list[Look]:
    """A colour for each method and a marker for each task of (method, task); where there is one
    task, the markers tell the methods apart, too."""
    methods, tasks = (list(dict.fromkeys(each)) for each in zip(*kinds, strict=True))
    return [
        (methods.index(method), tasks.index(task) if len(tasks) > 1 else None)
        for method, task in kinds
    ]


def over_runs(
    label: str, points: Mapping[float, Sequence[float]], style: Style, look: Look
) -> Series:
    """Mean and spread of the values that several runs have at each x, in order of x."""
    xs = sorted(x for x, values in points.items() if values)
    pairs = [mean_and_spread(points[x]) for x in xs]
    several = any(len(points[x]) > 1 for x in xs)
    return Series(
        label=label,
        x=tuple(xs),
        y=tuple(mean for mean, _ in pairs),
        spread=tuple(deviation for _, deviation in pairs) if several else (),
        style=style,
        colour=look[0],
        marker=look[1],
    )
