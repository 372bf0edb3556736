"""Controls: given steps as text, the deal to other groups, the fair coin."""

from __future__ import annotations

import itertools
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calisr_engine.calibration import controls
from calisr_engine.calibration.controls import coin, coin_counter, deal, parse_steps, steps_text

GROUPS = ("query", "key", "value", "attention_output", "intermediate", "output")

schedules = st.integers(1, 6).flatmap(
    lambda n: st.fixed_dictionaries({group: st.none() | st.integers(0, 4) for group in GROUPS[:n]})
)


@given(schedules)
def test_steps_are_read_as_they_were_written(steps):
    assert parse_steps(steps_text(steps)) == steps


@pytest.mark.parametrize("text", ["", "query", "query:", "query:-1", "query:1 key:2", "query:1,"])
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match="GROUP:STEP"):
        parse_steps(text)


def test_a_group_named_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        parse_steps("query:1, query:2")


@given(schedules, st.integers(0, 2**31 - 1))
def test_a_deal_gives_the_same_steps_to_as_many_other_groups_as_can_be(steps, seed):
    dealt = deal(steps, seed)
    assert list(dealt) == list(steps)
    assert Counter(dealt.values()) == Counter(steps.values())
    # At most the groups of the commonest step that find no group of another step must keep theirs.
    commonest = max(Counter(steps.values()).values())
    kept = sum(dealt[group] == steps[group] for group in steps)
    assert kept == max(0, 2 * commonest - len(steps))


def test_each_derangement_is_as_likely():
    steps = dict(zip(GROUPS[:4], range(4), strict=True))
    seen = Counter(tuple(deal(steps, seed).values()) for seed in range(1800))
    assert len(seen) == 9
    assert all(140 < count < 260 for count in seen.values())  # 200 each; sd 13


def test_a_deal_follows_from_its_seed():
    steps = dict(zip(GROUPS, range(6), strict=True))
    assert deal(steps, 7) == deal(steps, 7) != deal(steps, 8)


def test_the_coin_is_fair_and_its_flips_do_not_know_each_other():
    flips = {g: [coin(3, g, step) for step in range(1, 2001)] for g in GROUPS[:2]}
    one, other = flips.values()
    for own in (one, other):
        assert 900 < sum(own) < 1100  # sd 22
        assert 900 < sum(a == b for a, b in pairwise(own)) < 1100
    assert 900 < sum(a == b for a, b in zip(one, other, strict=True)) < 1100
    again = [coin(4, "query", step) for step in range(1, 2001)]
    assert 900 < sum(a == b for a, b in zip(one, again, strict=True)) < 1100


def test_a_counter_counts_the_flips_at_its_steps():
    heads = sum(coin(1, "key", step) for step in (3, 6, 9))
    assert coin_counter(1, "key", (3, 6, 9)) == (heads, 3)


@pytest.mark.parametrize(
    "own", [(1, 1, 2, 2, 3), (1, 2, 3, 4), (1, 1, 1, 2, 3), (None, None, 1, 2), (1, 1, 2, 2, 2, 3)]
)
def test_a_deal_of_many_is_as_a_deal_of_few(own):
    """What is dealt without making all arrangements is dealt as evenly, and the same ones are."""
    every = set(itertools.permutations(own))
    kept = [sum(a == b for a, b in zip(own, each, strict=True)) for each in every]
    best = {each for each, many in zip(every, kept, strict=True) if many == min(kept)}
    seeds = 120 * len(best)
    seen = Counter(tuple(controls._deal_many(own, controls._Draws(n))) for n in range(seeds))
    assert seen.keys() == best
    assert all(70 < count < 170 for count in seen.values())  # 120 each; sd 11


@pytest.mark.parametrize("steps", [range(72), [n % 4 for n in range(72)], [0] * 50 + [None] * 22])
def test_the_steps_of_seventy_two_groups_are_dealt(steps):
    own = {f"layer{n // 6}.c{n % 6}": at for n, at in enumerate(steps)}
    dealt = deal(own, 3)
    assert Counter(dealt.values()) == Counter(own.values())
    commonest = max(Counter(own.values()).values())
    assert sum(dealt[g] == own[g] for g in own) == max(0, 2 * commonest - len(own))
    assert deal(own, 3) == dealt
    assert parse_steps(steps_text(dealt)) == dealt
