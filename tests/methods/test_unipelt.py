"""UniPELT: the whole model against its definition written out, and what its gates see."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from calisr_engine.config.load import load
from calisr_engine.errors import ConfigError
from calisr_engine.methods.prefix_attention import KEY, SCALE, VALUE
from calisr_engine.methods.unipelt.method import ADAPTER, GATE, UPDATE, Gate
from tests.methods.tiny import ARCHITECTURES, UNSUITED, Run, evaluate, make_batch

SUPPORTED = [name for name in ARCHITECTURES if ("unipelt", name) not in UNSUITED]
OWN = (KEY, VALUE, ADAPTER, UPDATE, GATE)


def spread(model: nn.Module) -> None:
    """Numbers as of trained parameters, so that each part and each gate is seen."""
    for number, (name, parameter) in enumerate(model.named_parameters()):
        if any(each in name for each in OWN):
            draws = torch.Generator().manual_seed(number)
            nn.init.normal_(parameter, std=0.4, generator=draws)


def written_out(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Logits of a BERT of four heads of size 8 with UniPELT around its layers."""
    p = {name: parameter.detach() for name, parameter in model.named_parameters()}
    mask = batch["attention_mask"]
    rows, tokens = mask.shape

    def linear(values: Tensor, name: str) -> Tensor:
        return functional.linear(values, p[f"{name}.weight"], p[f"{name}.bias"])

    def norm(values: Tensor, name: str) -> Tensor:
        weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
        return functional.layer_norm(values, weight.shape, weight, bias, 1e-12)

    def gate(values: Tensor, name: str) -> Tensor:
        opened = torch.sigmoid(linear(values, f"{name}.linear"))[..., 0]
        kept = [opened[row][mask[row].bool()].mean() for row in range(rows)]
        return torch.stack(kept).view(rows, 1, 1)

    def updated(values: Tensor, name: str) -> Tensor:
        own = f"{name}.{UPDATE}"
        low = values @ p[f"{own}.a"].T @ p[f"{own}.b"].T
        return linear(values, name) + gate(values, f"{own}.gate") * low

    def heads(values: Tensor) -> Tensor:
        return values.view(rows, -1, 4, 8).transpose(1, 2)

    hidden = model.get_submodule("bert.embeddings")(input_ids=batch["input_ids"]).detach()
    for layer in ("bert.encoder.layer.0", "bert.encoder.layer.1"):
        own = f"{layer}.attention.self"
        counts = gate(hidden, f"{own}.{GATE}")
        query, key = updated(hidden, f"{own}.query"), linear(hidden, f"{own}.key")
        value = updated(hidden, f"{own}.value")
        key = torch.cat([counts * p[f"{own}.{KEY}"], key], dim=1)
        value = torch.cat([counts * p[f"{own}.{VALUE}"], value], dim=1)
        scores = heads(query) @ heads(key).transpose(-1, -2) / 8**0.5
        length = key.shape[1] - tokens
        scores[..., length:].masked_fill_(~mask.bool()[:, None, None], -torch.inf)
        mixed = (scores.softmax(-1) @ heads(value)).transpose(1, 2).reshape(rows, tokens, 32)
        dense = linear(mixed, f"{layer}.attention.output.dense")
        attended = norm(dense + hidden, f"{layer}.attention.output.LayerNorm")
        inner = functional.gelu(linear(attended, f"{layer}.intermediate.dense"))
        out = linear(inner, f"{layer}.output.dense")
        adapter = f"{layer}.output.dense.{ADAPTER}"
        up = linear(torch.relu(linear(out, f"{adapter}.down")), f"{adapter}.up")
        out = out + gate(out, f"{adapter}.gate") * up
        hidden = norm(out + attended, f"{layer}.output.LayerNorm")
    return linear(torch.tanh(linear(hidden[:, 0], "bert.pooler.dense")), "classifier")


def test_the_model_is_its_definition() -> None:
    run = Run("unipelt", projection=None, length=3, bottleneck=6, rank=2)
    start = run.logits(0)
    spread(run.model)
    batch = make_batch(0)  # its first row is padded
    expected = written_out(run.model, batch)
    torch.testing.assert_close(run.logits(0), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(start, expected, atol=1e-3)


@pytest.mark.parametrize("part", OWN)
def test_each_part_is_seen(part: str) -> None:
    run = Run("unipelt", projection=None)
    spread(run.model)
    before = run.logits()
    with torch.no_grad():
        for name, parameter in run.model.named_parameters():
            if part in name:
                parameter.mul_(1.5)
    assert not torch.allclose(run.logits(), before, atol=1e-4)


@pytest.mark.parametrize("architecture", SUPPORTED)
def test_padding_changes_nothing(architecture: str) -> None:
    model = Run("unipelt", architecture).model.eval()
    spread(model)
    ids = torch.tensor([[5, 6, 7, 8]])
    padded = torch.tensor([[5, 6, 7, 8, 1, 1, 1]])
    mask = torch.tensor([[1, 1, 1, 1, 0, 0, 0]])
    with torch.no_grad():
        bare = model(input_ids=ids).logits
        short = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        long = model(input_ids=padded, attention_mask=mask).logits
    torch.testing.assert_close(bare, short, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(short, long, rtol=1e-4, atol=1e-5)


def test_the_start() -> None:
    """Updates are nothing, gates half open; the mean of a gate is over tokens."""
    gate = Gate(768, torch.Generator().manual_seed(0))
    assert float(gate.linear.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    hidden = torch.randn(2, 5, 768, generator=torch.Generator().manual_seed(1))
    opened = gate(hidden).detach()
    assert opened.shape == (2, 1, 1)
    assert 0.3 < float(opened.min()) < float(opened.max()) < 0.7
    names = dict(Run("unipelt").model.named_parameters())
    starts: dict[str, Callable[[Tensor], bool]] = {
        f"{UPDATE}.a": lambda a: 0.1 < float(a.abs().max()) <= 32**-0.5,
        f"{UPDATE}.b": lambda b: not b.any(),
        f"{ADAPTER}.up.weight": lambda w: 0.01 < float(w.std()) < 0.03,
        f"{GATE}.linear.bias": lambda b: not b.any(),
    }
    for end, holds in starts.items():
        found = [value.detach() for name, value in names.items() if name.endswith(end)]
        assert found, end
        assert all(holds(value) for value in found), end


def test_a_copy_uses_its_own_parts_and_nothing_stays_of_a_pass() -> None:
    run = Run("unipelt", projection=None)
    run.step(0)
    before = run.logits()
    assert not any(hasattr(module, SCALE) for module in run.model.modules())
    other = copy.deepcopy(run.model)
    assert torch.equal(evaluate(other), before)
    spread(other)
    assert not torch.allclose(evaluate(other), before, atol=1e-3)
    assert torch.equal(run.logits(), before)


def test_reference_trains_what_was_added_and_the_head_only() -> None:
    run = Run("unipelt", reference=True)
    for name in run.phases.stepped():
        assert "calisr_" in name or name.startswith("classifier."), name


def test_a_last_layer_of_one_token_is_refused() -> None:
    """The gates of the last layer would read that token alone."""
    with pytest.raises(ConfigError, match=r"training\.last_layer.*UniPELT reads every token"):
        load(None, ["method.name=unipelt", "training.last_layer=first_token"])
