"""UniPELT: adapters, prefixes and low-rank updates, each behind a gate (Mao et al., 2022).

In each layer, with h the input of the attention and f the output of the feed-forward layer:

    query, value   W h + b + g_L(h) * B A h           (a gate for each of the two)
    attention      keys [g_P(h) * P_k; K], values [g_P(h) * P_v; V]
    adapter        f + g_A(f) * up(relu(down(f)))

    g(x) = mean over the tokens of a text of sigmoid(w . x + b), one number a text

("UniPELT: A Unified Framework for Parameter-Efficient Language Model Tuning", section 3.2, its
variant APL.) What it trains: all of these; biases, LayerNorm and head beside it. The gate stands in
the place of LoRA's alpha / r. Starts as in the authors' code: B zero, A Kaiming uniform, all else
from N(0, 0.02^2) with biases 0, so that gates begin near one half; the MLP of the prefixes as
torch draws it.

Two differences from that code. A gate's mean is over the tokens that are seen, so that padding
changes nothing; theirs is over padding too. And the adapter reads f itself, as the publication has
it; the library under their code reads LayerNorm(f + residual) and adds to f.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from calisr_engine.methods.base import (
    ArchitectureAttachment,
    AttachContext,
    Attachment,
    Method,
)
from calisr_engine.methods.prefix_attention import SCALE, add_prefixes, check_attention
from calisr_engine.methods.unipelt.settings import Unipelt
from calisr_engine.models.components import Target

ADAPTER, UPDATE, GATE = "calisr_adapter", "calisr_update", "calisr_gate"
"""Names below the feed-forward output, below query and value, and below the attention."""

INIT_STD = 0.02


class Gate(nn.Module):
    """sigmoid(w . x + b), one number a text: its mean over the tokens that are seen."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.linear = _linear(width, 1, generator)
        self.seen: Tensor | None = None

    def forward(self, hidden: Tensor) -> Tensor:
        """(rows, tokens, width) -> (rows, 1, 1)."""
        opened = torch.sigmoid(self.linear(hidden))
        if self.seen is None:
            return opened.mean(dim=1, keepdim=True)
        seen = self.seen.unsqueeze(-1).to(opened.dtype)
        return (opened * seen).sum(dim=1, keepdim=True) / seen.sum(dim=1, keepdim=True)


class GatedUpdate(nn.Module):
    """g(x) * B A x."""

    def __init__(self, inputs: int, outputs: int, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.empty(rank, inputs))
        self.b = nn.Parameter(torch.zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5), generator=generator)
        self.gate = Gate(inputs, generator)

    def forward(self, values: Tensor) -> Tensor:
        update: Tensor = values @ self.a.T @ self.b.T * self.gate(values)
        return update


class GatedAdapter(nn.Module):
    """f + g(f) * up(relu(down(f)))."""

    def __init__(self, width: int, bottleneck: int, generator: torch.Generator) -> None:
        super().__init__()
        self.down = _linear(width, bottleneck, generator)
        self.up = _linear(bottleneck, width, generator)
        self.gate = Gate(width, generator)

    def forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = hidden + self.gate(hidden) * self.up(torch.relu(self.down(hidden)))
        return result


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    # Without torch's own start, which draws from the global random state.
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    nn.init.normal_(layer.weight, std=INIT_STD, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


# Hooks: plain functions of their module, so that copies of a model use their own ------------------


def note_seen(model: nn.Module, args: Any, options: Any) -> None:
    """Before a forward pass: tell all gates which tokens are no padding (None: all)."""
    seen = options.get("attention_mask")
    if seen is not None:  # of a choice it is (texts, alternatives, tokens), and each is a row
        seen = seen.flatten(0, -2)
    for module in model.modules():
        if isinstance(module, Gate):
            module.seen = seen


def apply_update(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return output + module.get_submodule(UPDATE)(args[0])


def apply_adapter(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return module.get_submodule(ADAPTER)(output)


def open_prefixes(attention: nn.Module, args: Any, options: Any) -> None:
    """Before an attention: how far its prefixes count, for each text."""
    hidden = args[0] if args else options["hidden_states"]
    setattr(attention, SCALE, attention.get_submodule(GATE)(hidden).unsqueeze(-1))


def forget_scale(attention: nn.Module, args: Any, output: Any) -> None:
    delattr(attention, SCALE)


class UnipeltMethod(Method):
    def check_model(self, model: nn.Module) -> None:
        check_attention(model, "UniPELT")

    def attach(
        self, model: nn.Module, targets: list[Target], settings: Unipelt, context: AttachContext
    ) -> Attachment:
        self.check_model(model)
        added = add_prefixes(
            model,
            [target for target in targets if target.component in settings.lengthened],
            settings.length,
            settings.projection,
            lambda name: context.generator(f"unipelt/prefix/{name}"),
        )
        model.register_forward_pre_hook(note_seen, with_kwargs=True)
        for target in targets:
            module, draws = target.module, context.generator(f"unipelt/{target.name}")
            outputs, inputs = target.weight.shape
            device = target.weight.device
            if target.component in settings.updated:
                update = GatedUpdate(inputs, outputs, settings.rank, draws).to(device)
                module.add_module(UPDATE, update)
                module.register_forward_hook(apply_update)
                added |= set(update.parameters())
            if target.component in settings.places:
                adapter = GatedAdapter(outputs, settings.bottleneck, draws).to(device)
                module.add_module(ADAPTER, adapter)
                module.register_forward_hook(apply_adapter)
                added |= set(adapter.parameters())
            if target.component == settings.lengthened[0]:
                attention = model.get_submodule(target.name.rpartition(".")[0])
                gate = Gate(inputs, draws).to(device)
                attention.add_module(GATE, gate)
                attention.register_forward_pre_hook(open_prefixes, with_kwargs=True)
                attention.register_forward_hook(forget_scale)
                added |= set(gate.parameters())
        attachment = ArchitectureAttachment.adding(model, added, context)
        if settings.reference:
            attachment.keep_at_last(added)
        return attachment
