"""Recomputing every decision of a run from its kept samples, with a full float64 SVD.

The audit shares no code with the fast path of the training run: it reads the stored weights, takes
all singular values of each matrix, and compares what follows with what the log says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from calisr_engine.calibration.score import exact_hits
from calisr_engine.config.load import from_resolved
from calisr_engine.errors import ConfigError, DataError
from calisr_engine.events.log import read_records
from calisr_engine.events.rewind import effective
from calisr_engine.events.types import GroupDecision, SrsEvaluated, StableRankSampled
from calisr_engine.results.audit_controls import audit_flips, audit_steps
from calisr_engine.runs.layout import RunPaths

ROUNDING = 1e-12
"""Relative difference under which float64 SVDs themselves cannot tell two stable ranks apart."""

LOGGED = 1e-8
"""Relative difference that a logged stable rank may have: its bounds are far tighter."""


@dataclass
class AuditReport:
    """What an audit found.

    Attributes:
        samples: sampling steps recomputed; groups: group comparisons in them.
        decisions: window decisions recomputed from the recomputed hits.
        fallbacks: comparisons for which the run itself took the exact value; matrices compared.
        switches: of a control that follows given steps; flips: of a coin control.
        undecidable: comparisons closer than float64 rounding (not counted as disagreements).
        largest_error: largest relative difference of a group's logged stable rank to ours.
        disagreements: one line each.
        missing: samples in the log whose weights were not kept or cannot be read.
    """

    samples: int = 0
    groups: int = 0
    decisions: int = 0
    switches: int = 0
    flips: int = 0
    fallbacks: int = 0
    matrices: int = 0
    undecidable: int = 0
    largest_error: float = 0.0
    disagreements: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether everything was there and agreed."""
        return not self.disagreements and not self.missing

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"clean": self.clean}


def stable_rank_by_svd(weight: Tensor) -> float:
    """||W||_F^2 / ||W||_2^2 from all singular values, float64; 0 for the zero matrix."""
    values = torch.linalg.svdvals(weight.double())
    largest = float(values[0])
    return float((values / largest).square().sum()) if largest > 0 else 0.0


def audit(run_dir: Path) -> AuditReport:
    """Recompute the stable ranks, hits and decisions of `run_dir`, or the switches of a control.

    Raises:
        ConfigError: the run was not calibrated or kept no samples.
        DataError: the log cannot be read.
    """
    paths = RunPaths(run_dir)
    config = from_resolved(paths.config)
    if config.calibration.variant == "off":
        raise ConfigError(f"{run_dir.name} was not calibrated, so there is nothing to audit")
    report = AuditReport()
    lines = effective(read_records(paths.events), report.missing)
    calibration, kept = config.calibration, paths.samples
    if calibration.follows_steps:
        report.switches, report.disagreements = audit_steps(lines, config)
    elif calibration.control == "coin":
        report.flips, report.decisions, report.disagreements = audit_flips(lines, config)
    if calibration.control != "off" and not kept.is_dir():
        return report
    if not kept.is_dir():
        raise ConfigError(
            f"{run_dir.name} kept no samples",
            "run it again with --set calibration.keep_samples=true",
        )
    rule, delta = config.calibration.score, Fraction(str(config.calibration.delta))
    hits: dict[str, Fraction] = {}
    counts: dict[str, int] = {}
    for line in lines:
        if isinstance(line.event, StableRankSampled):
            _audit_sample(line.step, line.event, kept, rule, report, hits, counts)
        elif isinstance(line.event, SrsEvaluated) and calibration.control == "off":
            for group, said in line.event.groups.items():
                report.decisions += 1
                _audit_decision(line.step, group, said, hits, counts, delta, report)
            if not calibration.cumulative:
                hits.clear()
                counts.clear()
    if report.samples == 0:
        raise DataError(f"{paths.events} holds no stable rank samples to audit")
    return report


def _audit_sample(
    step: int,
    sampled: StableRankSampled,
    kept: Path,
    rule: str,
    report: AuditReport,
    hits: dict[str, Fraction],
    counts: dict[str, int],
) -> None:
    path = kept / f"step-{step}.safetensors"
    try:
        stored = safe_open(path, framework="pt")
    except Exception as error:  # the library has no common base class of its errors
        report.missing.append(f"step {step}: {path.name}: {error}")
        return
    report.samples += 1
    with stored as file:
        members = _members(list(file.keys()), sampled.groups)
        for group, said in sampled.groups.items():
            pairs = [
                (
                    stable_rank_by_svd(file.get_tensor(f"{name}::lft")),
                    stable_rank_by_svd(file.get_tensor(f"{name}::fft")),
                )
                for name in members[group]
            ]
            report.groups += 1
            report.matrices += len(pairs)
            report.fallbacks += said.fallbacks
            hit, close = _hit(pairs, rule)
            counts[group] = counts.get(group, 0) + 1
            logged = exact_hits(said.hit)
            if hit != logged:
                if close:
                    report.undecidable += 1
                    hit = logged
                else:
                    report.disagreements.append(
                        f"step {step}, {group}: the log says hit {said.hit:g}, the full SVD "
                        f"{float(hit):g}"
                    )
            hits[group] = hits.get(group, Fraction(0)) + hit
            logged_ranks = {"sr_lft": said.sr_lft, "sr_fft": said.sr_fft}
            for index, (key, rank) in enumerate(logged_ranks.items()):
                values = [pair[index] for pair in pairs]
                own = sum(map(math.log, values)) if rule == "log_sum" else math.fsum(values)
                off = abs(own - rank) / max(abs(own), 1e-300)
                report.largest_error = max(report.largest_error, off)
                if off > LOGGED:
                    report.disagreements.append(
                        f"step {step}, {group}: the log says {key} {rank:.12g}, the full SVD "
                        f"{own:.12g}"
                    )


def _hit(pairs: list[tuple[float, float]], rule: str) -> tuple[Fraction, bool]:
    """(hit or share of hits, whether rounding could turn it)."""
    if rule == "vote":
        close = any(lft != fft and abs(lft - fft) <= ROUNDING * fft for lft, fft in pairs)
        return Fraction(sum(lft < fft for lft, fft in pairs), len(pairs)), close
    differences = [
        math.log(lft) - math.log(fft) if rule == "log_sum" else lft - fft for lft, fft in pairs
    ]
    total = math.fsum(differences)
    scale = len(pairs) if rule == "log_sum" else math.fsum(fft for _, fft in pairs)
    return Fraction(int(total < 0)), abs(total) <= ROUNDING * scale


def _audit_decision(
    step: int,
    group: str,
    said: GroupDecision,
    hits: dict[str, Fraction],
    counts: dict[str, int],
    delta: Fraction,
    report: AuditReport,
) -> None:
    count = counts.get(group, 0)
    own = count > 0 and hits.get(group, Fraction(0)) / count > delta
    if own != said.switch and not (said.held_back and own and not said.switch):
        report.disagreements.append(
            f"step {step}, {group}: the log says switch {said.switch}, the recomputed score "
            f"{hits.get(group, Fraction(0))}/{count} against {float(delta):g} says {own}"
        )


def _members(keys: list[str], groups: Iterable[str]) -> dict[str, list[str]]:
    """Targets of each group, in the order of storing (targets are stored group by group)."""
    names = [key.removesuffix("::lft") for key in keys if key.endswith("::lft")]
    return {group: [n for n in names if in_group(n, group)] for group in groups}


def in_group(target: str, group: str) -> bool:
    """Whether a stored target belongs to a group; targets are stored as `group|name`."""
    return target.split("|", 1)[0] == group
