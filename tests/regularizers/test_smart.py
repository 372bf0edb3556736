"""SMART against its definition (Jiang et al., 2020, sections 3.1 and 3.2, Algorithm 1)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.func import functional_call
from transformers import BertForSequenceClassification

from calisr_engine.methods.base import Attachment, seeded_generator
from calisr_engine.process.execute import execute
from calisr_engine.regularizers.base import Fixed, Moment, RegularizerContext
from calisr_engine.regularizers.smart.regularizer import (
    SmartRegularization,
    SmartRegularizer,
    divergence,
)
from calisr_engine.regularizers.smart.settings import Smart
from calisr_engine.training.switch import PhaseChange
from tests.methods.tiny import Run, make_batch
from tests.training.golden import newest_checkpoint
from tests.training.tiny_run import events, make_run, save_model

AT = Moment(3, 1, 0)
BATCH = {
    "input_ids": torch.tensor([[2, 8, 9, 10, 3], [2, 11, 3, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
    "labels": torch.tensor([0, 1]),
}
LARGE = {"smart_epsilon": 0.03, "smart_sigma": 0.02, "smart_step_size": 0.05}
"""So large that every part of the definition is seen."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return save_model(tmp_path_factory.mktemp("model"))


def model_of(folder: Path, labels: int = 2) -> BertForSequenceClassification:
    torch.manual_seed(1)
    found = BertForSequenceClassification.from_pretrained(
        folder, num_labels=labels, ignore_mismatched_sizes=True
    )
    with torch.no_grad():
        for parameter in found.parameters():
            if parameter.dim() == 2:
                parameter.mul_(5)
    return found.eval()


def attached(model: nn.Module, **settings: float) -> SmartRegularization:
    attachment = Attachment(model, {}, has_light_phase=False)
    context = RegularizerContext(seed=5, total_steps=20)
    found = SmartRegularizer().attach(model, [], attachment, Smart(**settings), Fixed({}), context)
    assert isinstance(found, SmartRegularization)
    return found


def kl(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p.log() - q.log())).sum()


def answers(one: Tensor, other: Tensor) -> Tensor:
    """l_s of one example."""
    if one.numel() == 1:
        return (one - other).pow(2).sum()
    p, q = one.softmax(-1), other.softmax(-1)
    return kl(p, q) + kl(q, p)


def regularised(
    model: BertForSequenceClassification, steps: int, epsilon: float, sigma: float, eta: float
) -> Tensor:
    """R_s, one example at a time, from its embeddings."""
    ids, mask = BATCH["input_ids"], BATCH["attention_mask"]
    noise = torch.randn(*ids.shape, 16, generator=seeded_generator(5, "smart", 3, 1, 0)) * sigma
    terms = []
    for row in range(len(ids)):
        x = model.bert.embeddings.word_embeddings(ids[row : row + 1])

        def f(x: Tensor, row: int = row) -> Tensor:
            return model(inputs_embeds=x, attention_mask=mask[row : row + 1]).logits[0]

        d = noise[row : row + 1]
        for _ in range(steps):
            d = d.detach().requires_grad_(True)
            (g,) = torch.autograd.grad(answers(f(x.detach() + d), f(x.detach()).detach()), d)
            d = (d + eta * g / g.abs().max()).clamp(-epsilon, epsilon).detach()
        terms.append(answers(f(x + d), f(x)))
    return torch.stack(terms).mean()


@pytest.mark.parametrize("labels", [1, 2, 3])
@pytest.mark.parametrize("steps", [1, 3])
def test_penalty_and_gradient_are_those_of_the_definition(
    labels: int, steps: int, folder: Path
) -> None:
    model = model_of(folder, labels)
    found = attached(model, smart_weight=3.0, smart_steps=steps, **LARGE)
    logits = model(**{k: v for k, v in BATCH.items() if k != "labels"}).logits
    penalty = found.penalty(model, BATCH, logits, AT)
    assert penalty is not None
    names, leaves = zip(*model.named_parameters(), strict=True)
    own = torch.autograd.grad(penalty, leaves, allow_unused=True)
    expected = 3.0 * regularised(model, steps, 0.03, 0.02, 0.05)
    theirs = torch.autograd.grad(expected, leaves, allow_unused=True)
    torch.testing.assert_close(penalty, expected, rtol=1e-4, atol=0)
    largest = max(float(g.abs().max()) for g in theirs if g is not None)
    for name, mine, other in zip(names, own, theirs, strict=True):
        assert (mine is None) == (other is None), name
        if mine is not None:
            torch.testing.assert_close(mine, other, rtol=1e-2, atol=1e-3 * largest, msg=name)


def test_the_change_stays_within_epsilon_and_moves_the_answer_more_than_noise(
    folder: Path,
) -> None:
    model = model_of(folder)
    inputs = {k: v for k, v in BATCH.items() if k != "labels"}
    logits = model(**inputs).logits.detach()

    def moved(steps: int) -> float:
        found = attached(model, smart_steps=steps, **LARGE)
        change = found.search(model, inputs, logits, AT)
        assert float(change.abs().max()) <= 0.03
        x = model.bert.embeddings.word_embeddings(inputs["input_ids"]) + change
        mask = inputs["attention_mask"]
        answer = model(inputs_embeds=x, attention_mask=mask).logits
        return float(divergence(answer.detach(), logits).mean())

    assert moved(5) >= moved(1) > 0


