"""Apps of these tests share what is costly and the same in all: the parsed style sheets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from textual.css.stylesheet import Stylesheet


@pytest.fixture(autouse=True, scope="session")
def parsed_once() -> Iterator[None]:
    """Rules are kept by text and variables for all apps, not parsed anew for each."""
    kept: defaultdict[frozenset[tuple[str, str]], dict[Any, Any]] = defaultdict(dict)
    own_init, own = Stylesheet.__init__, Stylesheet.set_variables

    def init(self: Stylesheet, *, variables: dict[str, str] | None = None) -> None:
        own_init(self, variables=variables)
        self._parse_cache = kept[frozenset(self._variables.items())]

    def set_variables(self: Stylesheet, variables: dict[str, str]) -> None:
        self._parse_cache = {}  # what is shared is not to be cleared
        own(self, variables)
        self._parse_cache = kept[frozenset(variables.items())]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "__init__", init)
        patch.setattr(Stylesheet, "set_variables", set_variables)
        yield
