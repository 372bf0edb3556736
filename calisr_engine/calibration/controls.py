"""Controls: switching by something else than the score, so that a gain can be laid to the score.

- matched: each group switches at the step at which it switched in a calibrated run.
- shuffled: the same steps, dealt to other groups.
- coin: each hit is a fair coin flip; samples, windows and delta are those of a calibrated run.

Pure functions without state: what a seed gives is a hash of the seed and of what it is for. So a
run that is resumed needs nothing from its checkpoint to go on with the same deal and flips.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

Control = Literal["off", "matched", "shuffled", "coin"]

Steps = dict[str, int | None]
"""Group -> optimizer steps done when it switches; None for never."""

NEVER = "never"
_ENTRY = re.compile(r"\s*(\w[\w.-]*)\s*:\s*(\d{1,12}|never)\s*")


def parse_steps(text: str) -> Steps:
    """The steps of "query:125, value:never"; `steps_text` writes them.

    Raises:
        ValueError: another form, or a group named twice; the message says which part.
    """
    steps: Steps = {}
    for part in text.split(","):
        found = _ENTRY.fullmatch(part)
        if found is None:
            raise ValueError(f"{part.strip()!r} is not GROUP:STEP or GROUP:never")
        group, step = found.groups()
        if group in steps:
            raise ValueError(f"{group} is named twice")
        steps[group] = None if step == NEVER else int(step)
    return steps


def steps_text(steps: Mapping[str, int | None]) -> str:
    """ "query:125, value:never"."""
    return ", ".join(f"{group}:{NEVER if at is None else at}" for group, at in steps.items())


def deal(steps: Mapping[str, int | None], seed: int) -> Steps:
    """The same steps for other groups, drawn by `seed`.

    Every distinct arrangement in which as few groups as possible have the step they had is equally
    likely. Without ties that is a derangement: no group has its own step. Where more than half of
    the groups share one step, some must keep it; where all share it, the deal changes nothing.
    """
    groups, own = list(steps), tuple(steps.values())
    few = len(groups) <= FEW
    dealt = _deal_few(own, seed) if few else _deal_many(own, _Draws(seed))
    return dict(zip(groups, dealt, strict=True))


FEW = 8
"""Groups up to which all arrangements are made, and one of them is taken."""

Dealt = Sequence[int | None]


def _deal_few(own: Dealt, seed: int) -> Dealt:
    arrangements = set(itertools.permutations(own))
    least = min(_kept(own, dealt) for dealt in arrangements)
    best = sorted(
        (dealt for dealt in arrangements if _kept(own, dealt) == least),
        key=lambda dealt: tuple(-1 if at is None else at for at in dealt),
    )
    return best[_hash(seed, "deal") % len(best)]


def _kept(own: Dealt, dealt: Dealt) -> int:
    return sum(a == b for a, b in zip(own, dealt, strict=True))


def _deal_many(own: Dealt, draws: _Draws) -> Dealt:
    """The same distribution without making all arrangements, of which there are too many.

    Group after group takes a step with a probability in proportion to the arrangements that are
    left then. Where one step is that of more than half of the groups, all other groups get it, and
    theirs are spread over its groups.
    """
    places = Counter(own)
    commonest, count = places.most_common(1)[0]
    if 2 * count > len(own):
        others = [at for at in own if at != commonest]
        spread = iter(_shuffled([*others, *[commonest] * (2 * count - len(own))], draws))
        return [next(spread) if at == commonest else commonest for at in own]
    cards = Counter(own)
    dealt = []
    for at in own:
        places[at] -= 1
        choices, weights, alike = [], [], dict[tuple[int, int], int]()
        for card in (each for each in cards if each != at and cards[each]):
            cards[card] -= 1
            kind = places[card], cards[card]
            if kind not in alike:  # as many places and copies: as many arrangements
                alike[kind] = _arrangements([(places[each], cards[each]) for each in cards])
            cards[card] += 1
            choices.append(card)
            weights.append(cards[card] * alike[kind])
        chosen = choices[draws.index(weights)]
        cards[chosen] -= 1
        dealt.append(chosen)
    return dealt


def _arrangements(kinds: Sequence[tuple[int, int]]) -> int:
    """In how many ways numbered cards can lie on places, none on a place of its own kind.

    By rook polynomials: with r_k the ways to put k cards on places of their own kinds,
    sum (-1)^k r_k (n - k)!.

    Args:
        kinds: of each kind (places, cards); as many places as cards in all.
    """
    rooks = [1]
    for places, cards in kinds:
        most = min(places, cards)
        ways = [math.comb(places, k) * math.perm(cards, k) for k in range(most + 1)]
        product = [0] * (len(rooks) + most)
        for i, a in enumerate(rooks):
            for k, b in enumerate(ways):
                product[i + k] += a * b
        rooks = product
    total = sum(cards for _, cards in kinds)
    return sum((-1) ** k * ways * math.factorial(total - k) for k, ways in enumerate(rooks))


def _shuffled(values: list[int | None], draws: _Draws) -> list[int | None]:
    for last in range(len(values) - 1, 0, -1):
        other = draws.below(last + 1)
        values[last], values[other] = values[other], values[last]
    return values


class _Draws:
    """Numbers that follow from a seed, one after the other."""

    def __init__(self, seed: int) -> None:
        self._seed, self._drawn = seed, 0

    def below(self, limit: int) -> int:
        """A number from 0 to limit - 1, each as likely (to 64 bits more than it needs)."""
        size = limit.bit_length() // 64 + 2
        number = 0
        for _ in range(size):
            number = number << 64 | _hash(self._seed, f"deal/{self._drawn}")
            self._drawn += 1
        return number % limit

    def index(self, weights: Sequence[int]) -> int:
        """A place in `weights`, in proportion to them."""
        number = self.below(sum(weights))
        return bisect.bisect_right(list(itertools.accumulate(weights)), number)


def coin(seed: int, group: str, step: int) -> bool:
    """A fair coin flip for one group at one sampling step; independent of all others."""
    return bool(_hash(seed, f"coin/{step}/{group}") & 1)


def coin_counter(seed: int, group: str, steps: Iterable[int]) -> tuple[int, int]:
    """(heads, flips) of a group over these sampling steps."""
    flips = [coin(seed, group, step) for step in steps]
    return sum(flips), len(flips)


def _hash(seed: int, purpose: str) -> int:
    digest = hashlib.sha256(f"calisr control/{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little")
