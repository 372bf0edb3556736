"""Gradients of several processes, added while the backward pass still works on the next ones.

    parameters whose gradients autograd makes whole lie in buckets, the last layer's first
    in the last backward pass of a step: a bucket that is full is sent, behind those before it
    after it: what is left is sent (zeros where this rank has no gradient), sums are waited for

Buckets and their order are the same on all ranks, whatever each of them computes. Where a form
turns the dense gradient into those of its own parameters (`pull`), these are added after it, as
without this module: after a switch they are far smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from calisr_engine.methods.base import Attachment, TargetForm
from calisr_engine.training import ranks as ranks_module
from calisr_engine.training.ranks import Ranks


class BackwardSums:
    """Adds gradients of one run over its ranks; a step calls `begin`, `arm` and `finish`."""

    def __init__(self, ranks: Ranks, model: nn.Module, attachment: Attachment) -> None:
        self._ranks, self._model, self._attachment = ranks, model, attachment
        self._planned: list[nn.Parameter] = []
        self._buckets: list[list[nn.Parameter]] = []
        self._hooks: list[Any] = []
        self._sent: list[tuple[Tensor, Any]] = []
        self._ready: set[nn.Parameter] = set()
        self._armed = False

    def begin(self, parameters: Sequence[nn.Parameter]) -> None:
        """Before the first pass of a step that steps these parameters."""
        self._sent, self._ready, self._armed = [], set(), False
        if len(parameters) != len(self._planned) or any(
            mine is not given for mine, given in zip(self._planned, parameters, strict=True)
        ):
            self._plan(parameters)

    def arm(self) -> None:
        """Before the last backward pass of this rank: what it finishes may be sent."""
        self._armed = True

    def finish(self) -> dict[nn.Parameter, Tensor]:
        """After it: parameter -> sum over all ranks, of its shape; zeros where none has any."""
        while len(self._sent) < len(self._buckets):
            self._send()
        sums: dict[nn.Parameter, Tensor] = {}
        for bucket, (flat, work) in zip(self._buckets, self._sent, strict=True):
            self._ranks.wait(work)
            parts = flat.split([parameter.numel() for parameter in bucket])
            for parameter, part in zip(bucket, parts, strict=True):
                sums[parameter] = part.view_as(parameter)
        self._sent = []
        return sums

    def _plan(self, parameters: Sequence[nn.Parameter]) -> None:
        for hook in self._hooks:
            hook.remove()
        self._planned = list(parameters)
        stepped = set(parameters) - self._pulled()
        self._buckets, size = [], 0
        for parameter in reversed(list(self._model.parameters())):
            if parameter not in stepped or self._attachment.penalty is not None:
                continue  # a penalty is added after the passes, by the first rank
            last = self._buckets[-1] if self._buckets else []
            if not last or size >= ranks_module.BUCKET_BYTES or last[0].dtype != parameter.dtype:
                self._buckets.append([])
                size = 0
            self._buckets[-1].append(parameter)
            size += parameter.numel() * parameter.element_size()
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(self._accumulated)
            for bucket in self._buckets
            for parameter in bucket
        ]

    def _pulled(self) -> set[nn.Parameter]:
        """Parameters whose gradients forms make or change after the passes."""
        forms = self._attachment.forms.values()
        pulling = [form for form in forms if type(form).pull is not TargetForm.pull]
        return {p for form in pulling for p in [form.weight, *form.core(), *form.extra()]}

    def _accumulated(self, parameter: Tensor) -> None:
        """The gradient of `parameter` is there."""
        if not self._armed:
            return
        assert isinstance(parameter, nn.Parameter)
        self._ready.add(parameter)
        while len(self._sent) < len(self._buckets) and self._ready.issuperset(
            self._buckets[len(self._sent)]
        ):
            self._send()

    def _send(self) -> None:
        bucket = self._buckets[len(self._sent)]
        with torch.no_grad():
            flat = torch.cat(
                [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in bucket]
            )
        self._sent.append((flat, self._ranks.begin_to_add(flat)))
