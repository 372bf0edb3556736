from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from calisr_engine.errors import ConfigError
from calisr_engine.methods.diff_pruning.form import DiffForm
from calisr_engine.methods.diff_pruning.gates import gate, gate_slope, noise, open_probability
from calisr_engine.methods.diff_pruning.method import DiffPruningAttachment, largest
from calisr_engine.models.blocks import apart
from tests.methods.tiny import ARCHITECTURES, Run, evaluate, make_apart, make_batch, make_model
from tests.slow import quick_where

every_architecture = pytest.mark.parametrize(
    "architecture", quick_where(ARCHITECTURES, lambda name: name in ("Bert", "ModernBert"))
)

DENSE = 2 * (4 * 32 * 32 + 2 * 32 * 48)
"""Entries of all targets of a tiny model. Its runs have 20 steps, so they prune after step 14."""


def light(architecture: str = "Bert", **settings: object) -> Run:
    run = Run("diff_pruning", architecture, variant="D", **settings)
    run.switch_all()
    return run


def forms(run: Run) -> list[DiffForm]:
    assert isinstance(run.attachment, DiffPruningAttachment)
    return run.attachment.diff_forms()


def pretrained(architecture: str = "Bert") -> dict[str, Tensor]:
    return make_apart(architecture).state_dict()


def train(run: Run, steps: int) -> None:
    for _ in range(steps):
        run.step(run.step_number % 4)


# The gate ----------------------------------------------------------------------------------------


def test_the_gate_is_clamped_and_open_with_the_closed_form_probability() -> None:
    for value in (-2.0, 0.0, 1.0):
        log_alpha = torch.full((40_000,), value)
        z = gate(log_alpha, noise(log_alpha.shape, log_alpha.device, "test", value))
        assert z.min() >= 0
        assert z.max() <= 1
        expected = 1 / (1 + math.exp(-value))
        assert float(open_probability(log_alpha)[0]) == pytest.approx(expected)
        assert float((z > 0).float().mean()) == pytest.approx(expected, abs=0.01)
    assert float(gate(torch.tensor(5.0))) == 1.0
    assert float(gate(torch.tensor(-5.0))) == 0.0
    assert float(gate(torch.tensor(0.0))) == 0.0


def test_slope_of_the_gate_against_autograd() -> None:
    log_alpha = torch.linspace(-4, 4, 40, dtype=torch.float64, requires_grad=True)
    z = torch.clamp(torch.sigmoid(log_alpha) * 3.0 - 1.5, 0, 1)
    (expected,) = torch.autograd.grad(z.sum(), log_alpha)
    torch.testing.assert_close(gate_slope(gate(log_alpha.detach())), expected)


# While the gates train ---------------------------------------------------------------------------


@pytest.mark.parametrize("structured", [False, True])
def test_gradients_against_autograd(structured: bool) -> None:
    """What `pull` computes is the derivative of loss + penalty through W0 + z z_matrix delta."""
    run = light(structured=structured, alpha_init=0.7, sparsity_penalty=1e-3)
    train(run, 2)
    form = forms(run)[3]
    values = [p.detach().double().requires_grad_() for p in form.core()]
    run.gradients(make_batch(5))
    # The dense gradient once more, from the weights of this step.
    run.model(**make_batch(5)).loss.backward()
    assert form.weight.grad is not None
    dense = form.weight.grad.double()

    shape, device, key = form.delta.shape, form.delta.device, (3, "diff_pruning", form.target.name)
    z = torch.clamp(torch.sigmoid(values[1] + noise(shape, device, *key, 3)) * 3 - 1.5, 0, 1)
    penalty = torch.sigmoid(values[1]).sum()
    if structured:
        drawn = noise(torch.Size([]), device, *key, 3, "matrix")
        z = z * torch.clamp(torch.sigmoid(values[2] + drawn) * 3 - 1.5, 0, 1)
        penalty = penalty * torch.sigmoid(values[2])
    ((dense * z * values[0]).sum() + 1e-3 * penalty).backward()
    for own, exact in zip(form.core(), values, strict=True):
        assert own.grad is not None
        assert exact.grad is not None
        assert exact.grad.abs().sum() > 0
        torch.testing.assert_close(own.grad.double(), exact.grad, rtol=1e-4, atol=1e-7)


