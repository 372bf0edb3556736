"""The fold: from the records of a log to a `RunView`, one handler for each type of event."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from calisr_engine.events import types as ev
from calisr_engine.events.decode import DecodeError, Line, decode, decode_block
from calisr_engine.events.rewind import TRAINED, Cut, cut_of
from calisr_engine.events.series import SERIES_LIMIT
from calisr_engine.events.view import (
    Decision,
    Evaluation,
    Flip,
    Generalised,
    GroupView,
    Message,
    Parts,
    RunView,
    Sample,
    Switch,
    at,
)


def fold(view: RunView, record: Mapping[str, Any]) -> RunView:
    """Take in one record; unknown types are passed over, malformed ones counted as garbage."""
    try:
        line = decode(record)
    except DecodeError:
        view.garbage += 1
        return view
    return view if line is None else fold_lines(view, [line])


def fold_all(view: RunView, records: Iterable[Mapping[str, Any]]) -> RunView:
    """Take in records in the order of the log."""
    for record in records:
        fold(view, record)
    return view


def fold_blocks(view: RunView, blocks: Iterable[bytes]) -> RunView:
    """Take in blocks of whole lines, in the order of the log."""
    for block in blocks:
        lines, garbage = decode_block(block)
        view.garbage += garbage
        fold_lines(view, lines)
    return view


def fold_lines(view: RunView, lines: Sequence[Line]) -> RunView:
    """Take in lines in the order of the log."""
    done = 0
    for number in [n for n, line in enumerate(lines) if line.kind not in _FREQUENT]:
        _take_frequent(view, lines[done:number])
        line = lines[number]
        _HANDLERS[line.kind](view, line, line.event)
        view.step = max(view.step, line.step)
        view.updated = view.updated if line.time is None else line.time
        done = number + 1
    return _take_frequent(view, lines[done:])


def _take_frequent(view: RunView, lines: Sequence[Line]) -> RunView:
    """Take in lines of which each kind concerns fields of its own, all of a kind at once."""
    if lines:
        for kind, handle in _FREQUENT.items():
            some = [line for line in lines if line.kind is kind]
            if some:
                handle(view, some)
        view.step = max(view.step, max(map(_STEP, lines)))
        times = (line.time for line in reversed(lines))
        view.updated = next((time for time in times if time is not None), view.updated)
    return view


_STEP = attrgetter("step")


def _rewind(view: RunView, cut: Cut) -> None:
    """Forget what no longer holds, so that the view is that of an undisturbed run."""
    step = view.step = cut.step
    view.epoch = step / view.steps_per_epoch if view.steps_per_epoch else 0.0
    for series in _BY_STEP:
        getattr(view, series).cut_after(step)
    if any(each.step == step and not cut.keeps(each) for each in view.switches):
        view.trainable_share.cut_after(step - 1)
    view.evaluations = [each for each in view.evaluations if cut.keeps(each)]
    view.generalisation = [each for each in view.generalisation if cut.keeps(each)]
    newest = view.evaluations[-1] if view.evaluations else None
    view.last = newest.value if newest else None
    view.best, view.best_step = (newest.best, newest.best_step) if newest else (None, None)
    view.checkpoints = [each for each in view.checkpoints if each <= step]
    view._saved = {at: seq for at, seq in view._saved.items() if at <= step}
    view.switches = [each for each in view.switches if cut.keeps(each)]
    view.messages = [
        each
        for each in view.messages
        if each.step <= step and (each.kind not in _TRAINED or cut.keeps(each))
    ]
    view.warnings = [each for each in view.warnings if each.step <= step]
    cumulative = bool(view.setting("calibration", "cumulative", False))
    for group in view.groups.values():
        if group.switch is not None and not cut.keeps(group.switch):
            group.switch, group.phase = None, "fft"
        group.history = [each for each in group.history if cut.keeps(each)]
        group.parts = [each for each in group.parts if cut.keeps(each)]
        group.flips = [each for each in group.flips if cut.keeps(each)]
        group.decisions = [each for each in group.decisions if cut.keeps(each)]
        latest = group.counted[-1] if group.counted else None
        decided = group.decisions[-1].step if group.decisions else -1
        if latest is None or (decided >= latest.step and not cumulative):
            group.hits, group.samples = 0.0, 0
        else:
            group.hits, group.samples = latest.hits, latest.samples


_TRAINED = {each.type for each in TRAINED}
_BY_STEP = ("loss", "learning_rate", "gradient_norm", "speed", "trainable_share")


# One handler for each type of event --------------------------------------------------------------


def _say(view: RunView, line: Line, text: str) -> None:
    view.messages.append(Message(line.step, line.time or 0.0, line.kind.type, text, line.seq))
    if len(view.messages) > SERIES_LIMIT:
        del view.messages[: SERIES_LIMIT // 2]


def _group(view: RunView, name: str) -> GroupView:
    return view.groups.setdefault(name, GroupView(name))


def _run_created(view: RunView, line: Line, said: ev.RunCreated) -> None:
    if view.config or view.created is not None:  # the log of another run stands behind it
        view.garbage += 1
        return
    view.run_id = said.run_id
    view.config = said.config
    view.synthetic_data = said.synthetic_data
    view.created = line.time
    _say(view, line, "run created")


_SAME_NAMES = (
    "total_steps",
    "steps_per_epoch",
    "epochs",
    "trainable",
    "total",
    "trainable_lft",
    "train_examples",
    "validation_examples",
    "metric",
    "device",
    "precision",
    "model_summary",
)


def _run_started(view: RunView, line: Line, said: ev.RunStarted) -> None:
    back = said.resumed_from
    cut = cut_of(said, view._saved, begun=view.attempt > 0)
    if cut is not None:
        _rewind(view, cut)
    view.state = "running"
    view.stop_reason = view.failure = view.summary = None
    view.attempt = line.attempt
    for name in _SAME_NAMES:
        setattr(view, name, getattr(said, name))
    view.decision_steps = list(said.decision_steps)
    for name in said.groups:
        _group(view, name).phase = said.phases.get(name, "fft")
    if back is None or not view.trainable_fft:
        view.trainable_fft = said.trainable
    if view.total:
        view.trainable_share.add(line.step, view.trainable / view.total)
    _say(
        view,
        line,
        "training started"
        if back is None
        else f"training goes on from step {back} (attempt {line.attempt})",
    )


def _progress(view: RunView, lines: Sequence[Any]) -> None:
    steps = [line.step for line in lines]
    speeds = [line.examples_per_second for line in lines]
    view.loss.extend(steps, [line.loss for line in lines])
    view.learning_rate.extend(steps, [line.learning_rate for line in lines])
    view.gradient_norm.extend(steps, [line.gradient_norm for line in lines])
    view.speed.extend(steps, speeds)
    last = lines[-1]
    view.epoch = last.epoch
    view.examples_per_second = last.examples_per_second
    view.seconds_per_step = last.seconds_per_step


def _sampled(view: RunView, line: Line, said: ev.StableRankSampled) -> None:
    view.epoch = said.epoch
    for name, each in said.groups.items():
        group = _group(view, name)
        group.history.append(at(Sample, line, each))
        if len(group.history) > SERIES_LIMIT:
            del group.history[: SERIES_LIMIT // 2]
        group.hits, group.samples = each.hits, each.samples


def _parts_measured(view: RunView, line: Line, said: ev.StepPartsMeasured) -> None:
    for name, each in said.groups.items():
        parts = _group(view, name).parts
        parts.append(at(Parts, line, each))
        if len(parts) > SERIES_LIMIT:
            del parts[: SERIES_LIMIT // 2]


def _coin_flipped(view: RunView, line: Line, said: ev.CoinFlipped) -> None:
    view.epoch = said.epoch
    for name, each in said.groups.items():
        group = _group(view, name)
        group.flips.append(at(Flip, line, each))
        if len(group.flips) > SERIES_LIMIT:
            del group.flips[: SERIES_LIMIT // 2]
        group.hits, group.samples = each.hits, each.samples


def _srs_evaluated(view: RunView, line: Line, said: ev.SrsEvaluated) -> None:
    cumulative = bool(view.setting("calibration", "cumulative", False))
    stay = [each for each in said.groups.values() if not each.switch]
    for name, each in said.groups.items():
        group = _group(view, name)
        group.decisions.append(at(Decision, line, each))
        if not cumulative:
            group.hits, group.samples = 0.0, 0
        if not each.switch and len(stay) <= TOLD_ONE_BY_ONE:  # a switch says itself what it led to
            _say(view, line, each.why)
    if len(stay) > TOLD_ONE_BY_ONE:
        _say(view, line, _how_many_stay(stay))


TOLD_ONE_BY_ONE = 8
"""Groups that stay in full fine-tuning up to which each has a line of the story."""


def _how_many_stay(stay: Sequence[ev.GroupDecision]) -> str:
    """The decisions of many groups in one line, by what they counted."""
    counts = Counter((each.hits, each.samples) for each in stay if not each.held_back)
    told = [f"{n} with {hits:g} of {samples}" for (hits, samples), n in sorted(counts.items())]
    if late := sum(each.held_back for each in stay):
        told.append(f"{late} above delta, but training ends here")
    shown = told if len(told) <= 6 else [*told[:5], "and others"]
    return f"{len(stay)} groups stay in full fine-tuning: {', '.join(shown)}"


def _group_switched(view: RunView, line: Line, said: ev.GroupSwitched) -> None:
    switch = at(Switch, line, said)
    group = _group(view, said.group)
    if group.switch is not None:  # none ever goes back, so none switches twice
        view.garbage += 1
        return
    group.phase, group.switch = "lft", switch
    view.switches.append(switch)
    view.trainable, view.total = said.trainable, said.total
    share = said.trainable / said.total if said.total else None
    if line.step > 0 and view.trainable_share.last is not None:
        view.trainable_share.add(line.step, view.trainable_share.last)
    view.trainable_share.add(line.step, share)
    shown = "" if share is None else f" = {share:.2%}"
    decided = said.cause in ("calibration", "coin")  # then `why` is the decision's
    what = said.why if decided else f"{said.group} switched ({said.cause}: {said.why})"
    _say(view, line, f"{what}; trainable now {said.trainable:,}{shown}")


def _evaluated(view: RunView, line: Line, said: ev.Evaluated) -> None:
    view.evaluations.append(at(Evaluation, line, said))
    view.metric = said.metric
    view.last, view.best, view.best_step = said.value, said.best, said.best_step
    named = ", ".join(f"{name} {value:.4f}" for name, value in said.metrics.items())
    _say(view, line, f"evaluated: {named}{' (best)' if said.is_best else ''}")


def _generalised(view: RunView, line: Line, said: ev.GeneralisationMeasured) -> None:
    view.generalisation.append(at(Generalised, line, said))


def _checkpoint_saved(view: RunView, line: Line, said: ev.CheckpointSaved) -> None:
    view.checkpoints.append(line.step)
    view._saved[line.step] = line.seq
    _say(view, line, f"checkpoint saved ({said.bytes / 1e6:.1f} MB)")


def _resources(view: RunView, lines: Sequence[Any]) -> None:
    view.resources = dataclasses.asdict(lines[-1].event)
    timed = [line for line in lines if line.time is not None]
    times = [line.time for line in timed]
    view.cpu.extend(times, [line.cpu_percent for line in timed])
    view.gpu.extend(times, [line.gpu_percent for line in timed])
    view.memory.extend(times, [line.memory_bytes for line in timed])


def _paused(view: RunView, line: Line, said: ev.Paused) -> None:
    view.state = "paused"
    _say(view, line, "paused")


def _resumed(view: RunView, line: Line, said: ev.Resumed) -> None:
    view.state = "running"
    _say(view, line, "goes on")


def _settings_changed(view: RunView, line: Line, said: ev.SettingsChanged) -> None:
    for key, change in said.changes.items():
        section, _, name = key.rpartition(".")
        part = view.config.get(section) if section else view.config
        if isinstance(part, dict):
            part[name] = change["to"]
        view.changes.append((line.step, key, change["from"], change["to"]))
        _say(view, line, f"{key} changed from {change['from']} to {change['to']}")


def _warned(view: RunView, line: Line, said: ev.Warned) -> None:
    text = said.message + (f" ({said.hint})" if said.hint else "")
    view.warnings.append(Message(line.step, line.time or 0.0, said.type, text, line.seq))
    if len(view.warnings) > SERIES_LIMIT:
        del view.warnings[: SERIES_LIMIT // 2]
    _say(view, line, f"warning: {text}")


def _noted(view: RunView, line: Line, said: ev.Noted) -> None:
    _say(view, line, said.message)


def _stopped(view: RunView, line: Line, said: ev.Stopped) -> None:
    view.state = "stopped"
    view.stop_reason = said.reason
    _say(view, line, f"{said.reason}{'; saved' if said.saved else ''}")


def _failed(view: RunView, line: Line, said: ev.Failed) -> None:
    view.state = "failed"
    view.failure = said
    _say(view, line, f"failed: {said.message}")


def _completed(view: RunView, line: Line, said: ev.Completed) -> None:
    view.state = "completed"
    view.summary = said.summary
    _say(view, line, "completed")


_HANDLERS: dict[type[ev.Event], Callable[[RunView, Line, Any], None]] = {
    ev.RunCreated: _run_created,
    ev.RunStarted: _run_started,
    ev.StableRankSampled: _sampled,
    ev.StepPartsMeasured: _parts_measured,
    ev.CoinFlipped: _coin_flipped,
    ev.SrsEvaluated: _srs_evaluated,
    ev.GroupSwitched: _group_switched,
    ev.Evaluated: _evaluated,
    ev.GeneralisationMeasured: _generalised,
    ev.CheckpointSaved: _checkpoint_saved,
    ev.Paused: _paused,
    ev.Resumed: _resumed,
    ev.SettingsChanged: _settings_changed,
    ev.Warned: _warned,
    ev.Noted: _noted,
    ev.Stopped: _stopped,
    ev.Failed: _failed,
    ev.Completed: _completed,
}

_FREQUENT: dict[type[ev.Event], Callable[[RunView, Sequence[Any]], None]] = {
    ev.Progress: _progress,
    ev.Resources: _resources,
}
"""Most lines of a log."""
