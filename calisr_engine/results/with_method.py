"""Writing a model whose architecture its method changed, for `calisr_engine.methods.reload`.

The weights do not lie under transformers' own file name, so that a plain `from_pretrained` fails
rather than open the base without its adapters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from calisr_engine.errors import ConfigError
from calisr_engine.methods.reload import FORMAT, METHOD, WEIGHTS
from calisr_engine.methods.settings import MethodBase
from calisr_engine.results.plain_export import CardFacts, model_card
from calisr_engine.storage.sealed import sealed_folder
from calisr_engine.storage.whole import tensor_bytes


def save_with_method(
    model: nn.Module,
    tokenizer: Any,
    folder: Path | str,
    settings: MethodBase,
    weights: Mapping[str, Tensor] | None = None,
    card: CardFacts | None = None,
) -> None:
    """Write `model`, to which a method of `settings` is attached, to `folder`, whole or not at all.

    `weights` (default: the model's own) are all tensors of its state dict. `tokenizer` may be None;
    with `card` a README.md is written too.

    Raises:
        ConfigError: the method's result is a plain model, which `save_pretrained` can hold.
        StorageError: the disk is full or the folder cannot be written.
    """
    if not settings.changes_architecture:
        raise ConfigError(
            f"a model trained with {settings.title} is a plain transformers model",
            "export the merged model instead",
        )
    state = model.state_dict() if weights is None else weights
    config: Any = deepcopy(model.config)
    config.architectures = [type(model).__name__]
    content = {"format": FORMAT, "method": settings.model_dump(mode="json")}
    what, needs = "the exported model", tensor_bytes(state)
    with sealed_folder(Path(folder), {}, what, "then export again", needs) as part:
        config.save_pretrained(part)
        save_file(
            {key: value.detach().cpu().contiguous().clone() for key, value in state.items()},
            part / WEIGHTS,
            metadata={"format": "pt"},
        )
        (part / METHOD).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        if tokenizer is not None:
            tokenizer.save_pretrained(part)
        if card is not None:
            (part / "README.md").write_text(model_card(card), encoding="utf-8")
