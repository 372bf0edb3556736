"""MPOP: what capping the bonds is said to lose, and the rates of the tensors."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch

from calisr_engine.methods.mpop.method import MpopMethod, relative_distance
from calisr_engine.methods.mpop.settings import Mpop
from calisr_engine.models.components import find_targets
from tests.methods.tiny import Run, context, make_model


def test_distances_are_relative_to_the_weight() -> None:
    weight = torch.tensor([[3.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    assert relative_distance(3 * weight, weight) == 2.0
    assert relative_distance(weight + torch.eye(2) * 5 / 2**0.5, weight) == pytest.approx(1)
    assert relative_distance(weight * 0, weight * 0) == 0.0


def test_shapes_are_facts_and_ask_for_nothing() -> None:
    attachment = Run("mpop").attachment
    assert attachment.facts
    assert all(
        re.fullmatch(r"MPO of \d+ x \d+: \[.*\] x \[.*\]", each) for each in attachment.facts
    )
    assert not [note for note in attachment.notes if note.startswith("MPO of")]


@pytest.mark.parametrize("parametrisation", ["throughout", "at_switch"])
def test_the_note_gives_mean_and_largest_error(parametrisation: str) -> None:
    run = Run("mpop", bond=6, parametrisation=parametrisation)
    (note,) = [each for each in run.attachment.notes if "reconstruction" in each]
    mean, most = map(float, re.findall(r"error ([0-9.]+) on average, ([0-9.]+) at most", note)[0])
    plain, capped = make_model("Bert"), Run("mpop", bond=6)
    errors = []
    for name, form in capped.attachment.forms.items():
        weight = plain.get_submodule(name).weight.detach().double()
        errors.append(float((form.effective().detach() - weight).norm() / weight.norm()))
    assert 0 < min(errors) < max(errors)
    assert mean == pytest.approx(sum(errors) / len(errors), abs=6e-4)
    assert most == pytest.approx(max(errors), abs=6e-4)


@pytest.mark.parametrize(
    ("own", "light", "expected"),
    [(None, None, 0.14 * 1e-2), (None, 3e-3, 3e-3), (5e-4, 3e-3, 5e-4), (5e-4, None, 5e-4)],
)
@pytest.mark.parametrize("parametrisation", ["throughout", "at_switch"])
def test_rates(
    own: float | None, light: float | None, expected: float, parametrisation: str
) -> None:
    """The tensors' own rate, else the light method's, else 0.14 of the run's (2.8e-6 to 2e-5)."""
    model = make_model("Bert")
    given = dataclasses.replace(context(lr=1e-2), lft_learning_rate=light)
    settings = Mpop(mpo_lr=own, parametrisation=parametrisation)
    attachment = MpopMethod().attach(model, find_targets(model), settings, given)
    for form in attachment.forms.values():
        form.switch()
        for tensor in form.core():
            rule = attachment.rules[tensor]
            assert rule.learning_rate == pytest.approx(expected)
            assert rule.weight_decay == 0
