"""What a tracker is told: one record of the event log -> scalars; settings -> hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from calisr_engine.events import types as ev
from calisr_engine.events.decode import decode

Scalars = dict[str, float]


def scalars(record: Mapping[str, Any]) -> Scalars:
    """Named figures of one record, for the step of the record; {} where it has none.

    Names are `part/figure`, as trackers sort them into charts. Figures that are None are left out.
    Stable ranks and scores are those of the paper: SR_LFT and SR_FFT of each sample, SRS of each
    decision.

    Raises:
        DecodeError: the record is no event of its type.
    """
    line = decode(record)
    figures = None if line is None else _FIGURES.get(type(line.event))
    found = {} if line is None or figures is None else figures(line.event)
    return {name: float(value) for name, value in found.items() if value is not None}


def _started(said: ev.RunStarted) -> dict[str, Any]:
    return {"train/trainable_share": _share(said)} | {
        f"switched/{group}": float(said.phases.get(group) == "lft") for group in said.groups
    }


def _progress(said: ev.Progress) -> dict[str, Any]:
    names = ("loss", "learning_rate", "gradient_norm", "examples_per_second", "epoch")
    return {f"train/{name}": getattr(said, name) for name in names}


def _sampled(said: ev.StableRankSampled) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for group, sample in said.groups.items():
        found[f"SR_LFT/{group}"] = sample.sr_lft
        found[f"SR_FFT/{group}"] = sample.sr_fft
    return found


def _decided(said: ev.SrsEvaluated) -> dict[str, Any]:
    return {f"SRS/{group}": each.srs for group, each in said.groups.items()}


def _switched(said: ev.GroupSwitched) -> dict[str, Any]:
    return {f"switched/{said.group}": 1.0, "train/trainable_share": _share(said)}


def _evaluated(said: ev.Evaluated) -> dict[str, Any]:
    found: dict[str, Any] = {f"eval/{name}": value for name, value in said.metrics.items()}
    return found | {"eval/loss": said.loss, "eval/best": said.best}


def _generalised(said: ev.GeneralisationMeasured) -> dict[str, Any]:
    names = ("train_loss", "validation_loss", "gap", "stable_rank", "log_norms", "log_bound")
    return {f"generalisation/{name}": getattr(said, name) for name in names}


def _share(said: ev.RunStarted | ev.GroupSwitched) -> float | None:
    return said.trainable / said.total if said.total else None


_FIGURES: dict[type[ev.Event], Callable[[Any], dict[str, Any]]] = {
    ev.RunStarted: _started,
    ev.Progress: _progress,
    ev.StableRankSampled: _sampled,
    ev.SrsEvaluated: _decided,
    ev.GroupSwitched: _switched,
    ev.Evaluated: _evaluated,
    ev.GeneralisationMeasured: _generalised,
}


def hyperparameters(settings: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Settings (`RunConfig.model_dump(mode="json")`) by dotted key, as flat values.

    Trackers take no None and no list: None becomes "none", a list its words with commas.
    """
    flat: dict[str, bool | int | float | str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{name}": each for name, each in hyperparameters(value).items()}
        elif isinstance(value, list | tuple):
            flat[key] = ", ".join(map(str, value))
        elif isinstance(value, bool | int | float | str):
            flat[key] = value
        else:
            flat[key] = "none" if value is None else str(value)
    return flat
