"""Dimension squeezing: which bond shrinks, what it costs, and that it stops and resumes exactly."""

from __future__ import annotations

import math

import pytest
import torch

from calisr_engine.methods.base import Reworked
from calisr_engine.methods.mpop.method import MpoForm
from calisr_engine.methods.mpop.settings import Mpop
from calisr_engine.methods.mpop.squeeze import Truncation, candidates, cheapest, shrunk
from calisr_engine.methods.mpop.tensors import bond_spectra, contract, decompose
from tests.methods.tiny import Run

FACTORS = ([2, 3, 4, 3, 2], [3, 2, 4, 2, 3])


def squeezing(gap: float = 0.1, share: float = 0.25, bonds: int = 2, **options: object) -> Run:
    return Run(
        "mpop", variant="D", squeeze_gap=gap, squeeze_share=share, squeeze_bonds=bonds, **options
    )


def forms(run: Run) -> list[MpoForm]:
    return [form for form in run.attachment.forms.values() if isinstance(form, MpoForm)]


def evaluated(run: Run, value: float) -> Reworked | None:
    """What the loop does after an evaluation."""
    assert run.attachment.after_evaluation is not None
    change = run.attachment.after_evaluation(run.step_number, value)
    if change is not None and run.optimizer is not None:
        run.optimizer.forget(change.fresh)
    return change


def bonds(run: Run) -> list[list[int]]:
    return [form.bonds() for form in forms(run)]


# Pure parts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dimension", "share", "expected"), [(10, 0.1, 9), (100, 0.25, 75), (2, 0.01, 1), (1, 0.5, 1)]
)
def test_a_bond_loses_its_share_but_at_least_one(
    dimension: int, share: float, expected: int
) -> None:
    assert shrunk(dimension, share) == expected


def test_the_estimate_is_the_error_of_truncating_that_bond_alone() -> None:
    weight = torch.randn(144, 144, generator=torch.Generator().manual_seed(0)).double()
    dimensions = [tensor.shape[3] for tensor in decompose(weight, *FACTORS)[:-1]]
    options = candidates(3, dimensions, bond_spectra(weight, *FACTORS), share=0.3)
    assert [option.bond for option in options] == [1, 2, 3, 4]
    for option in options:
        assert (option.form, option.before) == (3, dimensions[option.bond - 1])
        caps = list(dimensions)
        caps[option.bond - 1] = option.after
        rebuilt = contract(decompose(weight, *FACTORS, caps))
        error = float((rebuilt - weight).norm() / weight.norm())
        assert option.error == pytest.approx(error, rel=1e-9)


def test_the_cheapest_is_taken_and_ties_go_to_the_first() -> None:
    a, b, c = (
        Truncation(form, bond, 4, 3, e) for form, bond, e in [(1, 1, 0.2), (0, 2, 0.1), (0, 1, 0.1)]
    )
    assert cheapest([a, b, c]) == c
    assert cheapest([]) is None
    zero = candidates(0, [1, 2], [torch.zeros(4), torch.zeros(4)], 0.5)
    assert zero == [Truncation(0, 2, 2, 1, 0.0)]


def test_caps_must_be_as_many_as_inner_bonds() -> None:
    with pytest.raises(ValueError, match="3 caps for 4 inner bonds"):
        decompose(torch.ones(144, 144), *FACTORS, [2, 2, 2])
    with pytest.raises(ValueError, match="at least 1"):
        decompose(torch.ones(144, 144), *FACTORS, [2, 2, 0, 2])


# In a run -----------------------------------------------------------------------------------------


def test_the_bond_of_least_error_over_all_matrices_shrinks() -> None:
    run = squeezing(bonds=1)
    run.switch_all()
    run.step(0)
    before = bonds(run)
    dense = [form.effective() for form in forms(run)]
    costs = {
        (n, option.bond): option.error
        for n, form in enumerate(forms(run))
        for option in candidates(n, form.bonds(), form.spectra(), 0.25)
    }
    change = evaluated(run, 0.8)
    assert change is not None
    changed = [
        (n, k)
        for n, (old, new) in enumerate(zip(before, bonds(run), strict=True))
        for k, (a, b) in enumerate(zip(old, new, strict=True), start=1)
        if a != b
    ]
    assert changed == [min(costs, key=costs.__getitem__)]
    ((number, _),) = changed
    for n, form in enumerate(forms(run)):
        error = float((form.effective() - dense[n]).norm() / dense[n].norm())
        assert error == pytest.approx(costs[changed[0]] if n == number else 0.0, abs=1e-6)
        torch.testing.assert_close(form.weight.double(), form.effective(), rtol=1e-4, atol=1e-5)
    assert set(change.fresh) == set(forms(run)[number].tensors)
    assert len(change.messages) == 1


