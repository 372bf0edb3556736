"""A small grammar of English that makes pairs of sentences, one acceptable and one not.

Each phenomenon draws one pair. The two sentences of a pair differ in a word or two, or only in the
order of their words, and each word is as often in good sentences as in bad ones: only the way words
stand together tells them apart. Distractors (a noun of the other number between subject and verb,
a negation in the wrong clause) make the nearest word a bad guide.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Pair = tuple[str, str]
"""An acceptable sentence and its unacceptable twin, without capital and full stop."""

PEOPLE = ["teacher", "doctor", "farmer", "singer", "student", "worker", "girl", "boy"]
THINGS = ["book", "letter", "picture", "table", "house", "car", "key", "boat"]
ADJECTIVES = ["old", "young", "tall", "famous", "tired", "happy", "quiet", "angry"]
THING_ADJECTIVES = ["old", "new", "small", "large", "heavy", "red"]
NAMES_HE = ["John", "Peter", "David", "Michael"]
NAMES_SHE = ["Mary", "Anna", "Susan", "Helen"]
PLACES = [
    "near the river",
    "at the station",
    "in the village",
    "in the kitchen",
    "in the city",
    "before lunch",
]
PREPOSITIONS = ["near", "behind", "beside", "with", "for", "like"]

PARTICIPLES = ["seen", "taken", "forgotten", "hidden", "chosen", "stolen"]
SOCIAL = ["praised", "helped", "admired", "trusted", "watched", "protected"]
NEEDS_OBJECT = ["found", "bought", "made", "carried", "repaired", "destroyed"]
NO_OBJECT = ["slept", "arrived", "smiled", "laughed", "waited", "fell"]
COMPARABLE = (
    ("old", "older"), ("young", "younger"), ("tall", "taller"), ("rich", "richer"),
)  # fmt: skip
PRONOUNS = (("he", "him"), ("she", "her"), ("they", "them"), ("we", "us"), ("I", "me"))


class Draw:
    """Random choices from a seed; uses `Random.random` alone, which Python promises to keep."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def number(self, below: int) -> int:
        return int(self._random.random() * below)

    def coin(self) -> bool:
        return self.number(2) == 1

    def one(self, items: Sequence[Item]) -> Item:
        return items[self.number(len(items))]

    def some(self, items: Sequence[Item], count: int) -> list[Item]:
        """`count` different items."""
        left = list(items)
        return [left.pop(self.number(len(left))) for _ in range(count)]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        return self.some(items, len(items))


def plural(noun: str) -> str:
    """Every noun of this grammar takes a plain s."""
    return f"{noun}s"


def _number(noun: str, many: bool) -> str:
    return plural(noun) if many else noun


def agreement(d: Draw) -> Pair:
    """The verb agrees with the head noun, not with a noun beside it."""
    head, other = d.some(PEOPLE, 2)
    many = d.coin()
    subject = f"the {_number(head, many)}"
    beside = _number(other, d.coin())
    subject += d.one((
        "",
        "",
        f" {d.one(PREPOSITIONS)} the {beside}",
        f" that the {beside} {d.one(SOCIAL)}",
    ))  # fmt: skip
    forms = d.one((("is", "are"), ("was", "were")))
    end = f"{d.one(ADJECTIVES)} {d.one(PLACES)}"
    return f"{subject} {forms[many]} {end}", f"{subject} {forms[not many]} {end}"


def determiner(d: Draw) -> Pair:
    """A determiner agrees with its noun, also across adjectives."""
    many = d.coin()
    word = d.one((("this", "these"), ("that", "those"), ("one", "several")))
    noun = _number(d.one(THINGS), many)
    middle = f"{d.one(THING_ADJECTIVES)} " if d.coin() else ""
    start = f"the {d.one(PEOPLE)} {d.one(NEEDS_OBJECT)}"
    end = d.one(PLACES)
    good, bad = word[many], word[not many]
    return f"{start} {good} {middle}{noun} {end}", f"{start} {bad} {middle}{noun} {end}"


