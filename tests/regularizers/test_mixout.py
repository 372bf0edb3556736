"""Mixout against its definition (Lee et al., 2020, section 3 and appendix C)."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from transformers import BertForSequenceClassification

from calisr_engine.methods import registry
from calisr_engine.methods.base import Attachment
from calisr_engine.methods.catalog import METHODS
from calisr_engine.models.components import Target, find_targets
from calisr_engine.regularizers.base import Moment, RegularizerContext
from calisr_engine.regularizers.mixout.regularizer import (
    MixoutRegularization,
    MixoutRegularizer,
    mixed,
)
from calisr_engine.regularizers.mixout.settings import Mixout
from tests.definitions.recording import is_target, recorded
from tests.methods.tiny import context, evaluate, make_apart
from tests.training.tiny_run import save_model

P = 0.7


def by_definition(weight: Tensor, pretrained: Tensor, kept: Tensor) -> Tensor:
    """W diag(m) + U (I - diag(m)), less p U, over 1 - p."""
    m = torch.diag(kept.to(weight.dtype))
    eye = torch.eye(len(kept), dtype=weight.dtype)
    return (weight @ m + pretrained @ (eye - m) - P * pretrained) / (1 - P)


def test_the_mixed_matrix_is_that_of_the_definition_and_its_mean_is_the_matrix() -> None:
    draw = torch.Generator().manual_seed(0)
    weight, pretrained = (torch.randn(5, 4, generator=draw).double() for _ in range(2))
    mean = torch.zeros_like(weight)
    for bits in itertools.product((False, True), repeat=4):
        kept = torch.tensor(bits)
        found = mixed(weight, pretrained, kept, P)
        torch.testing.assert_close(
            found, by_definition(weight, pretrained, kept), rtol=0, atol=1e-14
        )
        assert torch.equal(found[:, ~kept], pretrained[:, ~kept])
        mean += found * (1 - P) ** sum(bits) * P ** (4 - sum(bits))
    torch.testing.assert_close(mean, weight, rtol=0, atol=1e-14)


def test_steps_of_a_run_are_those_of_the_definition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SGD without momentum yet: each first step written out with autograd through the mixture."""
    masks: dict[tuple[int, int], dict[str, Tensor]] = {}
    draw = MixoutRegularization.kept

    def seen(self: MixoutRegularization, target: Target, at: Moment) -> Tensor:
        kept = draw(self, target, at)
        masks.setdefault((at.step, at.index), {})[f"{target.name}.weight"] = kept
        return kept

    monkeypatch.setattr(MixoutRegularization, "kept", seen)
    model = save_model(tmp_path / "model")
    run = recorded(
        model,
        tmp_path,
        "run",
        "method.name=fft",
        "training.optimizer=sgd",
        "training.weight_decay=0",
        "training.max_grad_norm=0",
        "training.accumulate=2",
        "training.max_steps=2",
        "training.schedule=constant",
        "training.warmup_ratio=0",
        "training.learning_rate=0.1",
        "regularizer.name=mixout",
        f"regularizer.mixout_probability={P}",
    )
    plain = BertForSequenceClassification.from_pretrained(model).double()
    now = {name: value.double() for name, value in run.start.items()}
    start, momentum = dict(now), {name: torch.zeros_like(value) for name, value in now.items()}
    for step, batches in enumerate(run.batches, 1):
        assert len(batches) == 2
        leaves = {name: value.clone().requires_grad_(True) for name, value in now.items()}
        rows = sum(len(each["labels"]) for each in batches)
        loss = torch.zeros(()).double()
        for index, batch in enumerate(batches):
            used = {
                name: by_definition(leaf, start[name], masks[step, index][name])
                if is_target(name)
                else leaf
                for name, leaf in leaves.items()
            }
            share = len(batch["labels"]) / rows
            loss = loss + share * functional_call(plain.eval(), used, (), batch).loss
        loss.backward()
        for name, leaf in leaves.items():
            momentum[name] = 0.9 * momentum[name] + leaf.grad
            now[name] = now[name] - 0.1 * momentum[name]
        for name, value in run.after[step - 1].items():
            torch.testing.assert_close(value.double(), now[name], rtol=1e-5, atol=2e-7, msg=name)
    assert len(masks) == 4
    shares = [m.float().mean() for each in masks.values() for m in each.values()]
    assert 0.2 < float(torch.stack(shares).mean()) < 0.4


def test_a_pass_leaves_the_weights_to_the_bit_even_if_it_fails(tmp_path: Path) -> None:
    model = BertForSequenceClassification.from_pretrained(save_model(tmp_path))
    targets = find_targets(model)
    start = MixoutRegularizer().start(targets)
    with torch.no_grad():
        for target in targets:
            target.weight.add_(0.5)
    before = {target.name: (target.weight.data_ptr(), target.weight.clone()) for target in targets}
    found = MixoutRegularization(
        targets, Attachment(model, {}, has_light_phase=False), pretrained=start, p=P, seed=1
    )

    def fail() -> None:
        with found.around(Moment(1, 0, 0)):
            assert not any(torch.equal(t.weight, before[t.name][1]) for t in targets)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    for target in targets:
        assert target.weight.data_ptr() == before[target.name][0]
        assert torch.equal(target.weight, before[target.name][1])
        assert not target.weight._backward_hooks


def attached(model: nn.Module, **settings: Any) -> tuple[list[Target], MixoutRegularization]:
    """A tuner of peft around all targets, and Mixout around that, as in a run."""
    targets = find_targets(model)
    start = MixoutRegularizer().start(targets)
    own = METHODS["peft"](**settings)
    attachment = registry.get("peft").attach(model, targets, own, context())
    found = MixoutRegularizer().attach(
        model,
        targets,
        attachment,
        Mixout(mixout_probability=1 - 2**-20),
        start,
        RegularizerContext(seed=1, total_steps=9),
    )
    assert isinstance(found, MixoutRegularization)
    return targets, found


@pytest.mark.parametrize("options", ["", "init_lora_weights=pissa", "init_lora_weights=olora"])
def test_what_replaces_columns_is_the_pretrained_matrix_wherever_a_tuner_begins(
    options: str,
) -> None:
    """Some tuners take a part out of the base, which their factors hold then."""
    plain, model = make_apart("Bert"), make_apart("Bert")
    targets, found = attached(model, options=options or None)
    with torch.no_grad():
        for target in targets:
            target.weight.add_(0.5)
    moved = evaluate(model)
    with found.around(Moment(1, 0, 0)):
        mixed_in = evaluate(model)
    torch.testing.assert_close(mixed_in, evaluate(plain), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(moved, mixed_in, atol=1e-3)


def test_a_switch_frees_the_pretrained_copy_of_its_matrices_in_its_run_alone() -> None:
    targets, found = attached(make_apart("Bert"))
    branch = copy.deepcopy(found)
    one = targets[0].name
    held = found.pretrained.tensors[one]
    assert branch.pretrained.tensors[one] is held  # shared, not copied
    branch.attachment.forms[one].phase = "lft"
    branch.after_step(1)
    assert branch.pretrained.tensors.keys() == {target.name for target in targets[1:]}
    with branch.around(Moment(2, 0, 0)):
        pass
    found.after_step(1)
    assert found.pretrained.tensors[one] is held