def test_the_penalty_is_the_expected_number_of_open_gates() -> None:
    run = light(sparsity_penalty=0.5, alpha_init=5.0)
    assert run.attachment.penalty is not None
    p = 1 / (1 + math.exp(-5.0))
    assert float(run.attachment.penalty().detach()) == pytest.approx(0.5 * DENSE * p * p, rel=1e-5)
    plain = light(sparsity_penalty=0.5, alpha_init=5.0, structured=False)
    assert plain.attachment.penalty is not None
    assert float(plain.attachment.penalty().detach()) == pytest.approx(0.5 * DENSE * p, rel=1e-5)


def test_a_large_penalty_closes_gates() -> None:
    def rest(penalty: float) -> float:
        run = light(sparsity_penalty=penalty, gate_lr=0.5)
        train(run, 13)
        return sum(float(gate(f.log_alpha.detach()).sum()) for f in forms(run)) / DENSE

    assert rest(1.0) < 0.6 < rest(0.0)


def test_gates_are_drawn_anew_each_step_and_alike_for_one_seed() -> None:
    shape, device = torch.Size([8]), torch.device("cpu")
    first = noise(shape, device, 1, "a", 1)
    assert torch.equal(first, noise(shape, device, 1, "a", 1))
    for other in ((2, "a", 1), (1, "b", 1), (1, "a", 2)):
        assert not torch.equal(first, noise(shape, device, *other))


def test_between_steps_the_model_has_its_gates_at_rest() -> None:
    run = light(alpha_init=0.5)
    train(run, 3)
    merged = run.attachment.merged_state_dict()
    assert merged is not None
    for form in forms(run):
        at_rest = form.base + form.difference()
        assert torch.equal(merged[f"{form.target.name}.weight"], at_rest)
        torch.testing.assert_close(form.effective().float(), at_rest)
    run.gradients(make_batch(1))
    assert any(not torch.equal(f.weight, f.base + f.difference()) for f in forms(run))


def test_trainable_numbers() -> None:
    rest = 4_000
    for structured, gates in ((True, 12), (False, 0)):
        run = light(structured=structured)
        inside = sum(form.trainable_count("lft") for form in forms(run))
        assert inside == 2 * DENSE + gates
        rest = run.phases.trainable() - inside
    run = light(reference=True)
    assert rest > 32 * 2 + 2
    assert run.phases.trainable() == 2 * DENSE + 12 + 32 * 2 + 2


# Pruning -----------------------------------------------------------------------------------------


def test_the_largest_over_all_matrices_ties_in_order() -> None:
    values = [torch.tensor([[0.1, -3.0], [2.0, 0.0]]), torch.tensor([-2.0, 5.0])]
    first, second = largest(values, 0.5)
    assert first.tolist() == [[False, True], [True, False]]
    assert second.tolist() == [False, True]
    assert [int(m.sum()) for m in largest(values, 1e-9)] == [0, 1]
    assert sum(int(m.sum()) for m in largest([torch.zeros(10)], 0.3)) == 3


@every_architecture
def test_outside_the_mask_weights_are_the_pretrained_ones_to_the_bit(architecture: str) -> None:
    run = light(architecture, target_share=0.02)
    base = pretrained(architecture)
    train(run, 13)
    assert all(form.mask is None for form in forms(run))
    before = {form.target.name: form.difference() for form in forms(run)}
    train(run, 1)
    masks = {form.target.name: form.mask for form in forms(run)}
    train(run, 6)
    merged = run.attachment.merged_state_dict()
    assert merged is not None
    merged = apart(run.model, merged)
    dense = sum(target.weight.numel() for target in run.targets)
    kept = moved = 0
    for name, mask in masks.items():
        assert mask is not None
        weight, start = merged[f"{name}.weight"], base[f"{name}.weight"]
        assert torch.equal(weight[~mask].view(torch.int32), start[~mask].view(torch.int32))
        kept += int(mask.sum())
        moved += int((weight != start).sum())
    assert kept == round(0.02 * dense)
    assert 0.9 * kept < moved <= kept
    # The differences before were dense.
    assert sum(int((d != 0).sum()) for d in before.values()) > 10 * kept
    assert run.attachment.penalty is None
    assert sum(form.trainable_count("lft") for form in forms(run)) == kept