def test_the_published_size_is_felt_in_32_bits(folder: Path) -> None:
    model = model_of(folder)
    logits = model(**{k: v for k, v in BATCH.items() if k != "labels"}).logits
    penalty = attached(model).penalty(model, BATCH, logits, AT)
    assert penalty is not None
    assert 0 < penalty.item() < 1e-4


def test_the_proximal_term_is_the_distance_to_the_averaged_weights(folder: Path) -> None:
    model = model_of(folder)
    found = attached(model, smart_weight=0.0, smart_proximal=2.0)
    average = {name: p.detach().clone() for name, p in model.named_parameters()}
    found.state()  # from here on the average runs
    inputs = {k: v for k, v in BATCH.items() if k != "labels"}
    for step in (1, 2, 3):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * step)
        found.after_step(step)
        beta = 0.99 if step <= 2 else 0.999  # of 20 steps the first tenth
        for name, parameter in model.named_parameters():
            average[name] = beta * average[name] + (1 - beta) * parameter.detach()
    for name, value in found.state().items():
        torch.testing.assert_close(value, average[name], rtol=1e-5, atol=1e-6)
    logits = model(**inputs).logits
    penalty = found.penalty(model, BATCH, logits, AT)
    before = functional_call(model, average, (), inputs).logits.detach()
    expected = 2 * torch.stack([answers(a, b) for a, b in zip(logits, before, strict=True)]).mean()
    assert penalty is not None
    assert expected.item() > 0
    torch.testing.assert_close(penalty, expected, rtol=1e-4, atol=1e-7)


def test_positions_are_averaged_over() -> None:
    """Answers with a class for each token."""
    one, other = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    pairs = [zip(*rows, strict=True) for rows in zip(one, other, strict=True)]
    each = torch.stack([torch.stack([answers(a, b) for a, b in row]) for row in pairs])
    torch.testing.assert_close(divergence(one, other), each.mean(1))


def test_it_ends_with_the_full_phase_where_that_is_asked(folder: Path, tmp_path: Path) -> None:
    """Both runs are the same up to the switch, and with light_phase=false go on without a term."""
    sets = ("method.name=lora", "schedule.switch_at=0.5", "regularizer.name=smart")
    larger = [f"regularizer.{key}={value}" for key, value in LARGE.items()]
    losses = []
    for on in ("true", "false"):
        run = make_run(folder, tmp_path, on, *sets, *larger, f"regularizer.smart_light_phase={on}")
        assert execute(run, raise_errors=True) == 0
        losses.append([each["loss"] for each in events(run, "progress")])
    half = len(losses[0]) // 2
    assert losses[0][: half + 1] == losses[1][: half + 1]
    assert losses[0][half + 2 :] != losses[1][half + 2 :]


def test_once_it_has_ended_nothing_is_averaged_any_more() -> None:
    """Neither in memory nor in checkpoints, also of one that still has an average."""
    run = Run("lora")
    settings = Smart(smart_proximal=1.0, smart_light_phase=False)
    context = RegularizerContext(seed=5, total_steps=20)
    found = SmartRegularizer().attach(
        run.model, run.targets, run.attachment, settings, Fixed({}), context
    )
    assert isinstance(found, SmartRegularization)
    batch = make_batch(0)
    logits = run.model(**batch).logits
    first, *rest = run.phases.groups
    for group in rest:
        run.phases.switch(PhaseChange(group, 1, "hand", ""), run.optimizer)
    assert found.penalty(run.model, batch, logits, AT) is not None
    found.after_step(1)
    kept = dict(found.state())
    assert kept.keys() == {name for name, _ in run.model.named_parameters()}
    run.phases.switch(PhaseChange(first, 1, "hand", ""), run.optimizer)
    assert found.state() == {}
    found.load_state(kept)
    found.after_step(2)
    assert found.penalty(run.model, batch, logits, AT) is None
    assert found.average == {}


def test_it_goes_on_with_what_is_fully_trained_beside_a_light_method(
    folder: Path, tmp_path: Path
) -> None:
    sets = ("training.max_steps=2", "training.warmup_ratio=0", "training.learning_rate=0.01")
    beside = ("method.name=lora", "method.components=query", "method.elsewhere=fft")
    smart = ("regularizer.name=smart", "regularizer.smart_light_phase=false")
    larger = [f"regularizer.{key}={value}" for key, value in LARGE.items()]
    stored = []
    for name, more in (("off", ()), ("on", (*smart, *larger))):
        run = make_run(folder, tmp_path, name, *sets, *beside, *more)
        assert execute(run, raise_errors=True) == 0
        stored.append(load_file(newest_checkpoint(run) / "model.safetensors"))
    off, on = stored
    moved = [name for name, value in off.items() if not value.equal(on[name])]
    assert any("key.weight" in name for name in moved)


@pytest.mark.parametrize("model_type", ["longformer"])
def test_inputs_that_a_model_fills_up(model_type: str) -> None:
    from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification

    config = CONFIG_MAPPING[model_type](
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=40,
        attention_window=4,
        pad_token_id=1,
    )
    model = AutoModelForSequenceClassification.from_config(config).eval()
    inputs = {k: v for k, v in BATCH.items() if k != "labels"}
    penalty = attached(model, **LARGE).penalty(model, BATCH, model(**inputs).logits, AT)
    assert penalty is not None
    assert penalty.item() > 0
