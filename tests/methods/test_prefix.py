from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from calisr_engine.errors import ConfigError
from calisr_engine.methods.prefix_attention import KEY, VALUE, prefix_attention, widen_mask
from calisr_engine.methods.prefix_settings import prefix_count
from calisr_engine.models.architectures import ARCHITECTURES as KNOWN
from tests.methods.tiny import ARCHITECTURES, UNSUITED, Run, evaluate, make_batch, make_model

SUPPORTED = [name for name in ARCHITECTURES if ("prefix", name) not in UNSUITED]


def prefixes(model: nn.Module) -> dict[str, Tensor]:
    return {n: p for n, p in model.named_parameters() if n.endswith((KEY, VALUE))}


@pytest.mark.parametrize("architecture", SUPPORTED)
def test_count(architecture: str) -> None:
    found = prefixes(Run("prefix", architecture, length=5).model)
    assert len(found) == 4
    assert sum(p.numel() for p in found.values()) == prefix_count(2, 5, 32)


def test_published_count() -> None:
    """The 370,178 that peft's documentation gives for BERT-base: 20 positions and the head."""
    assert prefix_count(12, 20, 768) + 768 * 2 + 2 == 370_178


def test_starts_are_drawn_apart_for_each_key_and_value() -> None:
    drawn = [p.flatten().tolist() for p in prefixes(Run("prefix").model).values()]
    assert len({tuple(values) for values in drawn}) == len(drawn)


class Attention(nn.Module):
    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.is_causal = False
        for name in (KEY, VALUE):
            drawn = torch.randn(length, width, generator=generator)
            self.register_parameter(name, nn.Parameter(drawn))


@pytest.mark.parametrize("kind", ["none", "bool", "float"])
def test_against_attention_written_out(kind: str) -> None:
    rows, heads, positions, size, length = 2, 3, 4, 5, 6
    module = Attention(length, heads * size)
    query, key, value = torch.randn(
        3, rows, heads, positions, size, generator=torch.Generator().manual_seed(2)
    )
    seen = torch.ones(rows, 1, positions, positions, dtype=torch.bool)
    if kind != "none":
        seen[0, :, :, 3] = False
    mask = {
        "none": None,
        "bool": seen,
        "float": torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min),
    }[kind]
    given, _ = prefix_attention(module, query, key, value, mask, scaling=size**-0.5, dropout=0.0)
    for row in range(rows):
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            keys = torch.cat([module.get_parameter(KEY)[:, part], key[row, head]])
            values = torch.cat([module.get_parameter(VALUE)[:, part], value[row, head]])
            scores = query[row, head] @ keys.T / size**0.5
            scores[:, length:][~seen[row, 0]] = -torch.inf
            expected = scores.softmax(-1) @ values
            torch.testing.assert_close(given[row, :, head], expected)


def test_a_mask_that_is_none_stays_none() -> None:
    assert widen_mask(None, 3) is None


@pytest.mark.parametrize("architecture", SUPPORTED)
def test_padding_changes_nothing(architecture: str) -> None:
    """The prefix is seen, padding is not: a padded row gives what the short row gives."""
    model = Run("prefix", architecture).model.eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    padded = torch.tensor([[5, 6, 7, 8, 1, 1, 1]])
    mask = torch.tensor([[1, 1, 1, 1, 0, 0, 0]])
    with torch.no_grad():
        short = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        long = model(input_ids=padded, attention_mask=mask).logits
    torch.testing.assert_close(short, long, rtol=1e-4, atol=1e-5)


def peft_twin(architecture: str, model: nn.Module, length: int) -> Any:
    """peft's model on the same weights and with the prefixes of `model`."""
    from peft import PrefixTuningConfig, get_peft_model

    base = make_model(architecture)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        config = PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=length)
        twin = get_peft_model(base, config)
    with torch.no_grad():
        twin.prompt_encoder["default"].embedding.weight.copy_(
            torch.cat([p.detach() for p in prefixes(model).values()], dim=1)
        )
    return twin


def shifted(architecture: str, batch: dict[str, Tensor], length: int) -> dict[str, Tensor]:
    """Position numbers as peft has them: they begin after the prefix."""
    start = 2 if architecture == "Roberta" else 0
    count = batch["input_ids"].shape[1]
    return batch | {"position_ids": torch.arange(start + length, start + length + count)[None]}