def test_pruning_keeps_the_largest_differences_and_their_values() -> None:
    run = light(target_share=0.05)
    train(run, 13)
    run.gradients(make_batch(0))
    assert run.optimizer is not None
    run.optimizer.step()
    for form in forms(run):
        form.push()
    before = [form.difference() for form in forms(run)]
    assert run.attachment.after_step is not None
    run.attachment.after_step(14)
    kept = [form.mask for form in forms(run)]
    smallest = min(float(d[m].abs().min()) for d, m in zip(before, kept, strict=True) if m.any())
    largest_gone = max(float(d[~m].abs().max()) for d, m in zip(before, kept, strict=True))
    assert smallest >= largest_gone
    for form, difference, mask in zip(forms(run), before, kept, strict=True):
        assert torch.equal(form.difference()[mask], difference[mask])


def test_after_pruning_the_gates_stand_still_and_the_loss_still_falls() -> None:
    run = light(target_share=0.05)
    train(run, 14)
    gates = [g.detach().clone() for form in forms(run) for g in form.gates()]
    first = run.step(0)
    for _ in range(10):
        last = run.step(0)
    now = [g.detach() for form in forms(run) for g in form.gates()]
    assert all(torch.equal(a, b) for a, b in zip(gates, now, strict=True))
    assert last < first


def test_without_a_tuning_phase_the_last_step_prunes() -> None:
    run = light(fixed_mask_share=0.0, target_share=0.1)
    train(run, 20)
    assert sum(int((form.difference() != 0).sum()) for form in forms(run)) == round(0.1 * DENSE)


# Resuming and export -----------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [5, 14, 17])
def test_resume_is_exact_on_both_sides_of_the_pruning(stop: int) -> None:
    whole = light(target_share=0.05)
    train(whole, 20)

    killed = light(target_share=0.05)
    train(killed, stop)
    assert killed.optimizer is not None
    assert killed.attachment.extra_state is not None
    model = {k: v.clone() for k, v in killed.model.state_dict().items()}
    optimizer = {k: v.clone() for k, v in killed.optimizer.tensors().items()}
    state = {name: form.state() for name, form in killed.attachment.forms.items()}
    extra = killed.attachment.extra_state()

    resumed = Run("diff_pruning", variant="D", resuming=True, optimizer=False, target_share=0.05)
    resumed.switch_all()
    resumed.build_optimizer().load_tensors(optimizer)
    resumed.model.load_state_dict(model)
    for name, form in resumed.attachment.forms.items():
        form.load_state(state[name])
    assert resumed.attachment.load_extra_state is not None
    resumed.attachment.load_extra_state(extra)
    resumed.step_number = stop
    train(resumed, 20 - stop)
    end = whole.model.state_dict()
    assert all(torch.equal(end[k], v) for k, v in resumed.model.state_dict().items())


@every_architecture
def test_the_merged_weights_open_as_a_plain_model(architecture: str) -> None:
    run = light(architecture, target_share=0.05)
    train(run, 20)
    merged = run.attachment.merged_state_dict()
    assert merged is not None
    plain = make_model(architecture, seed=9)
    plain.load_state_dict(merged)
    assert torch.equal(evaluate(plain), run.logits())


def test_stable_ranks_are_refused() -> None:
    form = forms(light())[0]
    with pytest.raises(ConfigError, match="no full phase"):
        form.remember()
    with pytest.raises(ConfigError, match="no full phase"):
        form.pair()
