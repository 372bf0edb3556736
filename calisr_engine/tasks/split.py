"""Rows that are set aside to validate, where no validation data is given.

The choice is stratified and depends on a seed and on the texts and labels alone: the order of the
rows and the training seed do not matter, so every run, resume, audit and prediction on the same
data sees the same two sides. Rows with the same text (whatever their case and spaces) stay
together, so that no validation text was trained on.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeGuard

from calisr_engine.errors import DataError
from calisr_engine.plain_words import counted
from calisr_engine.tasks.examples import Examples

FEWEST_TEXTS = 10
"""Different texts below which nothing is set aside: a handful of rows measures nothing."""

MOST_BINS = 10
"""Strata of a regression, by quantile of the target."""


@dataclass(frozen=True)
class Split:
    """The two sides, each as row numbers in the order of the source.

    Attributes:
        missing: classes that have one text only, which trains, so that none validates; not told
            where a row can have several.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    missing: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Group:
    """Rows that share a text: they go to one side. A label of -1 is none at all."""

    rows: tuple[int, ...]
    digest: bytes
    label: int | float


def split_rows(examples: Examples, classes: int, share: float, seed: int) -> Split:
    """Set `share` of the rows aside: of each class, or of each tenth of the targets.

    A row with several classes, or with a tag for each word, counts for the rarest of them. One with
    alternatives counts for the place of the right one, which need not be on both sides.

    Args:
        examples: all rows, with labels.
        classes: how many classes there are; 0 for a regression.
        share: of the rows that validates, between 0 and 1. Each class that has two texts or more
            has at least one row on each side.

    Raises:
        DataError: there are too few texts for that; message and hint name no file.
    """
    groups = _groups(examples, seed)
    one_each = not isinstance((examples.label or (0,))[0], tuple) and examples.choices is None
    if not one_each:
        groups = _by_rarest(groups, examples)
    if len(groups) < FEWEST_TEXTS:
        raise DataError(
            f"{counted(len(groups), 'different text')} in {counted(len(examples), 'row')}: too few "
            f"to set some aside to validate (at least {FEWEST_TEXTS})",
            "add rows, or give a validation file",
        )
    strata = _by_class(groups) if classes else _by_quantile(groups, share)
    wanted = _shared_out({key: _rows(each) for key, each in strata.items()}, share)
    aside: set[int] = set()
    missing = []
    for key, stratum in strata.items():
        chosen = _choose(stratum, wanted[key])
        if chosen:
            aside.update(row for group in chosen for row in group.rows)
        elif classes and one_each:
            missing.append(int(stratum[0].label))
    if not aside or (classes and one_each and len(strata) - len(missing) < 2):
        raise DataError(
            "no two classes have two different texts each, so validation rows cannot be set aside",
            "add rows, or give a validation file",
        )
    every = range(len(examples))
    return Split(
        tuple(row for row in every if row not in aside),
        tuple(row for row in every if row in aside),
        tuple(sorted(missing)),
    )


def same_text(text: str) -> str:
    """What two texts share that are the same but for case and spaces."""
    return " ".join(text.split()).casefold()


def _groups(examples: Examples, seed: int) -> list[_Group]:
    """The rows by text, in the order of a hash of seed and text.

    Alternatives are a second text, in whatever order they stand.
    """
    assert examples.label is not None
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, text in enumerate(examples.text):
        pair = examples.text_pair[row] if examples.text_pair is not None else ""
        if examples.choices is not None:
            pair = "\0".join(sorted(map(same_text, examples.choices[row])))
        found[same_text(text), same_text(pair)].append(row)
    groups = []
    for (text, pair), rows in found.items():
        name = f"{seed}\0{text}\0{pair}".encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(name).digest()
        labels = [each for each in map(examples.label.__getitem__, rows) if _is_plain(each)]
        groups.append(_Group(tuple(rows), digest, _label(labels) if labels else -1))
    return sorted(groups, key=lambda group: group.digest)


def _is_plain(label: object) -> TypeGuard[int | float]:
    return not isinstance(label, tuple)


def _by_rarest(groups: Sequence[_Group], examples: Examples) -> list[_Group]:
    """Each with the rarest class of its first row for label, -1 where it has none."""
    counts = examples.classes()

    def rarest(row: int) -> int:
        own = examples.take([row]).classes()
        return min(own, key=lambda number: (counts[number], number), default=-1)

    return [replace(group, label=rarest(group.rows[0])) for group in groups]


def _label(labels: Sequence[int] | Sequence[float]) -> int | float:
    """Of rows with one text: the commonest class, of equally common ones the first; their mean."""
    if isinstance(labels[0], float):
        return sum(sorted(labels)) / len(labels)
    counts = Counter(labels)
    return min(counts, key=lambda label: (-counts[label], label))


def _by_class(groups: Sequence[_Group]) -> dict[Hashable, list[_Group]]:
    strata: dict[Hashable, list[_Group]] = {}
    for label in sorted({group.label for group in groups}):
        strata[label] = [group for group in groups if group.label == label]
    return strata


def _by_quantile(groups: Sequence[_Group], share: float) -> dict[Hashable, list[_Group]]:
    """Groups in bins of about equal size by target, each large enough to give a row."""
    count = max(1, min(MOST_BINS, int(len(groups) * min(share, 1 - share))))
    ordered = sorted(groups, key=lambda group: (group.label, group.digest))
    cuts = [round(len(ordered) * at / count) for at in range(count + 1)]
    return {
        number: sorted(ordered[start:end], key=lambda group: group.digest)
        for number, (start, end) in enumerate(pairwise(cuts))
    }


def _rows(groups: Sequence[_Group]) -> int:
    return sum(len(group.rows) for group in groups)


def _shared_out(sizes: Mapping[Hashable, int], share: float) -> dict[Hashable, int]:
    """Rows to set aside of each stratum: in all `share`, by the largest remainder, at least 1."""
    exact = {key: size * share for key, size in sizes.items()}
    wanted = {key: int(value) for key, value in exact.items()}
    left = round(sum(exact.values())) - sum(wanted.values())
    order = list(exact)
    by_remainder = sorted(order, key=lambda key: (wanted[key] - exact[key], order.index(key)))
    for key in by_remainder[: max(0, left)]:
        wanted[key] += 1
    return {key: max(1, count) for key, count in wanted.items()}


def _choose(groups: Sequence[_Group], wanted: int) -> list[_Group]:
    """Groups of about `wanted` rows, in the order of their hash; never all of them."""
    chosen: list[_Group] = []
    taken = 0
    for group in groups:
        if taken < wanted and taken + len(group.rows) <= wanted and len(chosen) < len(groups) - 1:
            chosen.append(group)
            taken += len(group.rows)
    if not chosen and len(groups) > 1:  # every text comes more often than rows are wanted
        chosen = [min(groups, key=lambda group: len(group.rows))]
    return chosen
