"""Settings of which some have several values: a grid of runs, or what a search chooses from."""

from __future__ import annotations

import math

from calisr_engine.config.describe import FieldInfo, by_key, table_of
from calisr_engine.config.load import Base
from calisr_engine.errors import Problem
from calisr_engine.methods.catalog import METHODS
from calisr_engine.tune.space import Dimension
from calisr_tui import form, several
from calisr_tui.draft_settings import DraftSettings
from calisr_tui.several import Marks


class MarkedSettings(DraftSettings):
    """Settings with marks on those that have several values."""

    def begin(self, start: str | Base) -> None:
        super().begin(start)
        self._marks = Marks()

    def change(self, key: str, text: str) -> None:
        """Set a setting to what was typed or chosen; "" leaves it as it would be."""
        if key in self.marked:
            self._give(key, text)
        else:
            self._set(key, text)
        self.resolve()

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
        super()._choose_method(name)
        if name in METHODS:
            self._marks.keep(by_key(name))

    @property
    def marks_wrong(self) -> tuple[Problem, ...]:
        """What is wrong with the texts of several values."""
        return self._marks.problems(by_key(self.method))
