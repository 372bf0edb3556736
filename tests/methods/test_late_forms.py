"""Dense full fine-tuning before the switch: LoRA `shadow`, MPOP `at_switch`; new Fisher masks."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from calisr_engine.training.switch import PhaseChange
from tests.methods.tiny import Run, evaluate, make_batch, make_model

LATE: list[tuple[str, dict[str, Any]]] = [
    ("lora", {"parametrisation": "shadow"}),
    ("mpop", {"parametrisation": "at_switch"}),
]
late = pytest.mark.parametrize(("method", "settings"), LATE)


@late
def test_before_the_switch_it_is_plain_full_fine_tuning_to_the_bit(
    method: str, settings: dict[str, Any]
) -> None:
    run, plain = Run(method, **settings), Run("fft")
    for seed in range(3):
        run.step(seed)
        plain.step(seed)
    merged, expected = run.attachment.merged_state_dict(), plain.model.state_dict()
    assert merged is not None
    assert all(torch.equal(merged[name], expected[name]) for name in expected)


@late
def test_measuring_changes_nothing(method: str, settings: dict[str, Any]) -> None:
    measured, plain = Run(method, **settings), Run(method, **settings)
    for seed in range(3):
        measured.gradients(make_batch(seed))
        for form in measured.attachment.forms.values():
            form.remember()
        measured.apply()
        for form in measured.attachment.forms.values():
            form.pair()
        plain.step(seed)
    one, two = measured.model.state_dict(), plain.model.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


@late
def test_the_trial_step_is_the_light_methods_first_step(
    method: str, settings: dict[str, Any]
) -> None:
    """W_LFT equals what a run that switches first and then takes this step ends with."""
    run, light = Run(method, **settings), Run(method, **settings)
    for seed in range(2):
        run.step(seed)
        light.step(seed)
    light.switch_all()
    run.gradients(make_batch(2))
    light.gradients(make_batch(2))
    for form in run.attachment.forms.values():
        form.remember()
    run.apply()
    light.apply()
    for name, form in run.attachment.forms.items():
        lft, fft = form.pair()
        expected = light.attachment.forms[name].effective()
        torch.testing.assert_close(lft, expected, rtol=1e-4, atol=2e-6)
        assert torch.equal(fft, form.effective())


@late
def test_the_switch_keeps_the_model_and_trains_the_core_alone(
    method: str, settings: dict[str, Any]
) -> None:
    run = Run(method, **settings)
    run.step(0)
    before = run.logits()
    expected = run.phases.trainable_when_complete()
    run.switch_all()
    torch.testing.assert_close(run.logits(), before, rtol=1e-4, atol=1e-5)
    stepped = set(run.phases.stepped().values())
    assert sum(p.numel() for p in stepped) == expected == run.phases.trainable()
    assert run.optimizer is not None
    assert set(run.optimizer.parameters()) == stepped
    first = run.step(1)
    for _ in range(10):
        last = run.step(1)
    assert last < first
    plain = make_model("Bert", seed=9)
    merged = run.attachment.merged_state_dict()
    assert merged is not None
    plain.load_state_dict(merged, strict=True)
    torch.testing.assert_close(evaluate(plain), run.logits(), rtol=1e-4, atol=1e-5)


@late
def test_resume_after_the_switch_is_exact(method: str, settings: dict[str, Any]) -> None:
    through = Run(method, **settings)
    through.step(0)
    through.phases.switch(PhaseChange("query", 1, "hand", "test"), through.optimizer)
    through.step(1)
    assert through.optimizer is not None
    model = {k: v.clone() for k, v in through.model.state_dict().items()}
    moments = {k: v.clone() for k, v in through.optimizer.tensors().items()}
    again = Run(method, resuming=True, model_seed=7, optimizer=False, **settings)
    again.phases.switch(PhaseChange("query", 1, "hand", "test"), None)
    again.build_optimizer()
    with torch.no_grad():
        present = again.model.state_dict()
        assert present.keys() == model.keys()
        for name, value in model.items():
            present[name].copy_(value)
    assert again.optimizer is not None
    again.optimizer.load_tensors(moments)
    again.step_number = through.step_number
    for run in (through, again):
        run.step(2)
        run.switch_all()
        run.step(3)
    one, two = through.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_new_mask_is_made_from_the_weights_at_the_switch() -> None:
    old, new = Run("child_tuning_d"), Run("child_tuning_d", refresh_at_switch=True)
    for run in (old, new):
        for seed in range(4):
            run.step(seed)
        run.phases.switch(PhaseChange("query", 4, "hand", "test"), run.optimizer)
    queries = [name for name in old.attachment.forms if "query" in name]
    masks = [[run.attachment.forms[name].mask for name in queries] for run in (old, new)]  # type: ignore[attr-defined]
    assert any(not torch.equal(a, b) for a, b in zip(*masks, strict=True))
    kept = sum(int(m.sum()) for m in masks[1]) / sum(m.numel() for m in masks[1])
    assert kept == pytest.approx(0.3, abs=0.01)
    others = [name for name in old.attachment.forms if "query" not in name]
    for name in others:
        assert torch.equal(old.attachment.forms[name].mask, new.attachment.forms[name].mask)  # type: ignore[attr-defined]


def test_word_embeddings_as_an_mpo_follow_the_last_group() -> None:
    run = Run("mpop", embeddings="mpo")
    torch.testing.assert_close(run.logits(), evaluate(make_model("Bert")), rtol=1e-4, atol=1e-5)
    table = run.model.get_input_embeddings()  # type: ignore[operator]
    form = next(f for f in run.attachment.forms.values() if f.weight is table.weight)
    run.step(0)
    run.switch_all()
    assert form.phase == "lft"
    core = [p.detach().clone() for p in form.core()]
    central = form.extra()[0].detach().clone()
    before = table.weight.detach().clone()
    run.step(1)
    assert torch.equal(form.extra()[0], central)
    assert any(not torch.equal(a, b) for a, b in zip(core, form.core(), strict=True))
    assert not torch.equal(table.weight, before)


def test_a_frozen_base_computes_no_gradient() -> None:
    for method in ("lora", "bitfit"):
        run = Run(method)
        run.step(0)
        run.switch_all()
        run.gradients(make_batch(1))
        for form in run.attachment.forms.values():
            assert not form.weight.requires_grad
            assert form.weight.grad is None


@pytest.mark.parametrize("method", ["child_tuning_d", "mpop"])
def test_the_order_of_parameters_does_not_depend_on_when_they_came_in(method: str) -> None:
    """The global gradient norm must round alike in a resumed run."""
    through = Run(method)
    through.step(0)
    again = Run(method, optimizer=False)
    for group in ("output", "query"):
        through.phases.switch(PhaseChange(group, 1, "hand", "test"), through.optimizer)
        again.phases.switch(PhaseChange(group, 1, "hand", "test"), None)
    again.build_optimizer()
    assert through.optimizer is not None
    assert again.optimizer is not None
    orders = [
        [dict((p, n) for n, p in run.model.named_parameters())[p] for p in optimizer.parameters()]
        for run, optimizer in ((through, through.optimizer), (again, again.optimizer))
    ]
    assert orders[0] == orders[1]
