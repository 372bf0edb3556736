"""The audit of a control: its switches against the steps, or the flips, that it is to have."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from calisr_engine.calibration.controls import coin, deal, parse_steps
from calisr_engine.config.schema import RunConfig
from calisr_engine.events.decode import Line
from calisr_engine.events.types import CoinFlipped, GroupSwitched, RunStarted, SrsEvaluated


def audit_steps(lines: Iterable[Line], config: RunConfig) -> tuple[int, list[str]]:
    """Switches of a matched or shuffled run against its steps: how many, and what disagrees.

    A group that a person switched before its step is taken as it is.
    """
    planned = parse_steps(config.calibration.switch_steps or "")
    if config.calibration.control == "shuffled":
        planned = deal(planned, config.control_seed)
    lines = list(lines)
    switches = {
        line.event.group: (line.step, line.event.cause)
        for line in lines
        if isinstance(line.event, GroupSwitched)
    }
    reached = max((line.step for line in lines), default=0)
    wrong = []
    for group, wanted in planned.items():
        step, cause = switches.get(group, (None, "never"))
        due = wanted if wanted is not None and wanted <= reached else None
        if cause != "hand" and step != due:
            wrong.append(f"{group}: planned to switch at step {due}, the log says {step}")
    return len(planned), wrong


def audit_flips(lines: Iterable[Line], config: RunConfig) -> tuple[int, int, list[str]]:
    """A coin run's flips and decisions, from its seed: flips, decisions, what disagrees."""
    calibration = config.calibration
    delta = Fraction(str(calibration.delta))
    heads: dict[str, int] = {}
    counts: dict[str, int] = {}
    flips = decisions = 0
    wrong = []
    for line in lines:
        said = line.event
        if isinstance(said, RunStarted) and said.resumed_from is None:
            heads, counts = {}, {}
        elif isinstance(said, CoinFlipped):
            for group, flip in said.groups.items():
                flips += 1
                own = coin(config.control_seed, group, line.step)
                heads[group] = heads.get(group, 0) + own
                counts[group] = counts.get(group, 0) + 1
                if (flip.hit, flip.hits, flip.samples) != (own, heads[group], counts[group]):
                    wrong.append(f"step {line.step}, {group}: the flips are not those of the seed")
        elif isinstance(said, SrsEvaluated):
            for group, decision in said.groups.items():
                decisions += 1
                count = counts.get(group, 0)
                own = count > 0 and Fraction(heads.get(group, 0), count) > delta
                if own != (decision.switch or decision.held_back):
                    wrong.append(
                        f"step {line.step}, {group}: the log says switch {decision.switch}, "
                        f"{heads.get(group, 0)} heads of {count} say {own}"
                    )
            if not calibration.cumulative:
                heads, counts = {}, {}
    return flips, decisions, wrong
