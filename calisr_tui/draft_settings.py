"""What is chosen and typed over a preset, a file or the defaults, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calisr_engine.config.describe import FieldInfo, by_key, entries, table_of
from calisr_engine.config.load import Base, ResolvedConfig, read_base
from calisr_engine.config.options import parse_value
from calisr_engine.methods.catalog import METHODS
from calisr_engine.tasks import glue
from calisr_tui import data_source, form
from calisr_tui.data_source import Request

OWN = "own data"
"""What the list of tasks calls the user's own data."""

FIRST = {"method.name": "lora", "calibration.variant": "S"}
"""What is chosen at first: the model and the task are those that the settings begin with."""


class DraftSettings:
    """Settings by dotted key, as text, over a base.

    Args:
        output_dir: the folder of the run directories.
        data_dir: folder of GLUE files; None asks the hub.

    Attributes:
        base: the preset or file that they start from.
        changes: what the user set, as text, by dotted key.
        own: whether the user's own data trains.
    """

    def __init__(self, output_dir: Path, data_dir: Path | None) -> None:
        self._places = output_dir, data_dir
        self.begin("")

    def begin(self, start: str | Base) -> None:
        """Start from a preset or file, or one that was read; "" starts from the defaults.

        Raises:
            CalisrError: it cannot be read; nothing has changed then.
        """
        base = start if isinstance(start, Base) else read_base(start) if start else Base()
        self.base = base
        self.changes: dict[str, str] = {} if start else dict(FIRST)
        self._base_own = any(
            layer.values.get(key) is not None for layer in base.layers for key in form.NOT_BESIDE
        )
        self.own = self._base_own
        self._before_off = ""
        self._last: ResolvedConfig | None = None

    def resolve(self) -> None:
        """Load everything again."""
        raise NotImplementedError

    def _set(self, key: str, text: str) -> None:
        """What was typed or chosen; "" leaves the setting as it would be."""
        if key == "task.name" and not self.own and text == OWN:
            self.own = True
        elif key == "method.name":
            self._choose_method(text)
        elif text or self._given_below(key):
            self.changes[key] = text or "none"
        else:
            self.changes.pop(key, None)
        if key.startswith("method."):  # what the others stand for may have changed
            known = self.known
            self.changes = {
                each: text
                for each, text in self.changes.items()
                if each in known or not table_of(each, self.method)
            }
        for other in form.NOT_BESIDE.get(key, ()) if text else ():
            self.changes.pop(other, None)
        if key in (*form.NOT_BESIDE, "task.header", "task.encoding"):
            for other in form.OF_THESE_DATA:
                self.changes.pop(other, None)

    def choose_task(self, name: str) -> None:
        """Take a task of the list, or own data."""
        self.own = name == OWN
        self.changes.pop("task.name", None)
        if not self.own:
            self.changes["task.name"] = name
        self.resolve()

    def _choose_method(self, name: str) -> None:
        """Another method: its own settings, and calibration only where it can be calibrated."""
        self.changes["method.name"] = name
        if name not in METHODS:
            return
        known = by_key(name)
        self.changes = {key: text for key, text in self.changes.items() if key in known}
        variant = self.value("calibration.variant")
        if METHODS[name].calibration_refused:
            if variant != "off":
                self._before_off = str(variant)
                self.changes["calibration.variant"] = "off"
        elif self._before_off:
            self.changes["calibration.variant"] = self._before_off
            self._before_off = ""

    def _given_below(self, key: str) -> bool:
        """Whether the base sets what may be empty, so that leaving it empty takes a word."""
        table = table_of(key, self.method)
        if table is not None:
            given = (layer.values.get(table.key) for layer in self.base.layers)
            return any(key.rpartition(".")[2] in held(table, each) for each in given)
        info = by_key(self.method).get(key)
        return info is not None and info.optional and self._in_base(key)

    # What they come to ---------------------------------------------------------------------------

    @property
    def method(self) -> str:
        """Name of the method, the last good one while another is typed."""
        name = self.changes.get("method.name", "")
        if name in METHODS:
            return name
        return self._last.config.method.name if self._last else "fft"

    @property
    def entries(self) -> list[FieldInfo]:
        """What those settings of the method may hold that stand for several values."""
        own = [info.name for info in by_key(self.method).values() if info.key.startswith("method.")]
        return entries(self.method, {name: self.value(f"method.{name}") for name in own})

    @property
    def known(self) -> dict[str, FieldInfo]:
        """Every setting of the form by its dotted key."""
        return by_key(self.method) | {info.key: info for info in self.entries}

    @property
    def task(self) -> str:
        """What the list of tasks marks."""
        if self.own:
            return OWN
        name = str(self.value("task.name"))
        return glue.find(name).name if glue.is_task(name) else name

    def value(self, key: str) -> Any:
        """The value of a setting: as typed where it was, else as it is or was last."""
        if key in self.changes:
            return self.changes[key]
        table = table_of(key, self.method)
        if table is not None:
            there = held(table, self.value(table.key))
            return there.get(key.rpartition(".")[2], self.known[key].default)
        info = by_key(self.method).get(key)
        if self._last is None:
            return info.default if info else None
        section, _, name = key.partition(".")
        found = getattr(self._last.config, section)
        return getattr(found, name, info.default if info else None)

    @property
    def calibration_refused(self) -> str:
        """Why the method cannot be calibrated, as a sentence; "" where it can."""
        model = METHODS[self.method]
        refused = model.calibration_refused
        return f"{model.title} is not calibrated: {refused}." if refused else ""

    @property
    def variant(self) -> str:
        """The calibration of a method that can be calibrated."""
        return self._before_off or str(self.value("calibration.variant"))

    @property
    def data_dir(self) -> Path | None:
        """Folder of GLUE files that the app was given."""
        return self._places[1]

    def options(self) -> dict[str, Any]:
        """Every setting of the form by dotted key, above the base."""
        output_dir, data_dir = self._places
        found: dict[str, Any] = {"output.dir": output_dir}
        task = self.changes.get("task.name") or (self._last.config.task.name if self._last else "")
        if data_dir and not self.own and glue.is_task(str(task)):
            found["task.data_dir"] = data_dir
        if self._base_own:
            found |= self._instead_of_base() if self.own else dict.fromkeys(form.EMPTIED)
        infos = self.known
        for key, text in self.changes.items():
            if self.own or key not in form.OWN_KEYS:
                info = infos.get(key)
                plain = info is not None and info.kind in ("text", "path", "choice")
                found[key] = text if plain else parse_value(key, text)
        return found

    @property
    def request(self) -> Request:
        """The user's data as it is named now."""
        return data_source.request(self.base, self.options(), self._anew)

    @property
    def _anew(self) -> tuple[str, ...]:
        """What the base says of its own data and is guessed anew, since other data is named."""
        own = data_source.source(self.base, {})
        named = {key: self.changes[key] for key in form.NOT_BESIDE if key in self.changes}
        if own == (None, None) or data_source.source(self.base, named) == own:
            return ()
        keys = (*form.OF_THESE_DATA, "task.name", "task.header", "task.encoding")
        return tuple(key for key in keys if key not in self.changes and self._in_base(key))

    def _instead_of_base(self) -> dict[str, Any]:
        """What takes the place of the base's settings where other data is named than its own."""
        named = (key for key in form.NOT_BESIDE if self.changes.get(key, "none") != "none")
        beside = (each for key in named for each in form.NOT_BESIDE[key] if self._in_base(each))
        emptied = dict.fromkeys((*beside, *self._anew))
        return emptied | ({"task.header": True} if "task.header" in emptied else {})

    def _in_base(self, key: str) -> bool:
        return any(layer.values.get(key) is not None for layer in self.base.layers)


def held(table: FieldInfo, value: Any) -> dict[str, Any]:
    """The values with names that a setting stands for, as a file or a config has it."""
    if isinstance(value, Mapping):
        return dict(value)
    assert table.table is not None
    try:
        return table.table(value) if isinstance(value, str) else {}
    except ValueError:
        return {}
