"""Whether a run can fit at all, asked before it allocates what it needs.

Lower bounds from the model, the method and the longest rows (`models/memory.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from calisr_engine.config.schema import RunConfig
from calisr_engine.config.training_section import TrainingSettings
from calisr_engine.methods.counts import CountRefusedError
from calisr_engine.methods.settings import MethodBase
from calisr_engine.models.component_names import Component
from calisr_engine.models.components import Target
from calisr_engine.models.memory import FLOAT_BYTES, check_fits
from calisr_engine.models.parts import Parts
from calisr_engine.training.context import RunContext


def check_method(
    config: RunConfig,
    device: torch.device,
    model: nn.Module,
    targets: Sequence[Target],
) -> None:
    """Refuse sizes of the method that surely do not fit, before it is attached or tried out.

    Where a library gives no count there is no bound; attaching says what it has against it.

    Raises:
        ConfigError: weights, gradients and the optimizer's state of what it trains do not fit.
    """
    settings = config.method
    if not settings.has_light_phase:
        return
    sizes = _parts(model, targets)
    try:
        count = settings.count_core(sizes, sizes.has(settings.covered(config.is_calibrated)))
    except CountRefusedError:
        return
    check_fits(
        count * FLOAT_BYTES * (2 + _moments(config.training)),
        f"{_named(settings)}: {settings.title} of this size trains {count:,} numbers and",
        f"lower {_named(settings)}",
        device,
    )


def check_optimizer(context: RunContext, model: nn.Module, stepped: Sequence[nn.Parameter]) -> None:
    """Refuse what the optimizer is to hold, if that surely does not fit.

    Raises:
        ConfigError: the model with gradients and the optimizer's state does not fit.
    """
    training = context.config.training
    trained = sum(parameter.numel() for parameter in stepped)
    held = sum(parameter.numel() for parameter in model.parameters())
    kept = sum(parameter.nbytes for parameter in model.parameters())
    check_fits(
        kept + FLOAT_BYTES * trained * (1 + _moments(training)),
        f"model.name: training {trained:,} of {held:,} numbers with {training.optimizer}",
        "use a smaller model or a method that trains less",
        context.device,
    )


def check_batches(
    context: RunContext, targets: Sequence[Target], train: Sequence[int], others: Sequence[int]
) -> None:
    """Refuse batches that surely do not fit.

    Args:
        train, others: tokens of each row of training and evaluation data.

    Raises:
        ConfigError: the batch with the longest row does not fit.
    """
    config = context.config
    size = FLOAT_BYTES if context.precision == "fp32" else 2
    layers = len({target.layer for target in targets})
    hidden = max(target.weight.shape[1] for target in targets if target.component == "query")
    inner = max(target.weight.shape[0] for target in targets if target.component == "intermediate")
    # Whatever trains, the backward pass needs the inputs of both LayerNorms and of the activation
    # of each layer (or of one at a time, beside each layer's input); without one, input and output
    # of one activation are there at once.
    layer = 2 * hidden + inner
    again = config.training.activation_checkpointing
    whole = layers if config.training.last_layer == "full" else layers - 1
    kept = (layers * hidden + layer if again else whole * layer, 2 * inner)
    cases = (("batch_size", train, kept[0]), ("eval_batch_size", others, kept[1]))
    for key, lengths, numbers in cases:
        rows = min(getattr(config.training, key), len(lengths))
        longest = max(lengths, default=0)
        check_fits(
            rows * longest * numbers * size,
            f"training.{key}: a batch of {rows:,} rows of {longest:,} tokens",
            f"lower training.{key} or task.max_length",
            context.device,
        )


def _moments(training: TrainingSettings) -> int:
    return 2 if training.optimizer == "adamw" else 1


def _named(settings: MethodBase) -> str:
    return ", ".join(f"method.{name}" for name in settings.sizes) or "[method]"


def _parts(model: nn.Module, targets: Sequence[Target]) -> Parts:
    """The sizes that `count_core` asks for, of a model that is there."""
    shapes: dict[Component, tuple[int, int]] = {}
    for target in targets:
        rows, columns = target.weight.shape
        shapes[target.component] = (rows, columns)
    words = model.get_input_embeddings().weight.shape  # type: ignore[operator]
    return Parts(
        layers=len({target.layer for target in targets}),
        hidden=shapes["query"][1],
        shapes=shapes,
        word_table=(words[0], words[1]),
        tables=0,
        norms=0,
        pooler=0,
        head=0,
        all_biases=0,
    )
