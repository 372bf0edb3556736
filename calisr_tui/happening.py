"""What happens in a run now, in words: what a group waits for, when it is decided, and why."""

from __future__ import annotations

from calisr_engine.analysis.outlook import Outlook, outlook
from calisr_engine.events.view import GroupView, RunView
from calisr_engine.methods.catalog import has_light_phase, label

LOWER = "Lower is better: the paper bounds the error on unseen data by the stable rank."
LAST_SAMPLE = (
    "A light row keeps its last sample from before the switch, so light may stand above full."
)
NOTABLE_RISE = 0.02
"""Share by which the validation loss is above its lowest value before it is said to rise."""


def waits_for(seen: Outlook | None) -> str:
    """An outlook in a few cells: hits that it needs of the samples to come."""
    if seen is None:
        return "–"
    if seen.more == 0:
        return "enough"
    return f"{seen.more} of {seen.left}" if seen.possible else "too few"


def now(view: RunView, group: GroupView, step: int | None) -> tuple[str, str]:
    """(one sentence on the group, the same in short)."""
    if group.switch is not None:
        return _light(view, group)
    if view.variant == "off" or view.control in ("matched", "shuffled"):
        said = f"{group.name} trains fully; no score decides in this run."
        return said, said
    seen = outlook(view, group, step)
    kind = "coin flips were heads" if view.control == "coin" else "light steps kept the rank lower"
    if seen is None and view.state == "completed":
        return f"{group.name} was trained fully to the end.", "trained fully to the end"
    if seen is None:
        said = f"{group.name} trains fully to the end: no decision is left that could switch it."
        return said, "fully to the end: no decision is left"
    if not group.samples:
        said = (
            f"{group.name}: a new window; {_needs(seen)} of its {seen.left} samples to switch "
            f"at step {seen.step}."
        )
        return said, f"new window; {_needs(seen)} of {seen.left} switch at step {seen.step}"
    count = f"{group.hits:g} of {group.samples}"
    if seen.more == 0:
        end = f"that is enough, it switches at step {seen.step}"
    elif not seen.possible:
        end = f"too few to switch at step {seen.step}"
    else:
        one = seen.more == 1
        end = f"{'one' if one else seen.more} more {'hit switches' if one else 'hits switch'} it "
        end += f"at step {seen.step}"
    return f"{group.name}: {count} {kind}; {end}.", f"{count} hits; {end}"


def _needs(seen: Outlook) -> str:
    return f"it needs {'more than all' if seen.more is None else seen.more}"


def _light(view: RunView, group: GroupView) -> tuple[str, str]:
    assert group.switch is not None
    said = group.switch
    decision = group.decisions[-1] if group.decisions else None
    since = f"{group.name} is light ({label(view.method)}) since step {said.step}"
    if said.cause == "calibration" and decision is not None and decision.srs is not None:
        count = f"{decision.hits:g} of {decision.samples}"
        return (
            f"{since}: {count} light steps kept the rank lower, and {decision.srs:.2f} > "
            f"δ {decision.delta:g}.",
            f"light since step {said.step}: {count} hits > δ {decision.delta:g}",
        )
    return f"{since} ({said.cause}: {said.why}).", f"light since step {said.step} ({said.cause})"


def without_groups(view: RunView) -> str:
    """What trains in a run that has no group to switch."""
    if not view.total_steps:
        return "Waiting for the first line of the run …"
    what = (
        f"{label(view.method)} alone trains" if has_light_phase(view.method) else "all of it trains"
    )
    return f"No group can switch in this run: {what}, from the first step to the last."


def notes(view: RunView, group: GroupView) -> list[str]:
    """What may puzzle in the rows as they are, the most puzzling first, and why lower is better."""
    found = []
    latest = group.latest
    if group.switch is not None and latest is not None and latest.difference > 0:
        found.append(LAST_SAMPLE)
    if (why := why_share(view)) is not None:
        found.append(why)
    return [*found, LOWER] if view.variant != "off" else found


def why_share(view: RunView) -> str | None:
    """Why most of the model trains though groups have switched; None where that is not so."""
    waiting = [group.name for group in view.groups.values() if group.phase == "fft"]
    if not waiting or len(waiting) == len(view.groups) or (view.share or 0.0) < 0.5:
        return None
    if view.state == "completed":
        return "Most of it was trained to the end: embeddings are frozen when all have switched."
    who = f"{waiting[0]} switches" if len(waiting) == 1 else f"the other {len(waiting)} switch"
    return f"Most of it trains until {who}: the embeddings are frozen only then."


def overfitting(view: RunView) -> str:
    """What validation loss beside training loss says; "" where there are no two evaluations."""
    losses = [(e.loss, e.step) for e in view.evaluations if e.loss is not None]
    if len(losses) < 2:
        return ""
    lowest, step = min(losses)
    last = losses[-1][0]
    rise = (last - lowest) / abs(lowest) if lowest else 0.0
    if step == losses[-1][1]:
        return "validation still falls"
    if rise < NOTABLE_RISE:
        return f"validation flat since {step}"
    return f"overfits since {step}: validation +{rise:.0%}"
