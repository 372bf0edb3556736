"""What capping the bonds is said to lose."""

from __future__ import annotations

import re

import pytest
import torch

from calisr_engine.methods.mpop.method import relative_distance
from tests.methods.tiny import Run, make_model


def test_distances_are_relative_to_the_weight() -> None:
    weight = torch.tensor([[3.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    assert relative_distance(3 * weight, weight) == 2.0
    assert relative_distance(weight + torch.eye(2) * 5 / 2**0.5, weight) == pytest.approx(1)
    assert relative_distance(weight * 0, weight * 0) == 0.0


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
