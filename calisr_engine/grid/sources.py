"""Which run of a grid a matched or shuffled control takes its switch steps from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from calisr_engine.config.deciding import decides
from calisr_engine.config.load import ResolvedConfig
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import ConfigError
from calisr_engine.grid.labels import label
from calisr_engine.grid.settings import Settings
from calisr_engine.grid.spec import GridHead

IN_GRID = "grid"
"""`calibration.matched_to` that means: the run which differs in nothing but the control."""

OF_CONTROLS = tuple(
    f"calibration.{key}" for key in ("control", "control_seed", "measure", "keep_samples")
)


def is_control(config: RunConfig) -> bool:
    """Whether a run's switch steps come from another run."""
    calibration = config.calibration
    return calibration.variant != "off" and calibration.follows_steps


def source_of(index: int, runs: Sequence[tuple[RunConfig, Settings]], head: GridHead) -> int | None:
    """The run of the grid that run `index` is matched to; None where it names one elsewhere.

    A row is named by its label in the report, whatever its spaces ("LoRA + S" is LoRA+CaliSr-S):
    then it is the calibrated run of that row in the same column and with the same seed.

    Raises:
        ConfigError: there is no such run in the grid, or more than one.
    """
    config, own = runs[index]
    wanted = str(config.calibration.matched_to)
    if config.calibration.switch_steps is not None or "/" in wanted:
        return None
    scored = [
        i
        for i, (each, _) in enumerate(runs)
        if each.calibration.variant != "off" and each.calibration.control == "off"
    ]
    found = scored
    if wanted != IN_GRID:
        rows = {i: label(runs[i][1], head.rows) for i in scored}
        found = [i for i in scored if _plain(rows[i]) == _plain(wanted)]
        if not found:
            shown = ", ".join(dict.fromkeys(rows.values())) or "none"
            raise ConfigError(
                f"calibration.matched_to: the grid has no calibrated row {wanted!r}",
                f'its calibrated rows are: {shown}; or write "grid", or the path of a run',
            )
        column = label(own, head.columns)
        found = [
            i
            for i in found
            if label(runs[i][1], head.columns) == column
            and runs[i][0].training.seed == config.training.seed
        ]
    if wanted == IN_GRID or len(found) > 1:
        found = [i for i in found if _differ_in_control_alone(runs[i][1], own)]
    if len(found) != 1:
        count = f"{len(found)} calibrated runs" if found else "no calibrated run"
        raise ConfigError(
            f"calibration.matched_to = {wanted!r}: the grid has {count} with the settings of "
            f"the control for it to be matched to (seed {config.training.seed})",
            'give the grid one with calibration.control = "off", or name a row or a run',
        )
    return found[0]


def matched_to_run(resolved: ResolvedConfig, run_id: str) -> ResolvedConfig:
    """The settings of a control that is matched to this run of its grid."""
    calibration = resolved.config.calibration.model_copy(update={"matched_to": run_id})
    config = resolved.config.model_copy(update={"calibration": calibration})
    return replace(resolved, config=config)


def without_source(config: RunConfig) -> RunConfig:
    """The settings of a control as if the score decided: its source may not be complete yet."""
    calibration = config.calibration.model_copy(update={"control": "off", "matched_to": None})
    return config.model_copy(update={"calibration": calibration})


def _differ_in_control_alone(one: Settings, other: Settings) -> bool:
    keys = {key for key in (*one, *other) if decides(key) and key not in OF_CONTROLS}
    return all(one.get(key) == other.get(key) for key in keys)


def _plain(row: str) -> str:
    return re.sub(r"\s|calisr-", "", row.lower())
