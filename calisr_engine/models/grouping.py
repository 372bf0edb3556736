"""Groups: which targets share one counter and one switch, and what the group is called. No torch.

The one place that says so, for any variant of calibration:

    D   model                       the whole model
    S   query, key, ...             a group a component
    S3  att, ffn1, ffn2             three
    L   layer0, layer1, ...         a group a layer
    LC  layer0.query, ...           a group a layer and component: a matrix each
    own what the user wrote         name -> patterns over layer and component
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from calisr_engine.errors import ConfigError
from calisr_engine.models.component_names import COMPONENTS, GROUPS, SIX, Component

Variant = Literal["off", "D", "S", "S3", "L", "LC", "own"]

VARIANTS: Mapping[str, str] = {
    "off": "no calibration",
    "D": "one counter and one switch for the whole model",
    "S": "one for each component (six, or seven where the feed-forward layer is gated)",
    "S3": "three groups: the two sides of the feed-forward layer, and attention",
    "L": "one for each layer",
    "LC": "one for each component of each layer, that is for each matrix",
    "own": "the groups of calibration.groups",
}
assert tuple(VARIANTS) == get_args(Variant)

Cell = tuple[int, Component]
"""A target: number of its layer, from 0, and its component."""

REST = "rest"
"""The pattern of the targets that no other group takes."""

KEY = "calibration.groups"
GRAMMAR = (
    'a pattern is LAYERS.COMPONENTS, such as "0-5.query+key", "11.*", "6-.output" or "*.value", '
    f'or "{REST}" for what no other group takes'
)
_NAME = re.compile(r"[A-Za-z][\w.-]{0,39}", re.ASCII)
_PATTERN = re.compile(
    r"(?:\*|(?P<first>\d{1,4})(?P<on>-(?P<last>\d{1,4})?)?)\.(?P<kinds>\*|\w+(?:\+\w+)*)",
    re.ASCII,
)
_CELL = re.compile(r"layer(?P<layer>\d{1,4})(?:\.(?P<component>\w+))?", re.ASCII)


@dataclass(frozen=True)
class Pattern:
    """Some targets of a model, by layer and component.

    Attributes:
        text: as it is written.
        first, last: the layers; `last` is None for "to the last one".
        components: which; None for all of them.
    """

    text: str
    first: int = 0
    last: int | None = None
    components: tuple[Component, ...] | None = None

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """The pattern that is written so.

        Raises:
            ValueError: it is none; the message says why.
        """
        found = _PATTERN.fullmatch(text)
        if found is None:
            raise ValueError(f"{text[:60]!r} is no pattern: {GRAMMAR}")
        first = int(found["first"] or 0)
        last = int(found["last"]) if found["last"] else None
        if found["first"] and not found["on"]:
            last = first
        if last is not None and last < first:
            raise ValueError(f"{text!r} names layers {first} to {last}, of which there are none")
        kinds = None if found["kinds"] == "*" else found["kinds"].split("+")
        known = {str(each): each for each in COMPONENTS}
        wrong = next((each for each in kinds or () if each not in known), None)
        if wrong is not None:
            raise ValueError(
                f"{text!r} names {wrong!r}, which is none of the components {', '.join(known)}"
            )
        components = None if kinds is None else tuple(known[each] for each in kinds)
        return cls(text, first, last, components)

    def takes(self, cell: Cell) -> bool:
        layer, component = cell
        beyond = layer < self.first or (self.last is not None and layer > self.last)
        return not beyond and (self.components is None or component in self.components)

    def of(self, layers: Collection[int], components: Collection[Component]) -> str:
        """What it names that a model with these layers and components lacks; "" for nothing."""
        for layer in (self.first, self.last):
            if layer is not None and layer not in layers:
                return f"layer {layer}, but the layers are {min(layers)} to {max(layers)}"
        lacking = next((each for each in self.components or () if each not in components), None)
        return "" if lacking is None else f"{lacking}, which the model does not have"


Patterns = Mapping[str, tuple[Pattern, ...]]
"""Name of a group of one's own -> its patterns; no pattern for the rest."""


