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

PEOPLE = (
    "teacher doctor farmer singer writer neighbor lawyer guard pilot driver baker painter student "
    "worker senator actor dancer reporter captain nurse visitor soldier girl boy friend"
).split()
THINGS = (
    "book letter picture table house car door window river road garden bridge report story "
    "newspaper ticket coat lamp box bottle key boat song painting machine"
).split()
ADJECTIVES = "old young tall famous tired happy quiet angry clever rich poor strange proud".split()
THING_ADJECTIVES = "old new small large heavy expensive famous beautiful strange cheap red".split()
NAMES_HE = "John Peter David Michael George Tom Henry Paul".split()
NAMES_SHE = "Mary Anna Susan Helen Julia Kate Emma Laura".split()
PLACES = (
    "in the garden|near the river|at the station|in the village|behind the house|in the kitchen|"
    "at the party|on the bridge|in the city|near the church|after the meeting|before lunch"
).split("|")
PREPOSITIONS = "near behind beside with for like".split()

# base, third person, past, participle, -ing
TRANSITIVE = (
    ("see", "sees", "saw", "seen", "seeing"),
    ("take", "takes", "took", "taken", "taking"),
    ("know", "knows", "knew", "known", "knowing"),
    ("forget", "forgets", "forgot", "forgotten", "forgetting"),
    ("hide", "hides", "hid", "hidden", "hiding"),
    ("choose", "chooses", "chose", "chosen", "choosing"),
    ("draw", "draws", "drew", "drawn", "drawing"),
    ("steal", "steals", "stole", "stolen", "stealing"),
    ("break", "breaks", "broke", "broken", "breaking"),
    ("show", "shows", "showed", "shown", "showing"),
)
SOCIAL = (
    ("praise", "praises", "praised"),
    ("help", "helps", "helped"),
    ("admire", "admires", "admired"),
    ("blame", "blames", "blamed"),
    ("trust", "trusts", "trusted"),
    ("watch", "watches", "watched"),
    ("protect", "protects", "protected"),
    ("describe", "describes", "described"),
)
NEEDS_OBJECT = "found bought made carried discovered repaired sold destroyed took mentioned".split()
NO_OBJECT = "slept arrived smiled laughed disappeared died sneezed existed fell waited".split()
INTRANSITIVE = (
    ("sleep", "sleeps"), ("laugh", "laughs"), ("smile", "smiles"), ("work", "works"),
    ("sing", "sings"), ("travel", "travels"), ("wait", "waits"), ("swim", "swims"),
)  # fmt: skip
COMPARABLE = (
    ("old", "older"), ("young", "younger"), ("tall", "taller"), ("rich", "richer"),
    ("poor", "poorer"), ("strong", "stronger"), ("kind", "kinder"), ("small", "smaller"),
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
    """The plural of a noun of this grammar."""
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("x", "s", "ch")) else f"{noun}s"


def _number(noun: str, many: bool) -> str:
    return plural(noun) if many else noun


def agreement_across_phrase(d: Draw) -> Pair:
    """The verb agrees with the head noun, not with the noun beside it."""
    head, other = d.some(PEOPLE, 2)
    many, distractor = d.coin(), d.coin()
    subject = f"the {_number(head, many)} {d.one(PREPOSITIONS)} the {_number(other, distractor)}"
    if d.coin():
        forms = d.one((("is", "are"), ("was", "were"), ("seems", "seem")))
        rest = d.one(ADJECTIVES)
    else:
        base, third = d.one(INTRANSITIVE)
        forms, rest = (third, base), d.one(PLACES)
    good, bad = forms[many], forms[not many]
    return f"{subject} {good} {rest}", f"{subject} {bad} {rest}"


def agreement_across_clause(d: Draw) -> Pair:
    """The verb agrees with the head noun, not with the subject of the relative clause."""
    head, other = d.some(PEOPLE, 2)
    many = d.coin()
    inner = d.one(SOCIAL)[2]
    subject = f"the {_number(head, many)} that the {_number(other, d.coin())} {inner}"
    forms, rest = d.one((("is", "are"), ("was", "were"))), d.one(ADJECTIVES)
    return f"{subject} {forms[many]} {rest}", f"{subject} {forms[not many]} {rest}"


