"""Writing a trained model as a plain transformers folder with a model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from calisr_engine.config.schema import RunConfig
from calisr_engine.storage.sealed import sealed_folder
from calisr_engine.storage.whole import tensor_bytes
from calisr_engine.task_kinds import KINDS, TaskKind
from calisr_engine.version import __version__

OWN_USE = (
    "The method changed the architecture, so calisr is needed to open it.",
    "",
    "```python",
    "from transformers import AutoTokenizer",
    "",
    "from calisr_engine.methods.reload import load_with_method",
    "",
    'model = load_with_method("THIS_FOLDER")',
)


def plain_use(kind: TaskKind) -> tuple[str, ...]:
    """How to open a model of merged weights."""
    return (
        "The weights are merged: nothing but transformers is needed.",
        "",
        "```python",
        f"from transformers import {kind.auto_class}, AutoTokenizer",
        "",
        f'model = {kind.auto_class}.from_pretrained("THIS_FOLDER")',
    )


@dataclass(frozen=True)
class CardFacts:
    """What the model card says of a run."""

    base_model: str
    task: str
    synthetic: bool
    method: str
    variant: str
    delta: float
    switched: Mapping[str, int | None]
    metric: str
    best: float | None
    best_step: int | None
    last: float | None
    seed: int
    label_names: Sequence[str] | None = None
    plain: bool = True
    control: str = "off"
    regularizer: str = ""
    kind: TaskKind = KINDS["classification"]
    threshold: float | None = None

    @classmethod
    def of(cls, config: RunConfig, **found: Any) -> CardFacts:
        """Those of a run with these settings; `found` is what only the run itself knows."""
        task = config.task
        kind = KINDS[task.data_kind or "classification"]
        return cls(
            kind=kind,
            threshold=task.threshold if kind.name == "multi_label" else None,
            base_model=_told_to_others(config.model.name),
            task=config.task.name,
            method=config.method.title,
            variant=config.calibration.variant,
            control=config.calibration.control,
            regularizer=getattr(config.regularizer.chosen, "title", ""),
            delta=config.calibration.delta,
            seed=config.training.seed,
            **found,
        )


def _told_to_others(model: str) -> str:
    """The name of a model; of a local folder the last part alone, as the card may be published."""
    local = model.startswith((".", "/", "~")) or Path(model).is_dir()
    return Path(model).name if local and Path(model).name else model


def export_merged(
    weights: Mapping[str, Tensor],
    model: nn.Module,
    tokenizer: Any,
    folder: Path,
    card: CardFacts,
    hint: str = "then `calisr resume` the run",
) -> None:
    """Write `folder` whole or not at all: config, weights, tokenizer, model card.

    `from_pretrained(folder)` of the task's class in transformers opens it. `weights` are dense fp32
    tensors under transformers' own names.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    needs = tensor_bytes(weights)
    with sealed_folder(folder, {}, "the exported model", hint, needs) as part:
        config: Any = deepcopy(model.config)
        config.architectures = [type(model).__name__]
        config.save_pretrained(part)
        plain = {key: tensor.detach().cpu().contiguous() for key, tensor in weights.items()}
        save_file(plain, part / "model.safetensors", metadata={"format": "pt"})
        tokenizer.save_pretrained(part)
        (part / "README.md").write_text(model_card(card), encoding="utf-8")


def model_card(card: CardFacts) -> str:
    """The README.md of an exported model."""
    import torch
    import transformers

    lines = [
        "---",
        "library_name: transformers",
        f"pipeline_tag: {card.kind.pipeline}",
        "tags: [calisr, stable-rank]",
        "---",
        f"# {card.base_model} on {card.task}",
        "",
        f"Fine-tuned from `{card.base_model}` with {_how(card)}.",
        "",
    ]
    if card.synthetic:
        lines += [
            "**The training data are synthetic** (sentences made by a small grammar). The model is "
            "for trying things out.",
            "",
        ]
    lines += ["| | |", "|---|---|"]
    if card.best is not None:
        lines.append(
            f"| {card.metric}, validation, best | {card.best:.4f} (step {card.best_step}) |"
        )
    if card.last is not None:
        lines.append(f"| {card.metric}, validation, last | {card.last:.4f} |")
    lines.append(f"| seed | {card.seed} |")
    for group, step in card.switched.items():
        what = "stayed in full fine-tuning" if step is None else f"light method since step {step}"
        lines.append(f"| {group} | {what} |")
    if card.label_names:
        lines.append(f"| labels | {', '.join(card.label_names)} |")
    if card.threshold is not None:
        lines.append(f"| a label is given above the probability | {card.threshold:g} |")
    lines += [
        f"| made with | calisr {__version__}, torch {torch.__version__}, "
        f"transformers {transformers.__version__} |",
        "",
        *(plain_use(card.kind) if card.plain else OWN_USE),
        'tokenizer = AutoTokenizer.from_pretrained("THIS_FOLDER")',
        "```",
        "",
        "The licence of the base model and of the data apply.",
        "",
    ]
    return "\n".join(lines)


def _how(card: CardFacts) -> str:
    beside = f"; regularised by {card.regularizer}" if card.regularizer else ""
    return f"{card.method}{_calibration(card)}{beside}"


def _calibration(card: CardFacts) -> str:
    if card.variant == "off":
        return ""
    if card.control != "off":
        return f", as a control of CaliSr-{card.variant} ({card.control}): no stable rank decided"
    return f", calibrated by stable rank (CaliSr-{card.variant}, delta {card.delta:g})"
