"""Tiny random models of each architecture, and the smallest training step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from calisr_engine.config.training_section import TrainingSettings
from calisr_engine.methods import registry
from calisr_engine.methods.base import AttachContext, Attachment
from calisr_engine.methods.catalog import METHODS
from calisr_engine.models.components import Target, find_targets, groups, take_apart
from calisr_engine.models.grouping import Grouping, Variant
from calisr_engine.training.optim import StepOptimizer
from calisr_engine.training.switch import PhaseChange, Phases

_BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "vocab_size": 99,
    "max_position_embeddings": 40,
}
_DISTIL = {
    "dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 48,
    "vocab_size": 99,
    "max_position_embeddings": 40,
}
CALIBRATABLE = [name for name, each in METHODS.items() if not each.calibration_refused]
UNCALIBRATED = [
    name for name, each in METHODS.items() if each.calibration_refused and each.has_light_phase
]
WITH_OWN_LOADER = [name for name, each in METHODS.items() if each.changes_architecture]
_MODERN = _BERT | {
    "global_attn_every_n_layers": 2,
    "local_attention": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
UNSUITED = {
    **{
        (method, architecture): "takes no further keys and values"
        for method in ("prefix", "unipelt")
        for architecture in ("DebertaV2", "ModernBert", "EuroBert")
    },
    ("bitfit", "ModernBert"): "encoder has none",
    ("bitfit", "EuroBert"): "encoder has none",
}
"""Methods that refuse an architecture, and what they say."""

ARCHITECTURES = {
    "Bert": _BERT,
    "Roberta": _BERT,
    "Electra": _BERT | {"embedding_size": 16},
    "DistilBert": _DISTIL,
    "DebertaV2": _BERT | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "ModernBert": _MODERN,
    "EuroBert": _BERT | {"num_key_value_heads": 2, "pad_token_id": 0, "mask_token_id": 4},
}


def make_model(architecture: str, seed: int = 0, dropout: float = 0.0) -> nn.Module:
    sizes = dict(ARCHITECTURES[architecture])
    for key in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        sizes[key] = dropout
    if architecture == "DistilBert":
        sizes |= dict.fromkeys(("dropout", "attention_dropout", "seq_classif_dropout"), dropout)
    if architecture == "ModernBert":
        keys = ("attention_dropout", "mlp_dropout", "embedding_dropout", "classifier_dropout")
        sizes |= dict.fromkeys(keys, dropout)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = getattr(transformers, f"{architecture}Config")(**sizes)
        model = getattr(transformers, f"{architecture}ForSequenceClassification")(config)
        for parameter in model.parameters():  # weights as spread as trained ones, biases not zero
            if parameter.dim() == 1:
                parameter.data.add_(0.05 * torch.randn(parameter.shape))
            else:
                parameter.data.mul_(4.0)
    return model


def make_apart(architecture: str, seed: int = 0) -> nn.Module:
    """The same with a linear layer for each component, as a run has it."""
    model = make_model(architecture, seed)
    take_apart(model)
    return model


def make_batch(seed: int, rows: int = 6) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 99, (rows, 9), generator=generator)
    mask = torch.ones_like(ids)
    mask[0, 6:] = 0
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "labels": torch.randint(0, 2, (rows,), generator=generator),
    }


def context(seed: int = 3, resuming: bool = False, lr: float = 1e-2) -> AttachContext:
    return AttachContext(
        seed=seed,
        calibrated=True,
        learning_rate=lr,
        lft_learning_rate=None,
        weight_decay=0.1,
        max_grad_norm=1.0,
        total_steps=20,
        gradient_batches=lambda limit: [make_batch(100), make_batch(101)],
        forward_loss=lambda model, batch: model(**batch).loss,
        resuming=resuming,
    )


class Run:
    """A model, a method attached to it, and steps by hand."""

    def __init__(
        self,
        method: str,
        architecture: str = "Bert",
        variant: Variant = "S",
        resuming: bool = False,
        model_seed: int = 0,
        optimizer: bool = True,
        **settings: Any,
    ) -> None:
        self.model = make_apart(architecture, model_seed)
        self.targets: list[Target] = find_targets(self.model)
        self.settings = METHODS[method](**settings)
        covered = [t for t in self.targets if t.component in self.settings.covered(True)]
        self.attachment: Attachment = registry.get(method).attach(
            self.model, covered, self.settings, context(resuming=resuming)
        )
        with_form = [t for t in covered if t.name in self.attachment.forms]
        grouped = groups(with_form, Grouping(variant))
        forms = {n: [self.attachment.forms[t.name] for t in ts] for n, ts in grouped.items()}
        self.phases = Phases(self.model, self.attachment, self.targets, forms, self.settings)
        self.phases.begin()
        self.optimizer: StepOptimizer | None = None
        if optimizer:
            self.build_optimizer()
        self.step_number = 0

    def build_optimizer(self) -> StepOptimizer:
        self.optimizer = StepOptimizer(
            self.phases.stepped(),
            TrainingSettings(learning_rate=1e-2, weight_decay=0.1),
            self.attachment.rules,
            fused=True,
        )
        return self.optimizer

    def gradients(self, batch: Mapping[str, Tensor]) -> float:
        self.step_number += 1
        for form in self.attachment.forms.values():
            form.begin_step(self.step_number)
        self.model.train()
        loss = self.model(**batch).loss
        loss.backward()
        if self.attachment.penalty is not None:
            self.attachment.penalty().backward()
        for form in self.attachment.forms.values():
            form.pull()
        return float(loss.detach())

    def apply(self) -> None:
        assert self.optimizer is not None
        self.optimizer.step()
        for form in self.attachment.forms.values():
            form.push()
        if self.attachment.after_step is not None:
            self.attachment.after_step(self.step_number)
        self.optimizer.zero_grad()

    def step(self, seed: int) -> float:
        loss = self.gradients(make_batch(seed))
        self.apply()
        return loss

    def switch_all(self) -> None:
        for group in self.phases.in_fft():
            self.phases.switch(PhaseChange(group, self.step_number, "hand", "test"), self.optimizer)

    def logits(self, seed: int = 55) -> Tensor:
        return evaluate(self.model, seed)


def evaluate(model: nn.Module, seed: int = 55) -> Tensor:
    batch = {k: v for k, v in make_batch(seed).items() if k != "labels"}
    was_training = model.training
    model.eval()
    with torch.no_grad():
        result = model(**batch).logits
    model.train(was_training)
    return result