def determiner(d: Draw) -> Pair:
    """A determiner agrees with its noun, also across adjectives."""
    many = d.coin()
    word = d.one((("this", "these"), ("that", "those"), ("one", "several"), ("each", "many")))
    noun = _number(d.one(THINGS), many)
    middle = f"{d.one(THING_ADJECTIVES)} " if d.coin() else ""
    start = f"the {d.one(PEOPLE)} {d.one(NEEDS_OBJECT)}"
    end = d.one(PLACES)
    good, bad = word[many], word[not many]
    return f"{start} {good} {middle}{noun} {end}", f"{start} {bad} {middle}{noun} {end}"


def reflexive(d: Draw) -> Pair:
    """A reflexive refers to the subject of its clause, not to a noun nearby."""
    verb, end = d.one(SOCIAL)[2], d.one(PLACES)
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


def auxiliary(d: Draw) -> Pair:
    """Each auxiliary takes its own form of the verb."""
    base, _, past, participle, ing = d.one(TRANSITIVE)
    auxiliaries = {
        base: ("will", "can", "must", "did not"),
        participle: ("has", "had", "has never"),
        ing: ("is", "was", "is still"),
        past: ("often", "never", "once"),
    }
    right, wrong = d.some(list(auxiliaries), 2)
    start, end = f"the {d.one(PEOPLE)}", f"the {d.one(THINGS)} {d.one(PLACES)}"
    word = d.one(auxiliaries[right])
    return f"{start} {word} {right} {end}", f"{start} {word} {wrong} {end}"


def question_gap(d: Draw) -> Pair:
    """A question word needs a gap, and a yes/no question must have none."""
    base = d.one(("find", "buy", "make", "carry", "repair", "sell", "destroy", "mention"))
    start, end = f"the {d.one(PEOPLE)} {base}", d.one(PLACES)
    thing = f"the {d.one(THINGS)}"
    aux = d.one(("did", "will", "can"))
    if d.coin():
        return f"what {aux} {start} {end}", f"what {aux} {start} {thing} {end}"
    return f"{aux} {start} {thing} {end}", f"{aux} {start} {end}"


def word_order(d: Draw) -> Pair:
    """Adjectives stand before nouns, auxiliaries before verbs, determiners first."""
    det, adjective, noun = "the", d.one(ADJECTIVES), d.one(PEOPLE)
    base = d.one(TRANSITIVE)[0]
    words = [det, adjective, noun, d.one(("will", "can", "must")), base, "the",
             d.one(THING_ADJECTIVES), d.one(THINGS), *d.one(PLACES).split()]  # fmt: skip
    at = d.one((0, 1, 3, 4, 5, 6, 8))
    bad = [*words[:at], words[at + 1], words[at], *words[at + 2 :]]
    return " ".join(words), " ".join(bad)


def negative_polarity(d: Draw) -> Pair:
    """"ever" and "any" need a negation above them, not one inside a relative clause."""
    head, other = map(plural, d.some(PEOPLE, 2))
    verb = d.one(SOCIAL)[2]
    rest = d.one((
        f"have ever {d.one(TRANSITIVE)[3]} the {d.one(THINGS)}",
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
    verb, end = d.one(SOCIAL)[2], d.one(PLACES)
    if d.coin():
        return f"{subject[0]} {verb} {other[1]} {end}", f"{subject[1]} {verb} {other[0]} {end}"
    name = d.one(NAMES_HE + NAMES_SHE)
    if d.coin():
        return f"{name} {verb} {other[1]} {end}", f"{name} {verb} {other[0]} {end}"
    return f"{other[0]} {verb} {name} {end}", f"{other[1]} {verb} {name} {end}"


def existential(d: Draw) -> Pair:
    """In "there is" the verb agrees with the noun that follows."""
    many = d.coin()
    det = d.one(("several", "many", "two", "some")) if many else d.one(("a", "one", "another"))
    noun = _number(d.one([n for n in THINGS if n[0] not in "aeiou"]), many)
    forms = d.one((("is", "are"), ("was", "were")))
    end = f"beside the {_number(d.one(THINGS), d.coin())}"
    return f"there {forms[many]} {det} {noun} {end}", f"there {forms[not many]} {det} {noun} {end}"


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
        agreement_across_phrase,
        agreement_across_clause,
        determiner,
        reflexive,
        auxiliary,
        question_gap,
        word_order,
        negative_polarity,
        object_needed,
        pronoun_case,
        existential,
        comparison,
    )
}
