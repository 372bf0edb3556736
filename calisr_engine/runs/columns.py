"""What a list of runs can say of each: the columns that lists show, filters ask for and sorts use.

A column is one of `COLUMNS`, or any setting, by its dotted key or, where that is enough, by the
last part of it (`learning_rate`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from calisr_engine.config.describe import FieldInfo
from calisr_engine.config.names import OTHER_NAMES, known_fields, nearest
from calisr_engine.errors import ConfigError
from calisr_engine.plain_words import quoted
from calisr_engine.runs.summary import RunSummary

Kind = Literal["text", "number", "share", "seconds", "moment", "flag", "words"]


@dataclass(frozen=True)
class Column:
    """One thing that can be said of a run.

    Attributes:
        name: in filters, in `--columns` and as heading of a CSV file.
        title: above the column.
        kind: what its values are: text, a number, a share in [0, 1], seconds, Unix seconds, true or
            false, or a tuple of words.
        value: of a run; None where it has none.
    """

    name: str
    title: str
    kind: Kind
    value: Callable[[RunSummary], Any]
    help: str = ""

    @property
    def numeric(self) -> bool:
        return self.kind in ("number", "share", "seconds", "moment")


def _delta(run: RunSummary) -> float | None:
    """The threshold where it decides something."""
    decides = run.variant != "off" and run.control in ("off", "coin")
    return run.delta if decides else None


def _known(value: str) -> str | None:
    return None if value in ("", "?") else value


def _setting(key: str) -> Callable[[RunSummary], Any]:
    def value(run: RunSummary) -> Any:
        found = run.settings.get(key)
        return "+".join(map(str, found)) if isinstance(found, list) else found

    return value


_TABLE = (
    Column("state", "state", "text", lambda r: r.state, "running, paused, stopped, completed, ..."),
    Column("run", "run", "text", lambda r: r.run_id, "name of the run directory"),
    Column("name", "name", "text", lambda r: r.name or None, "that somebody gave the run"),
    Column("task", "task", "text", lambda r: _known(r.task), "task"),
    Column("model", "model", "text", lambda r: _known(r.model), "model"),
    Column("method", "method", "text", lambda r: _known(r.method), "fine-tuning method"),
    Column("calibration", "cal", "text", lambda r: r.variant, "off, or its groups: D, S, S3 ..."),
    Column("control", "control", "text", lambda r: r.control, "what switches instead of the score"),
    Column("regularizer", "reg", "text", _setting("regularizer.name"), "what regularises training"),
    Column("delta", "δ", "number", _delta, "threshold of the score, where it decides"),
    Column("seed", "seed", "number", lambda r: r.seed, "seed"),
    Column("metric", "metric", "text", lambda r: _known(r.metric), "name of the metric"),
    Column("best", "best", "number", lambda r: r.best, "best value of the metric"),
    Column("last", "last", "number", lambda r: r.last, "its value at the last evaluation"),
    Column("share", "trains", "share", lambda r: r.share, "share of the parameters that trains"),
    Column("step", "step", "number", lambda r: r.step, "steps done"),
    Column("steps", "steps", "number", lambda r: r.total_steps or None, "steps in all"),
    Column("time", "time", "seconds", lambda r: r.duration, "from its first line to its newest"),
    Column("created", "created", "moment", lambda r: r.created, "when it was made"),
    Column("updated", "updated", "moment", lambda r: r.updated, "when its log last grew"),
    Column("lr", "lr", "number", _setting("training.learning_rate"), "learning rate"),
    Column(
        "lft_lr", "lft lr", "number", _setting("training.lft_learning_rate"), "of the light method"
    ),
    Column("tags", "tags", "words", lambda r: r.tags, "words that somebody gave the run"),
    Column("notes", "notes", "text", lambda r: r.notes or None, "what somebody noted"),
    Column("pinned", "pin", "flag", lambda r: r.pinned, "whether it is pinned on top"),
    Column(
        "switched",
        "switched",
        "text",
        lambda r: ", ".join(f"{g} {s}" for g, s in (r.switched or {}).items()) or None,
        "groups that switched, and when",
    ),
)
COLUMNS = {column.name: column for column in _TABLE}
OTHER = {
    "id": "run",
    "cal": "calibration",
    "variant": "calibration",
    "δ": "delta",
    "value": "best",
    "trains": "share",
    "trainable": "share",
    "total_steps": "steps",
    "duration": "time",
    "learning_rate": "lr",
    "lft_learning_rate": "lft_lr",
    "tag": "tags",
    "note": "notes",
    "pin": "pinned",
    "components": "method.components",
}
"""Other names of columns."""
_KINDS: dict[str, Kind] = {"int": "number", "float": "number", "flag": "flag"}


@cache
def column(name: str) -> Column:
    """The column of a name.

    Raises:
        ConfigError: there is none, or the name stands for several settings.
    """
    plain = name.strip().lower()
    plain = OTHER.get(plain, plain)
    if plain in COLUMNS:
        return COLUMNS[plain]
    settings = known_fields()
    key = plain if plain in settings else OTHER_NAMES.get(plain, plain)
    homes = [key] if key in settings else [k for k in settings if k.rpartition(".")[2] == key]
    if len(homes) == 1:
        return _of_setting(settings[homes[0]])
    if homes:
        raise ConfigError(f"{plain} can be {' or '.join(homes)}", "write it out")
    near = nearest(plain, [*COLUMNS, *OTHER, *settings, *(k.rpartition(".")[2] for k in settings)])
    raise ConfigError(
        f"there is no column or setting {quoted(name)}",
        f"did you mean {near}?" if near else f"columns: {', '.join(COLUMNS)}; or any setting",
    )


def _of_setting(info: FieldInfo) -> Column:
    kind = _KINDS.get(info.kind, "text")
    return Column(info.key, info.name, kind, _setting(info.key), info.help)


def all_columns() -> list[Column]:
    """Every column, then every setting that is not one of them."""
    named = {"model.name", "task.name", "method.name", "calibration.variant", "notes"}
    named |= {"calibration.control", "calibration.delta", "training.seed", "regularizer.name"}
    named |= {"training.learning_rate", "training.lft_learning_rate"}
    rest = [_of_setting(info) for key, info in known_fields().items() if key not in named]
    return [*COLUMNS.values(), *rest]
