"""Prefix-tuning: trained key and value positions in every attention layer (Li and Liang, 2021).

What it trains: `length` keys and values a layer, which every token attends to, with biases,
LayerNorm and head. As in P-tuning v2 (Liu et al., 2022) the prefixes themselves are parameters,
drawn from N(0, 1), unless `projection` puts the MLP of the first paper before them. Choose it where
the matrices must stay untouched; it wants a high learning rate (1e-3 to 1e-2), and attention costs
`length` more positions. The result is no plain transformers model: `calisr_engine.methods.reload`
saves and opens it.

Ours rather than peft's: peft wraps the model, and passes prefixes as a cache, which transformers
takes for BERT's kin but not for DistilBERT. With equal prefixes both give equal results, but for
position numbers: peft's start at `length`, ours where the model's own start.
"""

from __future__ import annotations

import torch
from torch import nn

from calisr_engine.errors import ConfigError
from calisr_engine.methods.base import (
    ArchitectureAttachment,
    AttachContext,
    Attachment,
    Method,
    ParameterRule,
)
from calisr_engine.methods.prefix.attention import KEY, VALUE, install
from calisr_engine.methods.prefix.projection import CHILD, Projection, fill
from calisr_engine.methods.prefix.settings import Prefix
from calisr_engine.models.components import Target, head_parameters

SUPPORTED = ("bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta")
"""transformers' `model_type` of the architectures whose attention can be lengthened."""


class PrefixMethod(Method):
    def check_model(self, model: nn.Module) -> None:
        kind = str(getattr(model.config, "model_type", "unknown"))
        if kind not in SUPPORTED:
            raise ConfigError(
                f"method.name: prefix-tuning cannot be used with the architecture {kind!r}, whose "
                "attention takes no further keys and values",
                f"architectures it works with: {', '.join(SUPPORTED)}; or choose another method",
            )

    def attach(
        self, model: nn.Module, targets: list[Target], settings: Prefix, context: AttachContext
    ) -> Attachment:
        """Add a prefix to each self-attention module."""
        self.check_model(model)
        rules: dict[nn.Parameter, ParameterRule] = {}
        added: set[nn.Parameter] = set()
        lengthened = [target for target in targets if target.component in settings.pair]
        if settings.projection is not None:
            added = set(_project(model, lengthened, settings, context).parameters())
            lengthened = []
        for target in lengthened:
            attention = model.get_submodule(target.name.rpartition(".")[0])
            drawn = torch.randn(
                settings.length,
                target.module.out_features,
                generator=context.generator(f"prefix/{target.name}"),
            )
            parameter = nn.Parameter(drawn.to(target.weight.device))
            attention.register_parameter(KEY if target.component == "key" else VALUE, parameter)
            added.add(parameter)
        if context.lft_learning_rate is not None:
            rules = {each: ParameterRule(learning_rate=context.lft_learning_rate) for each in added}
        install(model)
        attachment = ArchitectureAttachment(model, forms={}, rules=rules)
        if settings.reference:
            kept = added | set(head_parameters(model))
            attachment.frozen_at_last = [p for p in model.parameters() if p not in kept]
        return attachment


def _project(
    model: nn.Module, targets: list[Target], settings: Prefix, context: AttachContext
) -> Projection:
    """Put the MLP below the model and let it fill the prefixes in before each forward pass."""
    assert settings.projection is not None
    places = [
        (target.name.rpartition(".")[0], KEY if target.component == "key" else VALUE)
        for target in targets
    ]
    projection = Projection(
        settings.length,
        targets[0].module.out_features,
        settings.projection,
        places,
        context.generator("prefix/projection"),
    ).to(targets[0].weight.device)
    model.add_module(CHILD, projection)
    model.register_forward_pre_hook(fill, with_kwargs=True)
    return projection
