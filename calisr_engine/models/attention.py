"""How transformers' encoders build their attention masks: without a look at the numbers on a GPU.

By itself transformers asks at each forward pass whether the mask hides anything at all, to leave it
out; on a GPU the host then waits for the device once a pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

UNSEEN = "calisr_sdpa"
"""Name under which transformers knows its own attention with a mask nobody looks at."""


def mask_unseen(model: nn.Module) -> None:
    """Make the masks of a model on a GPU so; nothing else changes.

    Architectures with an attention of their own are left as they are.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if getattr(model.config, "_attn_implementation", None) == "sdpa":
        install(model, UNSEEN, sdpa_attention_forward)


def install(model: nn.Module, name: str, attention: Callable[..., Any]) -> None:
    """Make every attention of `model` this one, known to transformers by `name`."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, _mask)
    model.set_attn_implementation(name)  # type: ignore[operator]


def _mask(
    *args: Any,
    attention_mask: Tensor | None = None,
    allow_is_bidirectional_skip: bool = False,
    **options: Any,
) -> Tensor | None:
    """transformers' mask; on a GPU it is never left out for what it holds."""
    from transformers.masking_utils import sdpa_mask

    read = attention_mask is None or attention_mask.device.type == "cpu"
    return sdpa_mask(
        *args,
        attention_mask=attention_mask,
        allow_is_bidirectional_skip=allow_is_bidirectional_skip and read,
        **options,
    )
