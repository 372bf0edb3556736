"""What the hits of a calibrated run amount to, group by group, and over the runs of a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from calisr_engine.calibration import score_statistics as statistics
from calisr_engine.events.view import GroupView, RunView


@dataclass(frozen=True)
class GroupScore:
    """One group of one run, or the same group of several runs.

    Attributes:
        runs: how many; switched: in how many of them it switched.
        samples, hits, flips: over all samples taken; flips of `pairs` pairs of neighbours, None
            with rule vote, whose shares hardly ever repeat.
        r: lag-one autocorrelation; None where too few samples or all alike.
        per_window: samples of a decision window (of the first; None without decisions).
        effective: independent samples that those of one window are worth; None as r.
        coin: probability that fair coin flips had switched it by the window in which it did, or by
            the last that could; the mean over runs. None without decisions, and with rule vote.
        parts: samples in which the two parts of the step were measured (`calibration.log_parts`).
        agreeing: of these, in how many a hit and "the extra's step alone raises the stable rank"
            are both true or both false; None with rule vote.
        light: correlation of SR_LFT - SR_FFT with what the light part's step alone does to the
            stable rank; above 0 if hits go with light steps that lower it.
        extra: the same for the extra's step; below 0 if hits go with extra steps that raise it.
    """

    group: str
    samples: int
    hits: float
    flips: int | None
    pairs: int
    r: float | None
    per_window: int | None
    effective: float | None
    coin: float | None
    switched: int
    runs: int = 1
    parts: int = 0
    agreeing: int | None = 0
    light: float | None = None
    extra: float | None = None

    @property
    def r_error(self) -> float:
        """Standard error of r where the samples are independent: 1 / sqrt(N)."""
        return float(self.samples**-0.5)

    @property
    def rate(self) -> float:
        """Share of the samples that are hits; with rule vote, of the matrices."""
        return self.hits / self.samples

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**vars(self), "rate": self.rate, "r_error": self.r_error}


def group_scores(view: RunView) -> list[GroupScore]:
    """Each group of a run that has samples (or coin flips), in display order."""
    return [pooled([(view, group)]) for group in view.groups.values() if group.counted]


def pooled(members: Sequence[tuple[RunView, GroupView]]) -> GroupScore:
    """One group's samples over runs; each run's are a series of its own, with its own mean."""
    series = [[each.hit for each in group.counted] for _, group in members]
    r = statistics.lag_one(series)
    windows = [found for _, group in members if (found := _windows(group, members[0][0]))]
    per_window = windows[0][0] if windows else None
    coins = [chance for view, group in members if (chance := coin_chance(view, group)) is not None]
    parts = [(part, sample) for _, group in members for part, sample in _parts(group)]
    difference = [sample.difference for _, sample in parts]
    votes = any(view.votes for view, _ in members)
    return GroupScore(
        group=members[0][1].name,
        samples=sum(map(len, series)),
        hits=sum(map(sum, series)),
        flips=None if votes else sum(map(statistics.flips, series)),
        pairs=sum(max(0, len(each) - 1) for each in series),
        r=r,
        per_window=per_window,
        effective=None if per_window is None else statistics.effective_samples(per_window, r),
        coin=sum(coins) / len(coins) if coins else None,
        switched=sum(group.switch is not None for _, group in members),
        runs=len(members),
        parts=len(parts),
        agreeing=None
        if votes
        else sum((part.extra_change > 0) == (s.difference < 0) for part, s in parts),
        light=statistics.correlation([part.light_change for part, _ in parts], difference),
        extra=statistics.correlation([part.extra_change for part, _ in parts], difference),
    )


def coin_chance(view: RunView, group: GroupView) -> float | None:
    """Probability that a fair coin had switched the group by then; None where none is defined."""
    if view.votes or view.threshold is None:
        return None  # a vote's coins would be the matrices, whose hits go together
    windows = _windows(group, view)
    if not windows:
        return None
    cumulative = bool(view.setting("calibration", "cumulative", False))
    return _coin_chance(tuple(windows), view.threshold, cumulative)


@lru_cache(maxsize=64)
def _coin_chance(windows: tuple[int, ...], delta: float, cumulative: bool) -> float:
    """As long as no window ends, the live screen asks for the same again and again."""
    return float(statistics.fair_coin_switches(windows, delta, cumulative))


def _windows(group: GroupView, view: RunView) -> list[int]:
    """Samples of each window that ended in a decision by which the group could switch."""
    counted = [d.samples for d in group.decisions if d.step < view.total_steps]
    if bool(view.setting("calibration", "cumulative", False)):
        return [b - a for a, b in pairwise([0, *counted])]
    return counted


def _parts(group: GroupView) -> list[tuple[Any, Any]]:
    """(parts, sample) of the steps that have both."""
    by_step = {sample.step: sample for sample in group.history}
    return [(part, by_step[part.step]) for part in group.parts if part.step in by_step]


def in_words(view: RunView, group: GroupView) -> str:
    """Two sentences for where a counter or a switch is explained; "" without two samples."""
    if len(group.counted) < 2:
        return ""
    found = pooled([(view, group)])
    kind = "heads" if group.flips else "hits"
    if found.flips is None:
        first = f"In all its {found.samples} samples {found.rate:.0%} of the votes are hits"
    else:
        first = (
            f"Of all its {found.samples} samples {found.rate:.0%} are {kind}, and {found.flips} of "
            f"{found.pairs} say other than the one before"
        )
    if found.effective is not None and found.per_window is not None:
        first += (
            f": the {found.per_window} samples of a window are worth about "
            f"{max(1.0, found.effective):.1f} independent ones (lag-one autocorrelation "
            f"{found.r:.2f} ± {found.r_error:.2f})"
        )
    if found.coin is None:
        return f"{first}."
    by = "by that window" if group.switch is not None else "by now"
    return f"{first}. A fair coin would have switched it {by} with probability {found.coin:.2f}."