def test_counts_fall_and_what_is_frozen_stays_frozen() -> None:
    run = squeezing(bonds=6)
    run.switch_all()
    run.step(0)
    assert run.attachment.compressed is not None
    trainable, compressed = run.phases.trainable(), run.attachment.compressed()
    evaluated(run, 0.8)
    run.step(1)
    evaluated(run, 0.8)
    assert run.phases.trainable() < trainable
    operators = sum(t.numel() for form in forms(run) for t in form.tensors)
    dense = sum(p.numel() for n, p in run.model.named_parameters() if "calisr_" not in n)
    covered = sum(form.weight.numel() for form in forms(run))
    assert run.attachment.compressed() == dense - covered + operators < compressed
    stepped = set(run.phases.stepped().values())
    assert run.phases.trainable() == sum(p.numel() for p in stepped)
    assert run.optimizer is not None
    assert set(run.optimizer.parameters()) == stepped
    central = [form.central.detach().clone() for form in forms(run)]
    core = [p.detach().clone() for form in forms(run) for p in form.core()]
    run.step(2)
    assert all(torch.equal(form.central, c) for form, c in zip(forms(run), central, strict=True))
    after = [p for form in forms(run) for p in form.core()]
    assert all(not torch.equal(a, b) for a, b in zip(after, core, strict=True))


def test_it_waits_for_the_light_phase_and_stops_for_good_when_the_metric_fell_too_far() -> None:
    run = squeezing(gap=0.05)
    run.step(0)
    assert evaluated(run, 0.9) is None
    run.switch_all()
    start = bonds(run)
    assert evaluated(run, 0.8) is not None
    once = bonds(run)
    assert once != start
    assert evaluated(run, 0.76) is not None  # within the limit
    twice = bonds(run)
    assert twice != once
    stop = evaluated(run, 0.74)
    assert stop is not None
    assert not stop.fresh
    assert "from 0.8000 to 0.7400" in stop.messages[0]
    assert evaluated(run, 0.9) is None
    assert bonds(run) == twice


def test_it_ends_when_no_bond_can_shrink() -> None:
    run = squeezing(gap=10.0, share=0.9, bonds=500)
    run.switch_all()
    change = evaluated(run, 0.8)
    assert change is not None
    assert "every bond has dimension 1" in change.messages[-1]
    assert all(set(each) == {1} for each in bonds(run))
    assert math.isfinite(run.step(0))


def test_it_trains_on_after_squeezing_and_is_deterministic() -> None:
    def trained() -> tuple[list[float], Run]:
        run = squeezing(bonds=10)
        run.switch_all()
        losses = []
        for step in range(12):
            losses.append(run.step(0))
            if step in (2, 5):
                evaluated(run, 0.8)
        return losses, run

    (losses, run), (again, other) = trained(), trained()
    assert losses == again
    assert bonds(run) == bonds(other)
    assert losses[-1] < losses[6]


@pytest.mark.parametrize("stop", [2, 4, 6])
def test_resume_is_exact_across_squeezings(stop: int) -> None:
    def go_on(run: Run, until: int) -> None:
        while run.step_number < until:
            run.step(run.step_number)
            if run.step_number in (3, 5):
                evaluated(run, 0.8 - 0.01 * run.step_number)

    through = squeezing(bonds=3)
    through.switch_all()
    go_on(through, stop)
    assert through.optimizer is not None
    assert through.attachment.extra_state is not None
    model = {k: v.clone() for k, v in through.model.state_dict().items()}
    moments = {k: v.clone() for k, v in through.optimizer.tensors().items()}
    states = {
        name: {k: v.clone() for k, v in form.state().items()}
        for name, form in through.attachment.forms.items()
    }
    extra = through.attachment.extra_state()

    again = squeezing(bonds=3, resuming=True, model_seed=7, optimizer=False)
    for name, state in states.items():
        again.attachment.forms[name].load_state(state)
    assert again.attachment.load_extra_state is not None
    again.attachment.load_extra_state(extra)
    again.switch_all()
    again.build_optimizer().load_tensors(moments)
    with torch.no_grad():
        present = again.model.state_dict()
        for name, value in model.items():
            present[name].copy_(value)
    for name, state in states.items():  # as a session does: shapes first, then once more
        again.attachment.forms[name].load_state(state)
    again.step_number = stop
    for run in (through, again):
        go_on(run, 8)
    assert bonds(through) == bonds(again)
    one, two = through.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    ends = [run.attachment.extra_state() for run in (through, again) if run.attachment.extra_state]
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])
    assert len(ends[0]["truncations"]) == 6


def test_late_tensors_cannot_be_squeezed() -> None:
    with pytest.raises(ValueError, match="squeeze_gap needs the tensors"):
        Mpop(squeeze_gap=0.1, parametrisation="at_switch")
