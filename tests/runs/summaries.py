"""History lines of runs that never were."""

from __future__ import annotations

import json
from typing import Any

from calisr_engine.runs.summary import RunSummary


def summary(run_id: str = "run", settings: dict[str, Any] | None = None, **more: Any) -> RunSummary:
    """A complete run of RTE with LoRA, but for what is given."""
    known: dict[str, Any] = {
        "path": f"runs/{run_id}",
        "state": "completed",
        "model": "bert-base-uncased",
        "task": "rte",
        "method": "lora",
        "variant": "S",
        "delta": 0.5,
        "seed": 42,
        "metric": "accuracy",
        "best": 0.7,
        "last": 0.65,
        "share": 0.2,
        "created": 1000.0,
        "updated": 1090.0,
    }
    rates = {"training.learning_rate": 3e-4, "method.rank": 8, "calibration.cumulative": False}
    return RunSummary(run_id, settings_text=json.dumps(rates | (settings or {})), **(known | more))
