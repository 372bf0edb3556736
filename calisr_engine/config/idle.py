"""Settings that do nothing in a run, and why; told, not refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from calisr_engine.config.layering import Merged
from calisr_engine.methods.catalog import has_light_phase
from calisr_engine.regularizers import catalog as regularizers


def idle_settings(merged: Merged) -> list[str]:
    """Settings given by hand that do nothing in this run."""
    own = [key for key in merged.places if not merged.origins[key].startswith("preset ")]
    idle: dict[str, str] = {}
    if merged.values["calibration.variant"] == "off":
        why = 'has no effect while calibration.variant = "off"; S or D calibrates'
        if merged.values["calibration.groups"] is not None:
            why = 'has no effect while calibration.variant = "off"; own calibrates by these groups'
        idle |= {key: why for key in own if key.startswith("calibration.")}
        idle.pop("calibration.variant", None)
    else:
        idle |= _idle_controls(merged.values, own)
        if merged.values["calibration.variant"] != "own" and "calibration.groups" in own:
            variant = merged.values["calibration.variant"]
            why = f'has no effect while calibration.variant = "{variant}"; own has these groups'
            idle["calibration.groups"] = why
    method = str(merged.values["method.name"])
    if not has_light_phase(method) and "training.lft_learning_rate" in own:
        idle["training.lft_learning_rate"] = f"has no effect with method {method}"
    regularizer = str(merged.values["regularizer.name"])
    for key in own:
        of = regularizers.owner(key.partition(".")[2]) if key.startswith("regularizer.") else ""
        if of not in ("", regularizer):
            idle[key] = f'has no effect while regularizer.name = "{regularizer}"'
    if merged.values["task.validation_file"] is not None:
        why = "has no effect beside task.validation_file: nothing is set aside"
        both = ("task.validation_share", "task.split_seed")
        idle |= {key: why for key in both if key in own}
    idle |= {key: why for key, why in _idle_data(merged.values).items() if key in own}
    if merged.values["model.random_weights"]:
        idle["model.random_weights"] = "is on: scores of this run mean nothing"
    return [f"{key} {why} ({merged.origins[key]})" for key, why in idle.items()]


def _idle_data(values: Mapping[str, Any]) -> dict[str, str]:
    """Settings of [task] that data of this kind, from there, makes no use of, and why."""
    idle: dict[str, str] = {}
    if values["task.dataset"] is None:
        splits = ("task.train_split", "task.validation_split", "task.test_split")
        idle |= dict.fromkeys(splits, "has no effect without task.dataset: files have no splits")
    if values["task.dataset"] is not None or values["task.train_file"] is not None:
        of_known = ("task.data_dir", "task.train_language", "task.eval_languages")
        idle |= dict.fromkeys(of_known, "has no effect with data of your own")
    if values["task.kind"] not in (None, "multi_label") and values["task.threshold"] != 0.5:
        idle["task.threshold"] = f'has no effect while task.kind = "{values["task.kind"]}"'
    return {key: why for key, why in idle.items() if values[key] is not None}


def _idle_controls(values: Mapping[str, Any], own: Sequence[str]) -> dict[str, str]:
    """Settings of [calibration] that its control makes no use of, and why."""
    control = str(values["calibration.control"])
    given = {key.partition(".")[2] for key in own if key.startswith("calibration.")}
    unused = {
        "off": ("matched_to", "switch_steps", "control_seed", "measure"),
        "coin": ("matched_to", "switch_steps"),
        "matched": ("delta", "cumulative", "control_seed"),
        "shuffled": ("delta", "cumulative"),
    }[control]
    why = f'has no effect while calibration.control = "{control}"'
    idle = {f"calibration.{key}": why for key in unused if key in given}
    if control != "off" and not values["calibration.measure"]:
        for key in sorted(given & {"keep_samples", "log_parts", "reading", "score"}):
            idle[f"calibration.{key}"] = f"{why}, unless calibration.measure = true"
    return idle
