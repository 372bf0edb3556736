"""Numbers and events in words: what the screen says of a counter, a switch, a run."""

from __future__ import annotations

import time

from calisr_engine.analysis.score import in_words
from calisr_engine.events.view import GroupView, RunView, Switch
from calisr_engine.methods.catalog import label

STATES = {
    "created": ("○", "CREATED", "dim"),
    "loading": ("◌", "LOADING", "good"),
    "running": ("▶", "RUNNING", "good"),
    "paused": ("‖", "PAUSED", "warn"),
    "stopped": ("■", "STOPPED", "warn"),
    "interrupted": ("◌", "INTERRUPTED", "warn"),
    "failed": ("✗", "FAILED", "bad"),
    "completed": ("✓", "DONE", "good"),
    "unreadable": ("?", "UNREADABLE", "bad"),
}
"""State -> glyph, word, role of its colour."""


def seconds(value: float | None) -> str:
    """1h02m, 3m05s or 12s; a dash where there is none."""
    if value is None:
        return "–"
    whole = max(0, round(value))
    if whole >= 86400:
        return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def count(value: int | None) -> str:
    """4,386,178 as 4.39 M."""
    if value is None:
        return "–"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            shown = value / size
            return f"{shown:.0f} {unit}" if shown >= 100 else f"{shown:.3g} {unit}"
    return str(value)


def size(value: float | None) -> str:
    """Bytes as 1.2 GB."""
    if value is None:
        return "–"
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.0f} B"


def share(value: float | None) -> str:
    """A share in [0, 1] as percent with as many digits as say something."""
    if value is None:
        return "–"
    percent = 100 * value
    return f"{percent:.1f}%" if percent >= 10 else f"{percent:.2f}%"