def reflexive(d: Draw) -> Pair:
    """A reflexive refers to the subject of its clause, not to a noun nearby."""
    verb, end = d.one(SOCIAL), d.one(PLACES)
    head, other = d.some(PEOPLE, 2)
    he = d.coin()
    name, friend = d.one(NAMES_HE if he else NAMES_SHE), d.one(NAMES_SHE if he else NAMES_HE)
    own, others = ("himself", "herself") if he else ("herself", "himself")
    subject, right, wrong = d.one((
        (f"the {plural(head)} near the {other}", "themselves", others),
        (f"{name} and the {plural(other)}", "themselves", own),
        (f"{name} with the {plural(other)}", own, "themselves"),
        (f"the friend of {friend} says that {name}", own, others),
        (name, own, others),
    ))  # fmt: skip
    return f"{subject} {verb} {right} {end}", f"{subject} {verb} {wrong} {end}"


def question_gap(d: Draw) -> Pair:
    """A question word needs a gap, and a yes/no question must have none."""
    base = d.one(("find", "buy", "make", "carry", "repair", "destroy"))
    start, end = f"the {d.one(PEOPLE)} {base}", d.one(PLACES)
    thing = f"the {d.one(THINGS)}"
    aux = d.one(("did", "will", "can"))
    if d.coin():
        return f"what {aux} {start} {end}", f"what {aux} {start} {thing} {end}"
    return f"{aux} {start} {thing} {end}", f"{aux} {start} {end}"


def negative_polarity(d: Draw) -> Pair:
    """The words "ever" and "any" need a negation above them, not one inside a relative clause."""
    head, other = map(plural, d.some(PEOPLE, 2))
    verb = d.one(SOCIAL)
    rest = d.one((
        f"have ever {d.one(PARTICIPLES)} the {d.one(THINGS)}",
        f"{d.one(NEEDS_OBJECT)} any {plural(d.one(THINGS))} {d.one(PLACES)}",
    ))  # fmt: skip
    if d.coin():
        return (
            f"no {head} that the {other} {verb} {rest}",
            f"the {head} that no {other} {verb} {rest}",
        )
    return f"no {head} near the {other} {rest}", f"the {head} near no {other} {rest}"


def object_needed(d: Draw) -> Pair:
    """Some verbs need an object, others cannot have one."""
    start, thing, end = f"the {d.one(ADJECTIVES)} {d.one(PEOPLE)}", d.one(THINGS), d.one(PLACES)
    needs, none = d.one(NEEDS_OBJECT), d.one(NO_OBJECT)
    if d.coin():
        return f"{start} {needs} the {thing} {end}", f"{start} {none} the {thing} {end}"
    return f"{start} {none} {end}", f"{start} {needs} {end}"


def pronoun_case(d: Draw) -> Pair:
    """Subjects and objects have their own pronouns."""
    subject, other = d.some(PRONOUNS, 2)
    verb, end = d.one(SOCIAL), d.one(PLACES)
    if d.coin():
        return f"{subject[0]} {verb} {other[1]} {end}", f"{subject[1]} {verb} {other[0]} {end}"
    name = d.one(NAMES_HE + NAMES_SHE)
    if d.coin():
        return f"{name} {verb} {other[1]} {end}", f"{name} {verb} {other[0]} {end}"
    return f"{other[0]} {verb} {name} {end}", f"{other[1]} {verb} {name} {end}"


def comparison(d: Draw) -> Pair:
    """Comparatives go with "than", equatives with "as"."""
    base, more = d.one(COMPARABLE)
    first, second = d.some(PEOPLE, 2)
    be = d.one(("is", "was", "seems"))
    start, end = f"the {first} {be}", f"the {second} {d.one(PLACES)}"
    if d.coin():
        return f"{start} {more} than {end}", f"{start} {more} as {end}"
    return f"{start} as {base} as {end}", f"{start} as {base} than {end}"


PHENOMENA: dict[str, Callable[[Draw], Pair]] = {
    each.__name__: each
    for each in (
        agreement,
        determiner,
        reflexive,
        question_gap,
        negative_polarity,
        object_needed,
        pronoun_case,
        comparison,
    )
}
