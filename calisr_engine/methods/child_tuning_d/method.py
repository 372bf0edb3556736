"""ChildTuning-D: the entries with the largest Fisher information on the task.

What it trains: in LFT the kept share p of each matrix ("Raise a Child in Large Language Model:
Towards Effective and Generalizable Fine-tuning", Xu et al., 2021). Costs one pass over the training
data before the first step; the light phase frees the optimizer state of the other entries, but its
backward pass is that of full fine-tuning.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from calisr_engine.methods.base import (
    AttachContext,
    Attachment,
    Method,
    ParameterRule,
    StateMove,
    Switched,
    TargetForm,
    seeded_generator,
)
from calisr_engine.methods.child_tuning_d.fisher import fisher_threshold
from calisr_engine.methods.child_tuning_d.settings import ChildTuningD, fisher_kept
from calisr_engine.models.components import Target
from calisr_engine.randomness import aside


class ChildForm(TargetForm):
    """One matrix and its mask. After the switch the kept entries are a parameter of their own.

    In FFT the matrix trains as usual; core and extra are the two halves of one ordinary step. In
    LFT the matrix is a working copy and the optimizer steps `calisr_core`, the masked entries in
    row-major order. So no other entry can move, and their optimizer state is gone.
    """

    def __init__(
        self,
        target: Target,
        mask: Tensor | None,
        expected: int,
        reference: bool,
        rules: dict[nn.Parameter, ParameterRule],
        lft_learning_rate: float | None,
    ) -> None:
        super().__init__(target)
        self._known = mask is not None
        self.mask = torch.zeros_like(target.weight, dtype=torch.bool) if mask is None else mask
        self._expected = expected
        self._reference = reference
        self._rules = rules
        self._lft_learning_rate = lft_learning_rate
        self._index: Tensor | None = None
        self._compact: nn.Parameter | None = None
        self._before: Tensor | None = None

    def core(self) -> list[nn.Parameter]:
        return [self._compact if self._compact is not None else self.weight]

    def extra(self) -> list[nn.Parameter]:
        return []

    def trainable_count(self, phase: str) -> int:
        if phase == "fft":
            return self.weight.numel()
        if not self._known:
            return self._expected
        return int(self.mask.sum())

    def pull(self) -> None:
        if self.phase == "fft" or self.weight.grad is None:
            return
        if self._compact is None:
            self.weight.grad.mul_(self.mask)
            return
        assert self._index is not None
        self._compact.grad = self.weight.grad.reshape(-1)[self._index]
        self.weight.grad = None

    @torch.no_grad()
    def push(self) -> None:
        if self._compact is not None:
            self.weight.view(-1)[self._index] = self._compact

    def remember(self) -> None:
        self._before = self.weight.detach().clone()

    def pair(self) -> tuple[Tensor, Tensor]:
        assert self._before is not None
        new = self.weight.detach()
        result = torch.where(self.mask, new, self._before).double(), new.double()
        self._before = None
        return result

    def effective(self) -> Tensor:
        return self.weight.detach().double()

    def switch(self) -> Switched:
        if self._reference:
            return Switched()
        index = self.mask.reshape(-1).nonzero().squeeze(1)
        compact = nn.Parameter(self.weight.detach().reshape(-1)[index].clone())
        self.target.module.register_parameter("calisr_core", compact)
        self._index, self._compact = index, compact
        if self._lft_learning_rate is not None:
            self._rules[compact] = ParameterRule(learning_rate=self._lft_learning_rate)
        return Switched(
            moves=(StateMove(self.weight, compact, lambda state: state.reshape(-1)[index]),)
        )

    def state(self) -> dict[str, Tensor]:
        return {"mask": self.mask}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.mask = state["mask"].to(self.weight.device)
        self._known = True


def fisher_information(
    model: nn.Module, targets: list[Target], examples: int | None, context: AttachContext
) -> dict[str, Tensor]:
    """Mean of squared gradients over batches, each tensor's gradient clipped alone.

    Training mode, with dropout drawn apart from the run's random state. Returns target name ->
    float32 tensor of the matrix's shape.
    """
    weights = [target.weight for target in targets]
    totals = [torch.zeros_like(weight) for weight in weights]
    batches = 0
    was_training = model.training
    model.train()
    device = weights[0].device
    with aside(seeded_generator(context.seed, "fisher").initial_seed(), device):
        for batch in context.gradient_batches(examples):
            gradients = torch.autograd.grad(context.forward_loss(model, batch), weights)
            for total, gradient in zip(totals, gradients, strict=True):
                limit = context.max_grad_norm
                if limit:
                    gradient = gradient * (limit / (gradient.norm() + 1e-6)).clamp(max=1.0)
                total.addcmul_(gradient, gradient)
            batches += 1
    model.train(was_training)
    return {
        target.name: total / max(1, batches) for target, total in zip(targets, totals, strict=True)
    }


def expected_kept(targets: list[Target], p: float) -> list[int]:
    """Entries that each matrix keeps if the mask is spread evenly; their sum is that of the mask.

    For counts before the Fisher pass: how many a matrix really keeps depends on the data.
    """
    ends = [0, *accumulate(target.weight.numel() for target in targets)]
    kept = fisher_kept(p, ends[-1])
    return [kept * end // ends[-1] - kept * start // ends[-1] for start, end in pairwise(ends)]


class ChildTuningDMethod(Method):
    def attach(
        self,
        model: nn.Module,
        targets: list[Target],
        settings: ChildTuningD,
        context: AttachContext,
    ) -> Attachment:
        attachment = Attachment(model, forms={})
        masks: dict[str, Tensor] = {}
        if not context.resuming:
            information = fisher_information(model, targets, settings.fisher_examples, context)
            threshold = fisher_threshold(information, settings.p)
            masks = {name: values >= threshold for name, values in information.items()}
            kept = sum(int(m.sum()) for m in masks.values()) / sum(
                m.numel() for m in masks.values()
            )
            attachment.facts.append(f"ChildTuning-D keeps {kept:.2%} of the covered weights")
            if abs(kept - settings.p) > 0.01:
                attachment.notes.append(
                    f"many weights have no gradient at all on this task, so {kept:.2%} are kept "
                    f"instead of method.p = {settings.p:.2%}"
                )
        for target, expected in zip(targets, expected_kept(targets, settings.p), strict=True):
            attachment.forms[target.name] = ChildForm(
                target,
                masks.get(target.name),
                expected,
                settings.reference,
                attachment.rules,
                context.lft_learning_rate,
            )
        if settings.refresh_at_switch:

            def refresh(forms: list[TargetForm]) -> None:
                """New masks from the present weights, among the matrices that switch now."""
                children = [form for form in forms if isinstance(form, ChildForm)]
                information = fisher_information(
                    model, [form.target for form in children], settings.fisher_examples, context
                )
                threshold = fisher_threshold(information, settings.p)
                for form in children:
                    form.load_state({"mask": information[form.target.name] >= threshold})

            attachment.before_switch = refresh
        return attachment
