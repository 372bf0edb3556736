"""A LoRA run's update as an adapter file of peft, from its base and its merged weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from calisr_engine.errors import ConfigError
from calisr_engine.methods.lora.settings import Lora
from calisr_engine.models.components import HEAD_MODULES
from calisr_engine.randomness import aside
from calisr_engine.task_kinds import kind_of_model

ROUNDING = 1e-5
"""How far the factors' product may lie from the update, relative to the matrix: merged weights are
rounded to fp32 once."""


def factors(update: Tensor, rank: int, scale: float) -> tuple[Tensor, Tensor]:
    """A (r x in) and B (out x r), fp32, with scale B A nearest to `update` (out, in).

    By the singular value decomposition in fp64; an update of rank r comes back but for rounding.
    """
    u, s, v = torch.linalg.svd(update.double() / scale, full_matrices=False)
    root = s[:rank].sqrt()
    return (root[:, None] * v[:rank]).float(), (u[:, :rank] * root).float()


def write_adapter(
    model: nn.Module,
    targets: Sequence[str],
    merged: Mapping[str, Tensor],
    settings: Lora,
    base_name: str,
    folder: Path,
) -> None:
    """Write what `merged` differs from `model` in, for `peft.PeftModel.from_pretrained`.

    Args:
        model: the model that the run began with; peft's layers are put into it.
        targets: module names of the matrices that have an update.
        merged: the run's weights under transformers' names.
        base_name: how the adapter names its base.

    Raises:
        ConfigError: an update is not of the settings' rank.
    """
    from peft import LoraConfig, get_peft_model

    heads = [name for name, _ in model.named_children() if name in HEAD_MODULES]
    modules: dict[str, Any] = {name: model.get_submodule(name) for name in targets}
    before = {name: module.weight.detach().clone() for name, module in modules.items()}
    kind = kind_of_model(model)
    config = LoraConfig(
        task_type="TOKEN_CLS" if kind.per_word else "SEQ_CLS",
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # peft takes fractions too
        lora_dropout=settings.dropout,
        target_modules=list(targets),
        modules_to_save=[*heads],  # a copy, which peft extends
        base_model_name_or_path=base_name,
    )
    with aside():
        wrapped: Any = get_peft_model(model, config)
    inner = wrapped.base_model.model
    scale = settings.alpha / settings.rank
    with torch.no_grad():
        for name in targets:
            weight = merged[f"{name}.weight"].double()
            update = weight - before[name].double()
            a, b = factors(update, settings.rank, scale)
            left = (update - scale * (b.double() @ a.double())).norm()
            if left > ROUNDING * weight.norm():
                raise ConfigError(
                    f"--adapter-only: the update of {name} is not of rank {settings.rank}",
                    "export the merged model: leave --adapter-only out",
                )
            layer = inner.get_submodule(name)
            layer.lora_A["default"].weight.copy_(a)
            layer.lora_B["default"].weight.copy_(b)
        for name in heads:
            saved = inner.get_submodule(name).modules_to_save["default"]
            own = {
                k.removeprefix(f"{name}."): v for k, v in merged.items() if k.startswith(f"{name}.")
            }
            saved.load_state_dict(own)
    wrapped.save_pretrained(folder)
