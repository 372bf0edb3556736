"""SAID: the map against its definition, and what one vector for the whole model means."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from calisr_engine.errors import ConfigError
from calisr_engine.methods.said.fastfood import RADIX_BITS, Fastfood, hadamard, walsh_hadamard
from calisr_engine.methods.said.method import SaidForm
from calisr_engine.methods.said.settings import Said
from calisr_engine.training.switch import PhaseChange
from tests.definitions.reference import fastfood
from tests.methods.tiny import Run, make_batch

CPU = torch.device("cpu")
SMALL = [hadamard(bits).double() for bits in range(RADIX_BITS + 1)]


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dense(projection: Fastfood, length: int) -> Tensor:
    return torch.stack([projection.project(one) for one in torch.eye(length).double()], dim=1)


@pytest.mark.parametrize("bits", [0, 1, 3, 5, 6, 9, 11])
def test_the_transform_is_sylvesters_matrix(bits: int) -> None:
    values = torch.randn(1 << bits, generator=draws()).double()
    matrix = torch.ones(1, 1).double()
    for _ in range(bits):
        matrix = torch.kron(torch.tensor([[1.0, 1.0], [1.0, -1.0]]).double(), matrix)
    torch.testing.assert_close(walsh_hadamard(values, SMALL), matrix @ values)


@pytest.mark.parametrize(
    ("length", "entries"), [(5, 100), (100, 100), (128, 128), (300, 100), (3, 1000), (1, 1), (9, 5)]
)
def test_the_map_is_its_definition_and_the_way_back_its_transpose(
    length: int, entries: int
) -> None:
    projection = Fastfood(length, entries, draws(), CPU)
    expected = fastfood(entries, length, draws())
    torch.testing.assert_close(dense(projection, length), expected)
    gradient = torch.randn(entries, generator=draws(1)).double()
    back = torch.zeros(length).double()
    back[: projection.used] = projection.back(gradient)
    torch.testing.assert_close(back, expected.T @ gradient)


def test_lengths_are_kept_in_the_mean() -> None:
    """Over maps the mean of ||P v||^2 is ||v||^2, whatever is cut off."""
    vector = torch.randn(20, generator=draws()).double()
    squares = [
        Fastfood(20, 700, draws(seed), CPU).project(vector).square().sum() for seed in range(200)
    ]
    assert float(torch.stack(squares).mean() / vector.square().sum()) == pytest.approx(1, abs=0.03)


def test_maps_differ_by_matrix_and_are_the_same_again() -> None:
    def maps() -> list[Tensor]:
        forms = Run("said", dimension=30).attachment.forms.values()
        vector = torch.arange(18.0)
        return [form.projection.project(vector) for form in forms]  # type: ignore[attr-defined]

    first, again = maps(), maps()
    assert all(one.equal(other) for one, other in zip(first, again, strict=True))
    square = [each for each in first if each.numel() == 32 * 32]
    assert len(square) == 8
    assert not any(torch.allclose(one, other) for one, other in pairwise(square))


def test_a_matrix_that_has_switched_goes_on_with_the_others() -> None:
    """theta is one for the model: its gradient is the sum over all matrices, in either phase."""
    run = Run("said", dimension=30)
    run.step(0)
    run.phases.switch(PhaseChange("query", 1, "hand", "test"), run.optimizer)
    forms = list(run.attachment.forms.values())
    assert all(isinstance(form, SaidForm) for form in forms)
    theta = run.model.get_parameter("calisr_theta")
    gradients: dict[SaidForm, Tensor] = {}
    pull = SaidForm.pull

    def watched(form: SaidForm) -> None:
        assert form.weight.grad is not None
        gradients[form] = form.weight.grad.clone()
        pull(form)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SaidForm, "pull", watched)
        run.gradients(make_batch(1))
    expected = torch.zeros_like(theta)
    for form, gradient in gradients.items():
        along = form.projection.back(gradient.flatten())
        assert form.scale is not None
        expected[: len(along)] += form.scale.detach() * along
        torch.testing.assert_close(form.scale.grad, along @ theta.detach()[: len(along)])
    assert theta.grad is not None
    torch.testing.assert_close(theta.grad, expected)
    query = next(form for form in gradients if form.target.component == "query")
    assert query.base.grad is None
    before = query.effective()
    run.apply()
    assert not torch.allclose(query.effective(), before, atol=1e-6)


def test_a_dimension_is_both_the_vector_and_the_scales() -> None:
    run = Run("said", dimension=30)
    names = [name for name, _ in run.model.named_parameters()]
    assert run.model.get_parameter("calisr_theta").shape == (18,)
    assert sum(name.endswith("calisr_lambda") for name in names) == 12
    plain = Run("said", dimension=30, structure_aware=False)
    assert plain.model.get_parameter("calisr_theta").shape == (30,)
    assert not any("calisr_lambda" in name for name, _ in plain.model.named_parameters())
    for each in (run, plain):
        assert sum(form.trainable_count("lft") for form in each.attachment.forms.values()) == 30


@pytest.mark.parametrize("structure_aware", [True, False])
def test_it_trains_with_few_numbers(structure_aware: bool) -> None:
    run = Run("said", variant="D", dimension=200, structure_aware=structure_aware, reference=True)
    run.switch_all()
    first = run.step(0)
    for _ in range(25):
        last = run.step(0)
    assert last < first - 0.05
    trained = {n for n in run.phases.stepped() if "calisr_" not in n}
    assert all(name.startswith("classifier.") for name in trained)


def test_too_few_for_the_scales_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"method\.dimension: 12 leaves nothing .* 12 matrices"):
        Run("said", dimension=12)
    assert Run("said", dimension=1, structure_aware=False).phases.trainable() > 0


def test_a_copy_shares_what_never_changes_and_nothing_else() -> None:
    """A branch is a copy of the run: its own theta, in all forms the same one."""
    run = Run("said")
    forms, model = copy.deepcopy((run.attachment.forms, run.model))
    theta = model.get_parameter("calisr_theta")
    assert theta is not run.model.get_parameter("calisr_theta")
    for name, form in forms.items():
        own = run.attachment.forms[name]
        assert isinstance(form, SaidForm)
        assert isinstance(own, SaidForm)
        assert form.theta is theta
        assert form.projection is own.projection


def test_the_published_number_fits_the_published_model() -> None:
    """20,000 are fewer than any matrix of BERT-base has entries, so all of them count."""
    assert Said().length(72, 768 * 768) == 20_000 - 72