def figure(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def number(value: float | None) -> str:
    """A setting in as few digits as it was given in."""
    return "–" if value is None else f"{value:g}"


def seed(value: int | None) -> str:
    return "–" if value is None else str(value)


def hits(value: float) -> str:
    """A count of hits: 3, or 2.67 where matrices vote."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def moment(value: float | None) -> str:
    """Unix seconds as local date and time."""
    return "–" if value is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(value))


def calibration(variant: str, delta: float | None, control: str = "off") -> str:
    """CaliSr-S δ 0.5, CaliSr-S matched, or no calibration."""
    if variant == "off":
        return "no calibration"
    if control in ("matched", "shuffled"):  # which delta has no part in
        return f"CaliSr-{variant} {control}"
    if control != "off":
        return f"{calibration(variant, delta)} {control}"
    return f"CaliSr-{variant} δ {delta:g}" if delta is not None else f"CaliSr-{variant}"


def eighths(fraction: float, width: int) -> str:
    """A bar of `width` cells filled to `fraction`, in eighths of a cell."""
    filled = round(max(0.0, min(1.0, fraction)) * width * 8)
    whole, part = divmod(filled, 8)
    bar = "█" * whole + (" ▏▎▍▌▋▊▉"[part] if part else "")
    return bar.ljust(width)


def relative_difference(sr_fft: float, difference: float) -> float | None:
    """(SR_LFT - SR_FFT) / SR_FFT."""
    return difference / sr_fft if sr_fft else None


_COMPARED = {
    "step": "what the light part of the step makes of the weights alone",
    "since_last_sample": "what the light part has made of the weights since the sample before, "
    "without the rest,",
    "branches": "what {method} alone has made of a copy since the sample before",
}
"""Reading -> what is compared with the weights as they are."""


def _light_side(view: RunView, method: str) -> str:
    """What a sample compares with the full step, for a sentence."""
    return {
        "since_last_sample": "the light part's change since the sample before, without the rest,",
        "branches": f"a branch that {method} alone trained since the sample before",
    }.get(view.reading, "the light part of the step alone")


def explain_group(view: RunView, group: GroupView) -> str:
    """A group's counter or switch, how much its hits can tell, and what a hit says."""
    said = (explain_counter(view, group), in_words(view, group), _why_lower(view))
    return "\n\n".join(filter(None, said))


def _why_lower(view: RunView) -> str:
    """Why lower is better, and what the reading of this run compares."""
    if view.variant == "off" or view.control != "off":
        return ""
    why = "Lower is better by the paper: its bound on the error on unseen data grows with the rank."
    if view.reading != "step":
        return why
    return (
        f"{why} In this reading (step) a hit says, to first order, that what only full fine-tuning "
        "does in the step raises the rank."
    )


def explain_counter(view: RunView, group: GroupView) -> str:
    """Two sentences on a group's counter, with its numbers."""
    if group.switch is not None:
        return explain_switch(view, group.switch)
    delta = view.delta if view.delta is not None else 0.5
    method = label(view.method)
    latest = group.latest
    if view.variant == "off":
        return (
            f"{group.name} is in full fine-tuning and nothing is measured, because calibration is "
            "off. It changes only where a schedule or your own hand switches it."
        )
    if view.control != "off":
        return _explain_control(view, group)
    if latest is None:
        what = _COMPARED.get(view.reading, _COMPARED["step"]).format(method=method)
        return (
            f"{group.name} is in full fine-tuning and was not sampled yet. At each sample a hit is "
            f"counted when {what} has a lower stable rank than the weights as they are."
        )
    relative = relative_difference(latest.sr_fft, latest.difference)
    outcome = "a hit" if latest.hit >= 1 else "no hit"
    if view.votes:
        outcome = f"{latest.hit:.0%} of its matrices had the lower rank, {latest.hit:.2g} of a hit"
    sign = "below" if latest.difference < 0 else "above" if latest.difference > 0 else "equal to"
    first = (
        f"At step {latest.step} {_light_side(view, method)} gave a stable rank of "
        f"{latest.sr_lft:.6g}, {sign} the {latest.sr_fft:.6g} of the full step"
        + (f" (relative difference {relative:.1e})" if relative else "")
        + f": {outcome}."
    )
    if not group.samples:
        last = group.decisions[-1] if group.decisions else None
        why = f"The last window said: {last.why}" if last else "A new window begins"
        return f"{first} {why}; the counter starts anew."
    srs = group.hits / group.samples
    counted = f"{hits(group.hits)} hits in {group.samples} samples"
    second = (
        f"This window has {counted}, a score of {srs:.2f}; "
        f"{group.name} goes over to {method} at the window's end if the score is above "
        f"δ = {delta:g}."
    )
    return f"{first} {second}"


def _explain_control(view: RunView, group: GroupView) -> str:
    """What a control waits for in the score's stead."""
    method, source = label(view.method), view.setting("calibration", "matched_to")
    if view.control == "coin":
        count = (
            f"{hits(group.hits)} heads in {group.samples} flips" if group.samples else "no flip yet"
        )
        return (
            f"{group.name} is in full fine-tuning. This run is a control: at each sample a fair "
            f"coin is flipped in the comparison's place; this window has {count}. It goes over to "
            f"{method} at the window's end if the share of heads is above δ = {view.delta:g}."
        )
    whose = "at the step at which it switched in" if view.control == "matched" else "at a step of"
    return (
        f"{group.name} is in full fine-tuning. This run is a control: nothing is looked at, and "
        f"{group.name} goes over to {method} {whose} {source or 'the steps of its settings'}"
        + ("." if view.control == "matched" else ", dealt to another group by the seed.")
    )


def explain_switch(view: RunView, switch: Switch) -> str:
    """Two sentences on a switch, with its numbers."""
    group = view.groups.get(switch.group)
    decision = next(
        (d for d in reversed(group.decisions) if d.switch) if group is not None else iter(()), None
    )
    if decision is not None and decision.srs is not None and switch.cause == "calibration":
        light = _light_side(view, label(view.method))
        count = f"in {hits(decision.hits)} of {decision.samples} samples {light} had the lower"
        if view.votes:
            count = (
                f"its matrices cast {hits(decision.hits)} of {decision.samples} votes for {light} "
                "having the lower"
            )
        first = (
            f"{switch.group} left full fine-tuning at step {switch.step}: {count} stable rank, and "
            f"{decision.srs:.2f} is above δ = {decision.delta:g}."
        )
    else:
        why = f"{switch.cause}: {switch.why}"
        first = f"{switch.group} left full fine-tuning at step {switch.step}: {why}."
    freed = (
        f" and freed {size(switch.freed_bytes)} of optimizer state" if switch.freed_bytes else ""
    )
    total = view.total or 1
    second = (
        f"That took the trainable parameters from {switch.trainable_before:,} to "
        f"{switch.trainable:,} ({share(switch.trainable / total)} of the model){freed}; it never "
        "goes back."
    )
    return f"{first} {second}"
