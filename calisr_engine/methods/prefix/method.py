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

from torch import nn

from calisr_engine.methods.base import (
    ArchitectureAttachment,
    AttachContext,
    Attachment,
    Method,
)
from calisr_engine.methods.prefix.settings import Prefix
from calisr_engine.methods.prefix_attention import add_prefixes, check_attention
from calisr_engine.models.components import Target


class PrefixMethod(Method):
    def check_model(self, model: nn.Module) -> None:
        check_attention(model, "prefix-tuning")

    def attach(
        self, model: nn.Module, targets: list[Target], settings: Prefix, context: AttachContext
    ) -> Attachment:
        """Add a prefix to each self-attention module."""
        self.check_model(model)
        lengthened = [target for target in targets if target.component in settings.pair]
        added = add_prefixes(
            model,
            lengthened,
            settings.length,
            settings.projection,
            lambda name: context.generator(f"prefix/{name}"),
        )
        attachment = ArchitectureAttachment.adding(model, added, context)
        if settings.reference:
            attachment.keep_at_last(added)
        return attachment
