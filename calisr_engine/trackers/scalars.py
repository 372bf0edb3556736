"""What a tracker is told: one record of the event log -> scalars; settings -> hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Record = Mapping[str, Any]
Scalars = dict[str, float]


def scalars(record: Record) -> Scalars:
    """Named figures of one record, for the step of the record; {} where it has none.

    Names are `part/figure`, as trackers sort them into charts. Figures that are None are left out.
    Stable ranks and scores are those of the paper: SR_LFT and SR_FFT of each sample, SRS of each
    decision.
    """
    found = _BY_TYPE.get(record["type"], _nothing)(record)
    return {name: float(value) for name, value in found.items() if value is not None}


def _nothing(record: Record) -> dict[str, Any]:
    return {}


def _started(record: Record) -> dict[str, Any]:
    phases = record["phases"]
    return {"train/trainable_share": _share(record)} | {
        f"switched/{group}": float(phases.get(group) == "lft") for group in record["groups"]
    }


def _progress(record: Record) -> dict[str, Any]:
    names = ("loss", "learning_rate", "gradient_norm", "examples_per_second", "epoch")
    return {f"train/{name}": record.get(name) for name in names}


def _sampled(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for group, sample in record["groups"].items():
        found[f"SR_LFT/{group}"] = sample["sr_lft"]
        found[f"SR_FFT/{group}"] = sample["sr_fft"]
    return found


def _decided(record: Record) -> dict[str, Any]:
    return {f"SRS/{group}": said["srs"] for group, said in record["groups"].items()}


def _switched(record: Record) -> dict[str, Any]:
    return {f"switched/{record['group']}": 1.0, "train/trainable_share": _share(record)}


def _evaluated(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = {f"eval/{name}": value for name, value in record["metrics"].items()}
    return found | {"eval/loss": record.get("loss"), "eval/best": record["best"]}


def _share(record: Record) -> float | None:
    return record["trainable"] / record["total"] if record["total"] else None


_BY_TYPE: dict[str, Callable[[Record], dict[str, Any]]] = {
    "run_started": _started,
    "progress": _progress,
    "stable_rank_sampled": _sampled,
    "srs_evaluated": _decided,
    "group_switched": _switched,
    "evaluated": _evaluated,
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
