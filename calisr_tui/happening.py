"""What happens in a run now, in words: what a group waits for, when it is decided, and why."""

from __future__ import annotations

from calisr_engine.analysis.outlook import Outlook, outlook
from calisr_engine.events.view import GroupView, RunView
from calisr_engine.methods.catalog import has_light_phase, label
from calisr_tui import words

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
    if seen.enough:
        return "enough"
    return f"{_hits(seen)} of {seen.left}" if seen.possible else "too few"


def _hits(seen: Outlook) -> str:
    """Hits that would switch it: a whole number, or what votes must exceed."""
    return f">{words.hits(float(seen.short))}" if seen.votes else str(seen.more)


def now(view: RunView, group: GroupView, step: int | None) -> tuple[str, str]:
    """(one sentence on the group, the same in short)."""
    if group.switch is not None:
        return _light(view, group)
    if view.threshold is None:
        said = f"{group.name} trains fully; no score decides in this run."
        return said, said
    seen = outlook(view, group, step)
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
        brief = f"{_hits(seen)} of {seen.left} hits switch it" if seen.possible else "cannot switch"
        return said, f"new window; {brief} at step {seen.step}"
    count = f"{words.hits(group.hits)} of {group.samples}"
    at = f"at step {seen.step}"
    if seen.enough:
        end = brief = f"that is enough, it switches {at}"
    elif not seen.possible:
        end = brief = f"too few to switch {at}"
    elif seen.votes:
        more = f"more than {words.hits(float(seen.short))}"
        end, brief = (
            f"{more} of the next {seen.left} switches it {at}",
            f"{more} more switches {at}",
        )
    else:
        more = "one more hit switches" if seen.more == 1 else f"{seen.more} more hits switch"
        end = brief = f"{more} it {at}"
    return f"{group.name}: {count} {_counted(view)}; {end}.", f"{count} hits; {brief}"


def _counted(view: RunView) -> str:
    """What a number of hits of this run counts."""
    if view.control == "coin":
        return "coin flips were heads"
    return "votes: light rank lower" if view.votes else "light steps kept the rank lower"


def _needs(seen: Outlook) -> str:
    more = _hits(seen).replace(">", "more than ") if seen.possible else "more than all"
    return f"it needs {more}"


def _light(view: RunView, group: GroupView) -> tuple[str, str]:
    assert group.switch is not None
    said = group.switch
    decision = group.decisions[-1] if group.decisions else None
    since = f"{group.name} is light ({label(view.method)}) since step {said.step}"
    if said.cause == "calibration" and decision is not None and decision.srs is not None:
        count = f"{words.hits(decision.hits)} of {decision.samples}"
        return (
            f"{since}: {count} {_counted(view)}, and {decision.srs:.2f} > δ {decision.delta:g}.",
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
    return [*found, LOWER] if view.variant != "off" and view.control == "off" else found


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
