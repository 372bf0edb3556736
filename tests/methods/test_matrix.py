"""What holds for every method on every architecture.

What holds for methods that are not calibrated alone is in test_architecture_changes.py; what each
one trains is counted in test_counts.py.
"""

from __future__ import annotations

import pytest
import torch

from calisr_engine.errors import ConfigError
from calisr_engine.methods.base import TargetForm
from calisr_engine.models.grouping import Variant
from calisr_engine.training.switch import PhaseChange
from tests.methods.tiny import (
    ARCHITECTURES,
    CALIBRATABLE,
    UNCALIBRATED,
    UNSUITED,
    WITH_OWN_LOADER,
    Run,
    evaluate,
    make_apart,
    make_batch,
    make_model,
)
from tests.slow import quick_where

SAME_FORWARD = [name for name in CALIBRATABLE if name != "mask_bert"]

FUSED = ("mpop", "child_tuning_d", "adapter")
"""The quick tests have every method on Bert, LoRA on all architectures, and these on ModernBert,
whose matrices come fused."""

every_method = pytest.mark.parametrize("method", CALIBRATABLE)
every_architecture = pytest.mark.parametrize("architecture", list(ARCHITECTURES))


def cells(methods: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("method", "architecture"),
        quick_where(
            [
                (method, architecture)
                for method in methods
                for architecture in ARCHITECTURES
                if (method, architecture) not in UNSUITED
            ],
            lambda cell: (
                cell[1] == "Bert"
                or cell[0] == "lora"
                or (cell[1] == "ModernBert" and cell[0] in FUSED)
            ),
        ),
    )


every_cell = cells([*CALIBRATABLE, *UNCALIBRATED])
every_calibrated_cell = cells(CALIBRATABLE)


@pytest.mark.parametrize(("method", "architecture"), list(UNSUITED))
def test_a_method_that_an_architecture_has_no_room_for_is_refused(
    method: str, architecture: str
) -> None:
    with pytest.raises(ConfigError, match=UNSUITED[method, architecture]):
        Run(method, architecture)


@cells([*SAME_FORWARD, "fft"])
def test_attaching_keeps_the_forward_pass(method: str, architecture: str) -> None:
    before = evaluate(make_model(architecture))
    torch.testing.assert_close(Run(method, architecture).logits(), before, rtol=1e-4, atol=1e-5)


@every_architecture
def test_masking_starts_as_the_model_with_the_masked_weights_at_zero(architecture: str) -> None:
    run = Run("mask_bert", architecture)
    plain = make_apart(architecture)
    with torch.no_grad():
        for name, form in run.attachment.forms.items():
            plain.get_submodule(name).weight.mul_(form.mask())  # type: ignore[attr-defined]
    assert torch.equal(run.logits(), evaluate(plain))


