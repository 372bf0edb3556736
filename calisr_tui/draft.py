"""The run that the setup form describes: choices, settings, data, and what is wrong with them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calisr_engine.config import fitting
from calisr_engine.config.describe import FieldInfo, by_key
from calisr_engine.config.load import Base, ResolvedConfig, load, read_base
from calisr_engine.config.options import parse_value
from calisr_engine.errors import CalisrError, ConfigError, Problem
from calisr_engine.methods.catalog import METHODS
from calisr_engine.tasks import glue
from calisr_tui import data_source, form
from calisr_tui.data_source import DataRead, Request

OWN = "own data"
"""What the list of tasks calls the user's own data."""

FIRST = {"method.name": "lora", "calibration.variant": "S"}
"""What is chosen at first: the model and the task are those that the settings begin with."""

NO_DATA = Problem(
    "no data is named yet",
    "type the path of a file or a folder, or choose one with Ctrl-L",
    ("task.train_file",),
)


@dataclass(frozen=True)
class Shown:
    """What a field shows of its setting.

    Attributes:
        text: the value as one types it; "" where nobody gave one.
        default: what stands in an empty field.
        why: why the value is the one that it is; "" where nothing is known of it.
    """

    text: str
    default: str
    why: str = ""


class Draft:
    """Settings on their way to a run.

    Args:
        output_dir: the folder of the run directories.
        data_dir: folder of GLUE files; None asks the hub.

    Attributes:
        changes: what the user set, as text, by dotted key.
        own: whether the user's own data trains.
        resolved: the settings; None while something is wrong or not known.
        problems: what is wrong with them.
        data: what was last read of the user's data.
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
        layers = base.layers
        self.base = base
        self.changes: dict[str, str] = {} if start else dict(FIRST)
        self._base_own = any(
            layer.values.get(key) is not None
            for layer in layers
            for key in ("task.train_file", "task.dataset")
        )
        self.own = self._base_own
        self.data: DataRead | None = None
        self._before_off = ""
        self._checked: tuple[ResolvedConfig | None, tuple[Problem, ...]] = (None, ())
        self._last: ResolvedConfig | None = None
        self.resolve()

    # Changes -------------------------------------------------------------------------------------

    def change(self, key: str, text: str) -> None:
        """Set a setting to what was typed or chosen; "" leaves it as it would be."""
        if key == "task.name" and not self.own and text == OWN:
            self.own = True
        elif key == "method.name":
            self._choose_method(text)
        elif text or self._given_below(key):
            self.changes[key] = text or "none"
        else:
            self.changes.pop(key, None)
        if key in ("task.train_file", "task.dataset") and text:
            self.changes.pop(f"task.{'dataset' if key.endswith('file') else 'train_file'}", None)
        if key in ("task.train_file", "task.dataset", "task.header", "task.encoding"):
            for column in ("text_column", "text_pair_column", "label_column", "kind", "metric"):
                self.changes.pop(f"task.{column}", None)  # those of other data
        self.resolve()

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
        info = by_key(self.method).get(key)
        set_there = any(layer.values.get(key) is not None for layer in self.base.layers)
        return info is not None and info.optional and set_there

    # The settings --------------------------------------------------------------------------------

    @property
    def method(self) -> str:
        """Name of the method, the last good one while another is typed."""
        name = self.changes.get("method.name", "")
        if name in METHODS:
            return name
        return self._last.config.method.name if self._last else "fft"

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
        info = by_key(self.method).get(key)
        if self._last is None:
            return info.default if info else None
        section, _, name = key.partition(".")
        found = getattr(self._last.config, section)
        return getattr(found, name, info.default if info else None)

    def shown(self, info: FieldInfo) -> Shown:
        """What the field of a setting shows."""
        key, value = info.key, self.value(info.key)
        written = written_as(value)
        resolved = self._last
        why = "" if resolved is None else resolved.reasons.get(key, "")
        if key in self.changes:
            text = self.changes[key]
            default = _without(self, info)
            return Shown("" if text == "none" and info.kind != "choice" else text, default)
        if self.own and self.data is not None and key in self.data.values:
            return Shown(written_as(self.data.values[key]), "", self.data.why.get(key, ""))
        if key == "task.metric" and self.own and self.data is not None:
            return Shown("", f"default: {self.data.usual_metric}")
        origin = "default" if resolved is None else resolved.origins.get(key, "default")
        if origin == "default" or why:
            return Shown("", form.default_words(info, value, written), why)
        return Shown(written, form.default_words(info, info.default, written_as(info.default)))

    @property
    def calibration_refused(self) -> str:
        """Why the method cannot be calibrated, as a sentence; "" where it can."""
        model = METHODS[self.method]
        refused = model.calibration_refused
        return f"{model.title} is not calibrated: {refused}." if refused else ""

    def options(self) -> dict[str, Any]:
        """Every setting of the form by dotted key, above the base."""
        output_dir, data_dir = self._places
        found: dict[str, Any] = {"output.dir": output_dir}
        task = self.changes.get("task.name") or (self._last.config.task.name if self._last else "")
        if data_dir and not self.own and glue.is_task(str(task)):
            found["task.data_dir"] = data_dir
        if self._base_own and not self.own:
            found |= dict.fromkeys(form.OWN_KEYS & _EMPTIED)
        infos = by_key(self.method)
        for key, text in self.changes.items():
            if self.own or key not in form.OWN_KEYS:
                info = infos.get(key)
                plain = info is not None and info.kind in ("text", "path", "choice")
                found[key] = text if plain else parse_value(key, text)
        return found

    # Own data ------------------------------------------------------------------------------------

    @property
    def asked(self) -> Request | None:
        """What is to be read now; None where nothing is, or where it has been."""
        if not self.own:
            return None
        request = data_source.request(self.base, self.options())
        if not request.names_data or (self.data is not None and self.data.request == request):
            return None
        return request

    def take(self, read: DataRead) -> bool:
        """Take what was read, unless other data is asked for by now."""
        if self.asked != read.request:
            return False
        self.data = read
        self.resolve()
        return True

    def facts(self) -> tuple[int | None, int | None]:
        """Training rows and outputs of the head, where the data has been read."""
        return (self.data.rows, self.data.classes) if self.own and self.data else (None, None)

    # What is wrong -------------------------------------------------------------------------------

    def resolve(self) -> None:
        """Load everything again."""
        options = self.options()
        guessed: dict[str, Any] = {}
        data_problems: tuple[Problem, ...] = ()
        rows = None
        ready = not self.own
        if self.own:
            request = data_source.request(self.base, options)
            if not request.names_data:
                data_problems = (NO_DATA,)
            elif self.data is not None and self.data.request == request:
                guessed, data_problems = self.data.values, self.data.problems
                rows = self.data.examples
                ready = not data_problems
                options = {k: v for k, v in options.items() if k not in guessed}
        if not ready:  # the other settings are checked meanwhile
            options = {k: v for k, v in options.items() if not k.startswith("task.")}
            options |= {"task.name": "demo", **dict.fromkeys(form.OWN_KEYS & _EMPTIED)}
        try:
            found = load(self.base, (), options, guessed=guessed, examples=rows)
        except ConfigError as error:
            self.resolved = None
            own = error.problems or (Problem(error.message, error.hint),)
            self.problems = (*data_problems, *own)
            return
        except CalisrError as error:
            self.resolved, self.problems = None, (Problem(error.message, error.hint),)
            return
        self._last = found
        self.resolved = found if ready else None
        self.problems = data_problems
        if ready and self._checked[0] is not None and self._checked[0].config == found.config:
            self.problems = self._checked[1]

    @property
    def unchecked(self) -> ResolvedConfig | None:
        """Settings that nobody has checked against model and data yet."""
        done = self._checked[0]
        if self.resolved is None or (done is not None and done.config == self.resolved.config):
            return None
        return self.resolved

    def checked(self, resolved: ResolvedConfig, problems: tuple[Problem, ...]) -> bool:
        """Take what a check said, unless the settings are others by now."""
        if self.resolved is None or self.resolved.config != resolved.config:
            return False
        self._checked = resolved, problems
        self.problems = problems
        return True

    @property
    def good(self) -> bool:
        """Whether a run can begin as far as is known."""
        return self.resolved is not None and not self.problems


_EMPTIED = {
    *("task.train_file", "task.validation_file", "task.test_file", "task.dataset"),
    *("task.train_split", "task.validation_split", "task.test_split", "task.text_column"),
    *("task.text_pair_column", "task.label_column", "task.kind", "task.encoding"),
}
"""Settings of own data that are empty where other data trains."""


def _without(draft: Draft, info: FieldInfo) -> str:
    """What the field would stand for if it were emptied."""
    for layer in reversed(draft.base.layers):
        if info.key in layer.values and not info.optional:
            value = layer.values[info.key]
            return form.default_words(info, value, written_as(value))
    value, last = info.default, draft._last
    if last is not None and info.key in fitting.FITTED and not fitting.is_recipe(draft.base.layers):
        rows = draft.data.examples if draft.data is not None else None
        fits = fitting.fit(last.config, draft.changes.keys() - {info.key}, rows)
        value = fits[info.key].value if info.key in fits else value
    return form.default_words(info, value, written_as(value))


def written_as(value: Any) -> str:
    """A setting's value as one types it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return re.sub(r"e([+-])0", r"e\1", f"{value:g}").replace("e+", "e")
    if isinstance(value, list | tuple):
        return ",".join(str(each) for each in value)
    return str(value)
