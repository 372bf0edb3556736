"""transformers' attention in the place of which another is put, and its masks.

Masks are built without a look at what they hold where that would wait. By itself transformers asks
at each forward pass whether the mask hides anything, to leave it out where it does not; on a GPU
the host then waits, once a pass, until the device has come so far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def look_at_no_mask() -> None:
    """From now on no mask on a GPU is looked at, by any model of this process."""
    from transformers import AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionMaskInterface.register("sdpa", sdpa_mask)
    AttentionMaskInterface.register("eager", lambda **given: _unseen(eager_mask, **given))


def sdpa_mask(**given: Any) -> Tensor | None:
    """transformers' own of that name; on a GPU it is left out only where there is none."""
    from transformers.masking_utils import sdpa_mask as build

    return _unseen(build, **given)


def _unseen(
    build: Callable[..., Tensor | None], attention_mask: Tensor | None = None, **given: Any
) -> Tensor | None:
    if attention_mask is not None and attention_mask.device.type != "cpu":
        given |= dict.fromkeys(("allow_is_bidirectional_skip", "allow_is_causal_skip"), False)
    return build(attention_mask=attention_mask, **given)


def use_attention(model: nn.Module, name: str, attention: Callable[..., Any]) -> None:
    """Make every attention of `model` this one, with masks as for torch's own.

    Args:
        name: under which transformers knows it, one for each function.
    """
    from transformers import AttentionInterface, AttentionMaskInterface

    changed: Any = model
    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, sdpa_mask)
    changed.set_attn_implementation(name)