@every_method
def test_attaching_draws_nothing_from_the_global_random_state(method: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    Run(method)
    assert torch.equal(torch.get_rng_state(), before)


@every_calibrated_cell
def test_training_lowers_the_loss_in_both_phases(method: str, architecture: str) -> None:
    run = Run(method, architecture)
    first = run.step(0)
    for _ in range(8):
        run.step(0)
    middle = run.step(0)
    assert middle < first
    run.switch_all()
    for _ in range(12):
        last = run.step(0)
    assert last < middle + 0.02


@every_calibrated_cell
def test_frozen_means_frozen_to_the_bit(method: str, architecture: str) -> None:
    """With momentum and decay in the optimizer, what a switch froze does not move at all."""
    run = Run(method, architecture)
    for seed in range(3):
        run.step(seed)
    run.switch_all()
    assert run.optimizer is not None
    stepped = set(run.optimizer.parameters())
    # A working copy needs a gradient to pass on, though the optimizer never steps it.
    working = {p for p in run.model.parameters() if p.requires_grad} - stepped
    assert working <= {f.weight for f in run.attachment.forms.values()}
    still = {
        name: p.detach().clone()
        for name, p in run.model.named_parameters()
        if p not in stepped and p not in working
    }
    outside = {
        name: (form.weight.detach().clone(), form.mask.clone())
        for name, form in run.attachment.forms.items()
        if method == "child_tuning_d"
    }
    for seed in range(5):
        run.step(seed)
    for name, parameter in run.model.named_parameters():
        if name in still:
            assert torch.equal(parameter, still[name]), name
    for name, (weight, mask) in outside.items():
        now = run.attachment.forms[name].weight.detach()
        assert torch.equal(now[~mask], weight[~mask])
        assert not mask.any() or not torch.equal(now[mask], weight[mask])
    assert still or method.startswith("child")
    for parameter in set(run.model.parameters()) - stepped - working:
        assert parameter.grad is None
        assert parameter not in run.optimizer.torch.state


@every_method
@pytest.mark.parametrize("variant", ["L", "LC"])
def test_a_switch_freezes_its_own_matrices_and_the_embeddings_follow_the_last(
    method: str, variant: Variant
) -> None:
    run = Run(method, variant=variant)
    groups = list(run.phases.groups)
    assert groups[0] == {"L": "layer0", "LC": "layer0.query"}[variant]
    assert len(groups) == {"L": 2, "LC": 12}[variant]
    run.step(0)
    run.phases.switch(PhaseChange(groups[0], 1, "hand", "test"), run.optimizer)
    forms = run.attachment.forms.values()
    own = set(run.phases.groups[groups[0]])
    words = run.model.get_input_embeddings().weight  # type: ignore[operator]

    def extras(form: TargetForm) -> list[torch.Tensor]:
        """What full fine-tuning alone trains: a mask's other entries, or whole parameters."""
        mask = getattr(form, "mask", None)
        if method == "child_tuning_d":
            return [form.weight.detach()[~mask].clone()]
        return [parameter.detach().clone() for parameter in form.extra()]

    before = {form: extras(form) for form in forms}
    table = words.detach().clone()
    run.step(1)
    run.step(2)
    if method != "child_tuning_f":  # which draws another part to freeze at each step
        for form in forms:
            for old, new in zip(before[form], extras(form), strict=True):
                if form in own:
                    assert torch.equal(old, new), form.target.name
                elif old.numel():
                    assert not torch.equal(old, new), form.target.name
    assert not torch.equal(table, words.detach())
    run.switch_all()
    table = words.detach().clone()
    run.step(3)
    assert torch.equal(table, words.detach())


@every_cell
def test_the_core_is_what_trains(method: str, architecture: str) -> None:
    """In the light phase all of the core moves, and of the dense matrices nothing else."""
    run = Run(method, architecture)
    run.step(0)
    run.switch_all()
    own = {n: p for n, p in run.model.named_parameters() if "calisr_" in n or ".lora_" in n}
    core = {p for form in run.attachment.forms.values() for p in form.core()}
    if not run.attachment.forms:  # adapters and prefixes are beside the matrices
        core = set(own.values())
    assert core or method == "bitfit"
    before = {p: p.detach().clone() for p in run.model.parameters()}
    dense = {name: form.effective() for name, form in run.attachment.forms.items()}
    run.step(1)
    run.step(2)
    for parameter in core:  # ChildTuning-D may keep nothing of a matrix
        assert not parameter.numel() or not torch.equal(parameter, before[parameter])
    for name, form in run.attachment.forms.items():
        still = sum(p.numel() for p in form.core()) == 0
        assert torch.equal(form.effective(), dense[name]) is still, name
    for name, parameter in own.items():
        if parameter not in core:  # the central tensor, the weights under a mask
            assert torch.equal(parameter, before[parameter]), name
    for target in run.targets:
        if target.name not in run.attachment.forms:
            assert torch.equal(target.weight, before[target.weight]), target.name


@every_calibrated_cell
def test_the_pair_is_what_stepping_in_stages_gives(method: str, architecture: str) -> None:
    """W_LFT after the core alone, W_FFT after the rest: two optimizer calls against one."""
    joint, staged = Run(method, architecture), Run(method, architecture)
    for seed in range(3):
        joint.step(seed)
        staged.step(seed)
    batch = make_batch(9)
    joint.gradients(batch)
    for form in joint.attachment.forms.values():
        form.remember()
    joint.apply()
    pairs = {name: form.pair() for name, form in joint.attachment.forms.items()}

    staged.gradients(batch)
    assert staged.optimizer is not None
    forms = staged.attachment.forms
    halves = method.startswith("child")  # core and extra share one parameter
    core = {p for f in forms.values() for p in f.core()} if not halves else set()
    later = {p: p.grad for p in staged.optimizer.parameters() if p not in core}
    old = {name: form.weight.detach().clone() for name, form in forms.items()}
    for parameter in later:
        parameter.grad = None
    staged.optimizer.step()
    lft = {name: form.effective() for name, form in forms.items()}
    for parameter in core:
        parameter.grad = None
    for parameter, gradient in later.items():
        parameter.grad = gradient
    staged.optimizer.step()
    for form in forms.values():
        form.push()
    for name, form in forms.items():
        if halves:
            mask = form.mask() if callable(form.mask) else form.mask
            lft[name] = torch.where(mask, form.weight.detach(), old[name]).double()
        assert torch.equal(pairs[name][0], lft[name]), name
        assert torch.equal(pairs[name][1], form.effective()), name
    one, two = joint.model.state_dict(), staged.model.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


@every_method
def test_measuring_changes_nothing(method: str) -> None:
    measured, plain = Run(method), Run(method)
    for seed in range(4):
        measured.gradients(make_batch(seed))
        for form in measured.attachment.forms.values():
            form.remember()
        measured.apply()
        for form in measured.attachment.forms.values():
            form.pair()
        plain.step(seed)
    one, two = measured.model.state_dict(), plain.model.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


@every_calibrated_cell
def test_resume_across_the_switch_is_exact(method: str, architecture: str) -> None:
    through = Run(method, architecture)
    for seed in range(3):
        through.step(seed)
    for group in ("query", "output"):
        through.phases.switch(PhaseChange(group, 3, "hand", "test"), through.optimizer)
    through.step(3)
    assert through.optimizer is not None
    model = {k: v.clone() for k, v in through.model.state_dict().items()}
    moments = {k: v.clone() for k, v in through.optimizer.tensors().items()}
    states = {
        name: {k: v.clone() for k, v in form.state().items()}
        for name, form in through.attachment.forms.items()
    }

    again = Run(method, architecture, resuming=True, model_seed=7, optimizer=False)
    for name, state in states.items():
        again.attachment.forms[name].load_state(state)
    for change in through.phases.changes:
        again.phases.switch(change, None)
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
        run.step(4)
        run.switch_all()
        run.step(5)
        run.step(6)
    one, two = through.model.state_dict(), again.model.state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert through.phases.trainable() == again.phases.trainable()


@every_cell
def test_resume_of_a_light_run_is_exact(method: str, architecture: str) -> None:
    """Light from step 0, stopped in the middle, gone on in a model that began otherwise."""
    seed = 0 if method == "diff_pruning" else 7  # its base comes again with the pretrained model
    through = Run(method, architecture, variant="D")
    through.switch_all()
    for batch in range(3):
        through.step(batch)
    assert through.optimizer is not None
    model = {k: v.clone() for k, v in through.model.state_dict().items()}
    moments = {k: v.clone() for k, v in through.optimizer.tensors().items()}
    states = {
        name: {k: v.clone() for k, v in form.state().items()}
        for name, form in through.attachment.forms.items()
    }
    again = Run(method, architecture, variant="D", resuming=True, model_seed=seed, optimizer=False)
    for name, state in states.items():
        again.attachment.forms[name].load_state(state)
    again.switch_all()
    again.build_optimizer().load_tensors(moments)
    with torch.no_grad():
        present = again.model.state_dict()
        assert present.keys() == model.keys()
        for name, value in model.items():
            present[name].copy_(value)
    again.step_number = through.step_number
    for batch in range(3, 6):
        assert through.step(batch) == again.step(batch)
    one, two = through.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


@every_calibrated_cell
def test_the_merged_model_opens_in_plain_transformers(method: str, architecture: str) -> None:
    run = Run(method, architecture)
    for seed in range(2):
        run.step(seed)
    run.switch_all()
    for seed in range(2):
        run.step(seed)
    plain = make_model(architecture, seed=9)
    merged = run.attachment.merged_state_dict()
    assert merged is not None
    plain.load_state_dict(merged, strict=True)
    torch.testing.assert_close(evaluate(plain), run.logits(), rtol=1e-4, atol=1e-5)


@every_calibrated_cell
def test_the_counts_are_those_of_what_the_optimizer_steps(method: str, architecture: str) -> None:
    run = Run(method, architecture)

    def stepped() -> int:
        return sum(p.numel() for p in run.phases.stepped().values())

    assert run.phases.trainable() == stepped()
    expected = run.phases.trainable_when_complete()
    run.switch_all()
    assert run.phases.trainable() == expected
    if method != "child_tuning_f":  # its share is drawn anew, so the whole matrix is stepped
        assert stepped() == expected
    assert run.optimizer is not None
    assert set(run.phases.stepped().values()) == set(run.optimizer.parameters())


@every_method
def test_a_group_cannot_switch_twice(method: str) -> None:
    run = Run(method)
    run.step(0)
    run.phases.switch(PhaseChange("query", 1, "hand", "test"), run.optimizer)
    with pytest.raises(ValueError, match="already switched"):
        run.phases.switch(PhaseChange("query", 2, "hand", "test"), run.optimizer)


@pytest.mark.parametrize("method", [*CALIBRATABLE, *UNCALIBRATED])
def test_what_is_said_of_the_architecture_is_so(method: str) -> None:
    merged = Run(method).attachment.merged_state_dict()
    assert (merged is None) is (method in WITH_OWN_LOADER)