def parse_groups(text: str) -> Patterns:
    """Groups written as `early: 0-5.*, attention: 6-.query+key 6-.value, others: rest`.

    Raises:
        ValueError: it is not written so; the message says which part and why.
    """
    found: dict[str, tuple[Pattern, ...]] = {}
    for part in text.split(","):
        name, colon, written = (each.strip() for each in part.partition(":"))
        words = written.split()
        if not colon or not words:
            raise ValueError(f"{part.strip()[:60]!r} is no NAME: PATTERN")
        if _NAME.fullmatch(name) is None:
            raise ValueError(
                f"{name[:60]!r} is no name for a group: a letter, then letters, digits, ., _ and -"
            )
        if name in found:
            raise ValueError(f"{name} is there twice")
        if REST in words and len(words) > 1:
            raise ValueError(f"{name} has {REST!r} beside other patterns")
        found[name] = () if words == [REST] else tuple(map(Pattern.parse, words))
    if sum(not patterns for patterns in found.values()) > 1:
        raise ValueError(f"two groups are {REST!r}")
    return found


def write_groups(groups: Patterns) -> str:
    """What `parse_groups` reads."""
    return ", ".join(
        f"{name}: {' '.join(each.text for each in patterns) or REST}"
        for name, patterns in groups.items()
    )


def table_as_text(value: Any) -> Any:
    """The section [calibration.groups] in one line, as `--set` takes it; else the value."""
    if not isinstance(value, Mapping):
        return value
    parts = []
    for name, given in value.items():
        patterns = [given] if isinstance(given, str) else given
        text = isinstance(patterns, list | tuple) and all(isinstance(p, str) for p in patterns)
        if not text or not patterns:
            return value
        parts.append(f"{name}: {' '.join(patterns)}")
    return ", ".join(parts)


def cell_of(group: str) -> Cell | None:
    """The target that a group of variant LC stands for, by its name; None for another group."""
    found = _CELL.fullmatch(group)
    component = next((each for each in COMPONENTS if found and each == found["component"]), None)
    return None if found is None or component is None else (int(found["layer"]), component)


