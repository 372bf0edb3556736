"""Runs go on from damaged checkpoints to the same weights, or are refused by name."""

from __future__ import annotations

from tests.training.checkpoint_campaign import campaign


def test_no_damage_gives_other_weights_or_a_traceback() -> None:
    """`python -m tests.training.checkpoint_campaign 2000` does the same for longer."""
    assert campaign(30, seed=1) == []
