"""The run that the setup form describes: choices, settings, data, and what is wrong with them."""

from __future__ import annotations

from typing import Any

from calisr_engine.config import fitting
from calisr_engine.config.describe import FieldInfo, table_of
from calisr_engine.config.load import Base, ResolvedConfig
from calisr_engine.errors import CalisrError, ConfigError, Problem
from calisr_tui import form
from calisr_tui.data_source import DataRead, Inputs, Request
from calisr_tui.draft_marks import MarkedSettings
from calisr_tui.draft_settings import OWN
from calisr_tui.form import Shown

__all__ = ["OWN", "Draft"]

NO_DATA = Problem(
    "no data is named yet",
    "type the path of a file or a folder, choose one with Ctrl-L, or name a data set of the hub",
    ("task.train_file",),
)


class Draft(MarkedSettings):
    """Settings on their way to a run, or to a grid of runs.

    Attributes:
        resolved: the settings; None while something is wrong or not known.
        problems: what is wrong with them.
        data: what was last read of the user's data.
    """

    def begin(self, start: str | Base) -> None:
        """Start from a preset or file, or one that was read; "" starts from the defaults.

        Raises:
            CalisrError: it cannot be read; nothing has changed then.
        """
        super().begin(start)
        self.data: DataRead | None = None
        self._checked: tuple[object, tuple[Problem, ...]] = (None, ())
        self.resolve()

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
            return Shown("", f"default: {self.data.usual_metric or 'goes by the labels'}")
        origin = "default" if resolved is None else resolved.origins.get(key, "default")
        if table_of(key, self.method) and value != info.default:
            origin = "given"
        if origin == "default" or why:
            return Shown("", form.default_words(info, value, written), why)
        return Shown(written, form.default_words(info, info.default, form.written_as(info.default)))

    # Own data ------------------------------------------------------------------------------------

    @property
    def asked(self) -> Request | None:
        """What is to be read now; None where nothing is, or where it has been."""
        if not self.own:
            return None
        request = self.request
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
        data_problems = (*data_problems, *self.marks_wrong)
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
            request = self.request
            if not request.names_data:
                problems = (NO_DATA,)
            elif self.data is not None and self.data.request == request:
                guessed, problems = self.data.values, self.data.problems
                rows = self.data.examples
                ready = not problems
        if not ready:
            guessed = {}
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
        return None if self.marks_wrong else self.resolved

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