@dataclass(frozen=True)
class Grouping:
    """The groups of a run.

    Attributes:
        variant: which; a run without calibration has one group, that of D.
        groups: those of variant own, as `parse_groups` reads them.
    """

    variant: Variant
    groups: str | None = None

    @cached_property
    def _own(self) -> Patterns:
        return parse_groups(self.groups or "")

    @property
    def names(self) -> tuple[str, ...] | None:
        """All groups that a model can have; None where its layers make them."""
        if self.variant in ("L", "LC"):
            return None
        return tuple(self._own if self.variant == "own" else GROUPS[self._table])

    def could_be(self, name: str) -> bool:
        """Whether a model can have a group of this name."""
        if self.names is not None:
            return name in self.names
        found = _CELL.fullmatch(name)
        if found is None or self.variant == "L":
            return found is not None and found["component"] is None
        return cell_of(name) is not None

    def lacking(self, names: Collection[str], covered: Collection[Component]) -> tuple[str, ...]:
        """Groups that every model has and that are not among `names`."""
        return tuple(each for each in self._certain(covered) if each not in names)

    def shown(self, covered: Collection[Component]) -> str:
        """The groups of any model, in words."""
        if self.names is None:
            return "layer0, layer1, ..." if self.variant == "L" else "layer0.query, layer0.key, ..."
        return ", ".join(self._certain(covered))

    def _certain(self, covered: Collection[Component]) -> tuple[str, ...]:
        if self.variant == "own":
            return tuple(self._own)
        needed = set(SIX) & set(covered)
        table = GROUPS[self._table] if self.names is not None else {}
        return tuple(name for name, components in table.items() if needed & set(components))

    @property
    def _table(self) -> str:
        return "D" if self.variant == "off" else self.variant

    def divide(self, cells: Sequence[Cell], covered: Collection[Component]) -> dict[str, list[int]]:
        """Group -> which of `cells` it has, in their order; groups without any are left out.

        Args:
            cells: the targets of a model, layer by layer in the order of COMPONENTS.
            covered: components that the method covers; the others are in no group.

        Raises:
            ConfigError: a target is in no group or in two, or a pattern or a group of the user's
                own has none; the message says which, and how to mend it.
        """
        inside = [n for n, (_, component) in enumerate(cells) if component in covered]
        if self.variant == "own":
            return self._divide_own(cells, inside)
        if self.variant in ("L", "LC"):
            found: dict[str, list[int]] = {}
            for n in inside:
                layer, component = cells[n]
                name = f"layer{layer}" if self.variant == "L" else f"layer{layer}.{component}"
                found.setdefault(name, []).append(n)
            return found
        by_table = {
            name: [n for n in inside if cells[n][1] in components]
            for name, components in GROUPS[self._table].items()
        }
        return {name: members for name, members in by_table.items() if members}

    def _divide_own(self, cells: Sequence[Cell], inside: list[int]) -> dict[str, list[int]]:
        layers = sorted({layer for layer, _ in cells})
        components = {component for _, component in cells}
        for name, patterns in self._own.items():
            for pattern in patterns:
                lacks = pattern.of(layers, components)
                if lacks:
                    raise ConfigError(
                        f'{KEY}: "{pattern.text}" of the group {name} names {lacks}',
                        "name what the model has; `calisr models NAME` shows it",
                    )
        problem = _odd(self._own, [cells[n] for n in inside])
        if problem:
            raise ConfigError(f"{KEY}: {problem[0]}", problem[1])
        found: dict[str, list[int]] = {name: [] for name in self._own}
        rest = next((name for name, patterns in self._own.items() if not patterns), "")
        for n in inside:
            found[next(_takers(self._own, cells[n]), rest)].append(n)
        empty = next((name for name, members in found.items() if not members), None)
        if empty is not None:
            has = ", ".join(c for c in COMPONENTS if any(cells[n][1] == c for n in inside))
            raise ConfigError(
                f"{KEY}: the group {empty} has no matrix: the method covers {has}, and "
                + (f"{REST!r} finds none left" if not self._own[empty] else "it names others"),
                f"remove {empty}, or name its components in method.components",
            )
        return found

    def odd_in_any_model(self, covered: Collection[Component]) -> tuple[str, str] | None:
        """What is wrong with groups of one's own whatever the model: (what, how to mend it).

        Looks at the layers that the patterns name, which the model must have, and at the
        components that every model has. None where nothing is.
        """
        patterns = [pattern for each in self._own.values() for pattern in each]
        last = max((layer for p in patterns for layer in (p.first, p.last or 0)), default=0)
        kinds = [component for component in SIX if component in covered]
        return _odd(self._own, [(layer, kind) for layer in range(last + 1) for kind in kinds])


def _takers(groups: Patterns, cell: Cell) -> Iterator[str]:
    return (name for name, given in groups.items() if any(each.takes(cell) for each in given))


def _odd(groups: Patterns, cells: Sequence[Cell]) -> tuple[str, str] | None:
    """(what, mend) where a target is in two groups or in none."""
    taken = {cell: list(_takers(groups, cell)) for cell in cells}
    twice = [cell for cell, names in taken.items() if len(names) > 1]
    if twice:
        one, other = taken[twice[0]][:2]
        both = [cell for cell in twice if {one, other} <= set(taken[cell])]
        return (
            f"{_named(both)} {'is' if len(both) == 1 else 'are'} in {one} and in {other}",
            f"take {'it' if len(both) == 1 else 'them'} out of one of the two",
        )
    left = [cell for cell, names in taken.items() if not names]
    if left and all(groups.values()):
        return (
            f"{_named(left)} {'is' if len(left) == 1 else 'are'} in no group",
            f'add a pattern for {"it" if len(left) == 1 else "them"}, or a group others = "{REST}"',
        )
    return None


def _named(cells: Sequence[Cell]) -> str:
    """Targets in a few words."""
    names = [f"layer{layer}.{component}" for layer, component in cells]
    if len(names) <= 3:
        return " and ".join(names)
    return f"{', '.join(names[:2])} and {len(names) - 2} more matrices"


def by_layer_and_component(
    groups: Collection[str],
) -> tuple[list[int], list[Component], list[Cell]] | None:
    """(layers, components, cell of each group) of groups of one layer and component each; None
    where some are not."""
    cells = [cell for group in groups if (cell := cell_of(group)) is not None]
    if not cells or len(cells) < len(groups):
        return None
    layers = sorted({layer for layer, _ in cells})
    return layers, [each for each in COMPONENTS if any(c == each for _, c in cells)], cells
