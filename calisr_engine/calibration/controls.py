"""Controls: switching by something else than the score, so that a gain can be laid to the score.

- matched: each group switches at the step at which it switched in a calibrated run.
- shuffled: the same steps, dealt to other groups.
- coin: each hit is a fair coin flip; samples, windows and delta are those of a calibrated run.

Pure functions without state: what a seed gives is a hash of the seed and of what it is for. So a
run that is resumed needs nothing from its checkpoint to go on with the same deal and flips.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Literal

Control = Literal["off", "matched", "shuffled", "coin"]

Steps = dict[str, int | None]
"""Group -> optimizer steps done when it switches; None for never."""

NEVER = "never"
_ENTRY = re.compile(r"\s*(\w+)\s*:\s*(\d{1,12}|never)\s*")


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
    arrangements = set(itertools.permutations(own))
    least = min(_kept(own, dealt) for dealt in arrangements)
    best = sorted(
        (dealt for dealt in arrangements if _kept(own, dealt) == least),
        key=lambda dealt: tuple(-1 if at is None else at for at in dealt),
    )
    chosen = best[_hash(seed, "deal") % len(best)]
    return dict(zip(groups, chosen, strict=True))


def _kept(own: tuple[int | None, ...], dealt: tuple[int | None, ...]) -> int:
    return sum(a == b for a, b in zip(own, dealt, strict=True))


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
