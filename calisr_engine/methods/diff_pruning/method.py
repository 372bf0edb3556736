"""Diff pruning: a sparse difference to the pretrained weights (Guo et al., 2021).

What it trains: for each covered matrix W0 + z * delta, where the gates z are pressed to zero by the
expected number of open ones. After `1 - fixed_mask_share` of the steps only `target_share` of all
differences stay, those of the largest |z * delta| over all matrices together; they train on for the
rest of the steps. Biases, LayerNorm and head train in full beside it (with `reference` only the
head does). The original covers biases and embeddings by differences too.

Choose it where many fine-tuned copies of one base are stored: a copy is 0.5 % of numbers. It is the
dearest method to train: three numbers for each weight, a matrix drawn at every step, and no saving
in the backward pass. Metrics from before the pruning are those of a model that is not sparse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from calisr_engine.methods.base import AttachContext, Attachment, Method, ParameterRule, TargetForm
from calisr_engine.methods.diff_pruning.form import DiffForm
from calisr_engine.methods.diff_pruning.settings import DiffPruning, pruned_count
from calisr_engine.models.components import Target, head_parameters


def largest(values: list[Tensor], share: float) -> list[Tensor]:
    """Masks of the `pruned_count` entries of largest magnitude over all tensors together.

    Of equal entries the earlier ones are kept, so the number is exact.
    """
    sizes = torch.cat([value.abs().flatten() for value in values])
    keep = pruned_count(share, sizes.numel())
    threshold = torch.topk(sizes, keep, sorted=False).values.min()
    mask = sizes > threshold
    ties = (sizes == threshold).nonzero().flatten()
    mask[ties[: keep - int(mask.sum())]] = True
    parts = mask.split([value.numel() for value in values])
    return [part.view(value.shape) for part, value in zip(parts, values, strict=True)]


@dataclass
class DiffPruningAttachment(Attachment):
    """Attributes: prune_step: the optimizer step after which the mask is fixed."""

    prune_step: int = 0
    target_share: float = 0.005
    sparsity_penalty: float = 0.0
    pruned: bool = False

    def __post_init__(self) -> None:
        self.after_step = self._after_step
        self.penalty = self._expected_l0
        self.extra_state = self._state
        self.load_extra_state = self._load_state

    def diff_forms(self) -> list[DiffForm]:
        return [form for form in self.forms.values() if isinstance(form, DiffForm)]

    def _expected_l0(self) -> Tensor:
        counts = [form.expected_open() for form in self.diff_forms()]
        return self.sparsity_penalty * torch.stack(counts).sum()

    def _after_step(self, step: int) -> bool:
        if step != self.prune_step or self.pruned:
            return False
        forms = self.diff_forms()
        masks = largest([form.difference() for form in forms], self.target_share)
        for form, mask in zip(forms, masks, strict=True):
            form.prune(mask)
        self._fix()
        return True

    def _fix(self) -> None:
        self.pruned, self.penalty = True, None

    def _state(self) -> dict[str, Tensor]:
        return {"pruned": torch.tensor(self.pruned)}

    def _load_state(self, state: Mapping[str, Tensor]) -> None:
        if bool(state["pruned"]):
            self._fix()


class DiffPruningMethod(Method):
    def attach(
        self,
        model: nn.Module,
        targets: list[Target],
        settings: DiffPruning,
        context: AttachContext,
    ) -> Attachment:
        """Cover every target. The forward pass stays as it was, for all differences start at zero.

        The penalty is `sparsity_penalty` times the expected number of open gates (equation 3).
        """
        forms: dict[str, TargetForm] = {}
        rules: dict[nn.Parameter, ParameterRule] = {}
        for target in targets:
            form = DiffForm(target, settings, context.seed)
            forms[target.name] = form
            rules[form.delta] = ParameterRule(context.lft_learning_rate, weight_decay=0.0)
            for parameter in form.gates():
                rules[parameter] = ParameterRule(settings.gate_lr, weight_decay=0.0)
        kept = set(head_parameters(model)) | {
            p for form in forms.values() for p in [*form.core(), form.weight]
        }
        prune_step = max(1, round((1.0 - settings.fixed_mask_share) * context.total_steps))
        return DiffPruningAttachment(
            model,
            forms,
            frozen_at_last=[p for p in model.parameters() if p not in kept]
            if settings.reference
            else [],
            rules=rules,
            notes=[
                f"diff pruning keeps {settings.target_share:.2%} of the differences after step "
                f"{prune_step}; metrics from before it are those of a model that is not sparse"
            ],
            counts_from=prune_step,
            prune_step=prune_step,
            target_share=settings.target_share,
            sparsity_penalty=settings.sparsity_penalty,
        )
