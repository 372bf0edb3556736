"""The run that the setup form describes: choices, settings, data, and what is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calisr_engine.config import fitting
from calisr_engine.config.describe import FieldInfo, by_key, entries, table_of
from calisr_engine.config.load import Base, ResolvedConfig, read_base
from calisr_engine.config.options import parse_value
from calisr_engine.errors import CalisrError, ConfigError, Problem
from calisr_engine.methods.catalog import METHODS
from calisr_engine.tasks import glue
from calisr_engine.tune.space import Dimension
from calisr_tui import data_source, form, several
from calisr_tui.data_source import DataRead, Inputs, Request
from calisr_tui.form import Shown
from calisr_tui.several import Marks

OWN = "own data"
"""What the list of tasks calls the user's own data."""

FIRST = {"method.name": "lora", "calibration.variant": "S"}
"""What is chosen at first: the model and the task are those that the settings begin with."""

NO_DATA = Problem(
    "no data is named yet",
    "type the path of a file or a folder, choose one with Ctrl-L, or name a data set of the hub",
    ("task.train_file",),
)


class Draft:
    """Settings on their way to a run, or to a grid of runs.

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
        self._marks = Marks()
        self._base_own = any(
            layer.values.get(key) is not None
            for layer in layers
            for key in ("task.train_file", "task.dataset")
        )
        self.own = self._base_own
        self.data: DataRead | None = None
        self._before_off = ""
        self._checked: tuple[object, tuple[Problem, ...]] = (None, ())
        self._last: ResolvedConfig | None = None
        self.resolve()

    # Changes -------------------------------------------------------------------------------------

    def change(self, key: str, text: str) -> None:
        """Set a setting to what was typed or chosen; "" leaves it as it would be."""
        if key in self.marked:
            self._give(key, text)
        else:
            self._set(key, text)
        self.resolve()

    def _set(self, key: str, text: str) -> None:
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
        if key == "task.train_file" and text:
            for other in ("task.dataset", *data_source.SPLITS):
                self.changes.pop(other, None)
        if key == "task.dataset" and text:
            for other in ("task.train_file", "task.validation_file", "task.test_file"):
                self.changes.pop(other, None)
        if key in ("task.train_file", "task.dataset", "task.header", "task.encoding"):
            for other in form.OF_THESE_DATA:
                self.changes.pop(other, None)

    def choose_task(self, name: str) -> None:
        """Take a task of the list, or own data."""
        self.own = name == OWN
        self.changes.pop("task.name", None)
        if not self.own:
            self.changes["task.name"] = name
        self.resolve()

    # Several values ------------------------------------------------------------------------------

    @property
    def marked(self) -> dict[str, str]:
        """Several values of a setting, as typed, by dotted key: these make a grid. The first of
        them is in `changes`."""
        return self._marks.texts

    @property
    def searched(self) -> bool:
        """Whether several values are searched; else every combination of them is a run."""
        return self._marks.searched and bool(self.marked)

    def search(self, on: bool) -> None:
        """Search several values, or take every combination."""
        self._marks.searched = on
        for key, text in list(self.marked.items()):
            self._give(key, text)
        self.resolve()

    def dimension(self, key: str) -> Dimension:
        """What a search chooses from, of a marked setting whose values are right."""
        return several.dimension(by_key(self.method)[key], self.marked[key])

    @property
    def marks_now(self) -> object:
        """What a check of the marks is of."""
        return dict(self.marked), self.searched

    def may_mark(self, info: FieldInfo) -> str:
        """Why a setting cannot have several values; "" where it can."""
        name = form.label(info.key)
        if table_of(info.key, self.method):
            return f'"{name}" can have several values in a grid file: "{info.key}" = [A, B]'
        if self.own and info.key in form.OWN_KEYS | {"task.name"}:
            return f'"{name}" is of the data, which all runs of a grid share'
        if info.key.startswith("output.") or info.key in ("notes", "task.data_dir"):
            return f'"{name}" does not change what a run learns'
        return f'"{name}" is a list already' if info.kind == "list" else ""

    def mark(self, key: str) -> None:
        """Give a setting several values, after the one that it has; or take that back."""
        if key not in self.marked:
            now = form.written_as(self.value(key))
            self._give(key, self._marks.again(key) or (now and f"{now}, "))
        else:
            before = self._marks.take_back(key)
            self.changes.pop(key, None)
            if before is not None:
                self._set(key, before)
        self.resolve()

    def mark_choice(self, key: str, name: str) -> None:
        """Add a value of a list to those of a setting, or take it away; the last one goes with the
        mark."""
        names = list(self.values(key))
        names = [each for each in names if each != name] if name in names else [*names, name]
        if not names:
            self.mark(key)
            return
        self._give(key, ", ".join(names))
        self.resolve()

    def clear_marks(self) -> None:
        """Take all marks back."""
        for key in list(self.marked):
            self.mark(key)

    def values(self, key: str) -> tuple[str, ...]:
        """The values of a marked setting; none of others, or where its text does not say any."""
        return self._marks.values(by_key(self.method)[key])

    def _give(self, key: str, text: str) -> None:
        self._marks.put(key, text, self.changes.get(key))
        self._set(key, next(iter(self.values(key)), self.changes.get(key, "")))

    @property
    def runs(self) -> int:
        """How many runs the marks make at most; 1 without marks."""
        return math.prod(len(self.values(key)) for key in self.marked)

    def _choose_method(self, name: str) -> None:
        """Another method: its own settings, and calibration only where it can be calibrated."""
        self.changes["method.name"] = name
        if name not in METHODS:
            return
        known = by_key(name)
        self.changes = {key: text for key, text in self.changes.items() if key in known}
        self._marks.keep(known)
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
            return any(key.rpartition(".")[2] in _held(table, each) for each in given)
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
            held = _held(table, self.value(table.key))
            return held.get(key.rpartition(".")[2], self.known[key].default)
        info = by_key(self.method).get(key)
        if self._last is None:
            return info.default if info else None
        section, _, name = key.partition(".")
        found = getattr(self._last.config, section)
        return getattr(found, name, info.default if info else None)

    def shown(self, info: FieldInfo) -> Shown:
        """What the field of a setting shows."""
        key, value = info.key, self.value(info.key)
        written = form.written_as(value)
        resolved = self._last
        why = "" if resolved is None else resolved.reasons.get(key, "")
        if key in self.marked:
            ways = "LOW..HIGH, or A, B, C" if self.searched else "A, B, C or LOW..HIGH:COUNT"
            return Shown(self.marked[key], ways)
        if key in self.changes:
            text = self.changes[key]
            default = _without(self, info)
            return Shown("" if text == "none" and info.kind != "choice" else text, default)
        if self.own and self.data is not None and key in self.data.values:
            return Shown(form.written_as(self.data.values[key]), "", self.data.why.get(key, ""))
        if key == "task.metric" and self.own and self.data is not None:
            return Shown("", f"default: {self.data.usual_metric}")
        origin = "default" if resolved is None else resolved.origins.get(key, "default")
        if table_of(key, self.method) and value != info.default:
            origin = "given"
        if origin == "default" or why:
            return Shown("", form.default_words(info, value, written), why)
        return Shown(written, form.default_words(info, info.default, form.written_as(info.default)))

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
        if self._base_own and not self.own:
            found |= dict.fromkeys(form.EMPTIED)
        infos = self.known
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
        inputs, data_problems, ready = self._inputs()
        data_problems = (*data_problems, *self._marks.problems(by_key(self.method)))
        try:
            found = inputs.load()
        except ConfigError as error:
            self.resolved = None
            own = error.problems or (Problem(error.message, error.hint),)
            told = {key for each in data_problems for key in each.keys}
            self.problems = (*data_problems, *(each for each in own if not told & {*each.keys}))
            return
        except CalisrError as error:
            self.resolved, self.problems = None, (Problem(error.message, error.hint),)
            return
        self._last = found
        self.resolved = found if ready else None
        self.problems = data_problems
        if ready and not data_problems and self._checked[0] == self._asked_of_check(found):
            self.problems = self._checked[1]

    def _inputs(self) -> tuple[Inputs, tuple[Problem, ...], bool]:
        """What the settings are loaded from, what is wrong with the data, and whether that is all
        there; without the data the other settings are checked meanwhile."""
        options = self.options()
        guessed: dict[str, Any] = {}
        problems: tuple[Problem, ...] = ()
        rows = None
        ready = not self.own
        if self.own:
            request = data_source.request(self.base, options)
            if not request.names_data:
                problems = (NO_DATA,)
            elif self.data is not None and self.data.request == request:
                guessed, problems = self.data.values, self.data.problems
                rows = self.data.examples
                ready = not problems
                options = {k: v for k, v in options.items() if k not in guessed}
        if not ready:
            options = {k: v for k, v in options.items() if not k.startswith("task.")}
            options |= {"task.name": "demo", **dict.fromkeys(form.EMPTIED)}
        return Inputs(self.base, options, guessed, rows), problems, ready

    @property
    def inputs(self) -> Inputs:
        """What the settings are loaded from."""
        return self._inputs()[0]

    def _asked_of_check(self, resolved: ResolvedConfig) -> object:
        return resolved.config, self.marks_now

    @property
    def unchecked(self) -> ResolvedConfig | None:
        """Settings that nobody has checked against model and data yet."""
        if self.resolved is None or self._checked[0] == self._asked_of_check(self.resolved):
            return None
        return None if self._marks.problems(by_key(self.method)) else self.resolved

    def checked(
        self, resolved: ResolvedConfig, marks: object, problems: tuple[Problem, ...]
    ) -> bool:
        """Take what a check of settings and marks said, unless they are others by now."""
        asked = resolved.config, marks
        if self.resolved is None or self._asked_of_check(self.resolved) != asked:
            return False
        self._checked = asked, problems
        self.problems = problems
        return True

    @property
    def good(self) -> bool:
        """Whether a run can begin as far as is known."""
        return self.resolved is not None and not self.problems


def _held(table: FieldInfo, value: Any) -> dict[str, Any]:
    """The values with names that a setting stands for, as a file or a config has it."""
    if isinstance(value, Mapping):
        return dict(value)
    assert table.table is not None
    try:
        return table.table(value) if isinstance(value, str) else {}
    except ValueError:
        return {}


def _without(draft: Draft, info: FieldInfo) -> str:
    """What the field would stand for if it were emptied."""
    for layer in reversed(draft.base.layers):
        if info.key in layer.values and not info.optional:
            value = layer.values[info.key]
            return form.default_words(info, value, form.written_as(value))
    value, last = info.default, draft._last
    if last is not None and info.key in fitting.FITTED and not fitting.is_recipe(draft.base.layers):
        rows = draft.data.examples if draft.data is not None else None
        fits = fitting.fit(last.config, draft.changes.keys() - {info.key}, rows)
        value = fits[info.key].value if info.key in fits else value
    return form.default_words(info, value, form.written_as(value))