@pytest.mark.parametrize("architecture", ["Bert", "Roberta", "Electra"])
def test_same_logits_and_same_losses_for_twenty_steps_as_peft(architecture: str) -> None:
    length = 5
    run = Run("prefix", architecture, length=length, reference=True)
    twin = peft_twin(architecture, run.model, length)
    batch = shifted(architecture, make_batch(0), length)
    plain = make_batch(0)
    with torch.no_grad():
        run.model.eval()
        ours = run.model(**{k: v for k, v in batch.items() if k != "labels"}).logits
        theirs = evaluate(twin, 0)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(ours, evaluate(make_model(architecture), 0), atol=1e-3)

    names = {KEY, VALUE}
    own = [p for n, p in run.model.named_parameters() if n.rpartition(".")[2] in names]
    sgd = torch.optim.SGD(own, lr=0.5)
    other = torch.optim.SGD([twin.prompt_encoder["default"].embedding.weight], lr=0.5)
    run.model.train()
    twin.train()
    losses = []
    for _ in range(20):
        pair = run.model(**batch).loss, twin(**plain).loss
        for loss, optimizer in zip(pair, (sgd, other), strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append([float(loss.detach()) for loss in pair])
    for one, two in losses:
        assert one == pytest.approx(two, rel=1e-4)
    assert losses[-1][0] < losses[0][0]


def test_with_reference_it_is_p_tuning_v2() -> None:
    """Its prefix encoder without projection is one table (length, 2 * layers * width), cut into
    the past keys and values of each layer; table and head train. Positions as in ours."""
    from transformers import DynamicCache

    length, layers, heads, size = 5, 2, 4, 8
    run = Run("prefix", length=length, reference=True)
    run.step(0)
    stepped = run.phases.stepped()
    table = torch.cat([p for n, p in stepped.items() if n.endswith((KEY, VALUE))], dim=1).detach()
    assert table.shape == (length, 2 * layers * heads * size)
    assert set(stepped) - set(prefixes(run.model)) == {"classifier.weight", "classifier.bias"}

    plain: Any = make_model("Bert").eval()
    batch = make_batch(0)
    rows, positions = batch["input_ids"].shape
    past = table[None].expand(rows, -1, -1).view(rows, length, 2 * layers, heads, size)
    cache = DynamicCache()
    for layer, pair in enumerate(past.permute(2, 0, 3, 1, 4).split(2)):
        cache.update(pair[0], pair[1], layer)
    seen = torch.cat([torch.ones(rows, length, dtype=torch.int64), batch["attention_mask"]], dim=1)
    with torch.no_grad():
        plain.classifier.load_state_dict(run.model.get_submodule("classifier").state_dict())
        answer = plain.bert(
            input_ids=batch["input_ids"],
            attention_mask=seen,
            position_ids=torch.arange(positions)[None],
            past_key_values=cache,
        )
        expected = plain.classifier(answer.pooler_output)
    torch.testing.assert_close(run.logits(0), expected, rtol=1e-5, atol=1e-6)


def test_other_architectures_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="deberta-v2") as caught:
        Run("prefix", "DebertaV2")
    for name in ("bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert"):
        assert name in KNOWN
        assert name in caught.value.hint


def test_reference_trains_prefixes_and_head_only() -> None:
    run = Run("prefix", reference=True)
    for name in run.phases.stepped():
        assert name.endswith((KEY, VALUE)) or name.startswith("classifier."), name
    assert run.phases.trainable() == prefix_count(2, 20, 32) + 32 * 2 + 2


def projected(model: nn.Module) -> dict[str, Tensor]:
    """The prefixes that an MLP gives, written out."""
    e, w1, b1, w2, b2 = (
        model.get_parameter(f"calisr_prefix.{name}")
        for name in ("vectors", "inner.weight", "inner.bias", "outer.weight", "outer.bias")
    )
    together = torch.tanh(e @ w1.T + b1) @ w2.T + b2
    width = e.shape[1]
    names = [f"{layer}.{name}" for layer in ("layer.0", "layer.1") for name in (KEY, VALUE)]
    return {n: together[:, i * width : (i + 1) * width] for i, n in enumerate(names)}


@pytest.mark.parametrize("architecture", SUPPORTED)
def test_a_projection_gives_the_model_that_has_its_prefixes_as_parameters(
    architecture: str,
) -> None:
    made = Run("prefix", architecture, length=5, projection=7)
    plain = Run("prefix", architecture, length=5)
    for seed in range(2):
        made.step(seed)
    outside = {
        name: value
        for name, value in made.model.state_dict().items()
        if not name.startswith("calisr_prefix.")
    }
    with torch.no_grad():
        plain.model.load_state_dict(outside, strict=False)
        values = list(projected(made.model).values())
        for parameter, value in zip(prefixes(plain.model).values(), values, strict=True):
            parameter.copy_(value)
    torch.testing.assert_close(plain.logits(), made.logits(), rtol=1e-5, atol=1e-6)


def test_a_projection_trains_and_is_counted() -> None:
    run = Run("prefix", length=5, projection=7)
    own = {n: p for n, p in run.model.named_parameters() if n.startswith("calisr_prefix.")}
    assert sum(p.numel() for p in own.values()) == prefix_count(2, 5, 32, 7)
    assert prefixes(run.model) == {}
    before = {name: p.detach().clone() for name, p in own.items()}
    first = run.step(0)
    for _ in range(8):
        last = run.step(0)
    assert last < first
    assert not any(torch.equal(own[name], before[name]) for name in own)
