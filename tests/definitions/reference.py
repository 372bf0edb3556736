"""Training by definition: plain transformers, torch's autograd, and updates written out.

Nothing of the engine is imported. A method is a set of leaves (what is trained), a function from
leaves to the plain model's weights (autograd goes back through it), and which leaves train when.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call
from transformers import BertForSequenceClassification

Leaves = dict[str, Tensor]


@dataclass
class Settings:
    """The figures of a run that its steps depend on."""

    total_steps: int
    learning_rate: float = 1e-2
    own_rates: Callable[[str], float | None] = lambda name: None
    weight_decay: float = 0.1
    decays: Callable[[str], bool] = lambda name: not plain_name_without_decay(name)
    clip: float = 0.05
    warmup: float = 0.06
    optimizer: str = "adamw"
    epsilon: float = 1e-2


def contraction(pieces: list[Tensor]) -> Tensor:
    """The matrix of a matrix product operator, tensors (r, i, j, r')."""
    joined = pieces[0]
    for piece in pieces[1:]:
        joined = torch.einsum("aijb,bklc->aikjlc", joined, piece)
        joined = joined.flatten(1, 2).flatten(2, 3)
    return joined[0, :, :, 0]


def decomposed(weight: Tensor, rows: list[int], columns: list[int]) -> list[Tensor]:
    """T_k = (lambda^-1/2 U^T)_(k-1) M (V lambda^-1/2)_k, with U, lambda, V of the unfolding at each
    bond; full bonds."""
    n = len(rows)
    axes = [axis for k in range(n) for axis in (k, n + k)]
    tensor = weight.reshape(*rows, *columns).permute(axes)
    left = [math.prod(i * j for i, j in zip(rows[:k], columns[:k], strict=True)) for k in range(n)]
    whole = weight.numel()
    before, after = [torch.ones(1, 1).double()], []
    for size in left[1:]:
        u, s, vh = torch.linalg.svd(tensor.reshape(size, whole // size), full_matrices=False)
        before.append((u / s.sqrt()).T)
        after.append(vh.T / s.sqrt())
    after.append(torch.ones(1, 1).double())
    return [
        torch.einsum(
            "al,lmr,rb->amb", before[k], tensor.reshape(left[k], i * j, -1), after[k]
        ).reshape(len(before[k]), i, j, -1)
        for k, (i, j) in enumerate(zip(rows, columns, strict=True))
    ]


def fastfood(entries: int, length: int, draws: torch.Generator) -> Tensor:
    """P (entries x length), float64: H G Pi H B as a product of whole matrices, cut to size and
    divided by sqrt(entries * sum of g^2). Drawn in the order of B, Pi, G."""
    size = 1 << math.ceil(math.log2(entries))
    rows = torch.arange(size)
    bits = rows[:, None] & rows[None, :]
    ones = sum((bits >> k) & 1 for k in range(size.bit_length()))
    hadamard = (1 - 2 * (ones % 2)).double()
    used = min(length, size)
    b = (torch.randint(0, 2, (used,), generator=draws) * 2 - 1).double()
    order = torch.randperm(size, generator=draws)
    g = torch.randn(size, generator=draws).double()
    product = hadamard @ torch.diag(g) @ torch.eye(size).double()[order] @ hadamard
    result = torch.zeros(entries, length).double()
    result[:, :used] = (product[:, :used] * b)[:entries] / (entries * g.square().sum()).sqrt()
    return result


def first_step(
    value: Tensor, gradient: Tensor, rate: float, decay: float, epsilon: float, optimizer: str
) -> Tensor:
    """One step of a fresh optimizer: its moments are the gradient's own."""
    if optimizer == "sgd":
        return value - rate * (gradient + decay * value)
    return value * (1 - rate * decay) - rate * gradient / (gradient.abs() + epsilon)


def plain_name_without_decay(name: str) -> bool:
    return name.endswith("bias") or "LayerNorm" in name


class Reference:
    """Trains `leaves` step by step; `gradients` are those of the newest step, clipped.

    Args:
        dense: leaves -> weights under the plain model's names.
        mask: leaf, its gradient -> the gradient that the method lets through.
        kept: leaf, new value, old value -> what the method lets it become.
    """

    def __init__(
        self,
        folder: Path,
        leaves: Mapping[str, Tensor],
        settings: Settings,
        dense: Callable[[Leaves], Leaves] = dict,
        mask: Callable[[str, Tensor], Tensor] = lambda name, gradient: gradient,
        kept: Callable[[str, Tensor, Tensor], Tensor] = lambda name, new, old: new,
    ) -> None:
        self.model: nn.Module = BertForSequenceClassification.from_pretrained(
            folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )
        self.model.train()
        self.leaves = {name: value.clone() for name, value in leaves.items()}
        self.settings = settings
        self.state: dict[str, dict[str, Tensor | int]] = {}
        self.step_number = 0
        self.gradients: Leaves = {}
        self.dense, self.mask, self.kept = dense, mask, kept

    def factor(self) -> float:
        """Linear warm-up from zero, then linear decay to zero."""
        total, at = self.settings.total_steps, self.step_number - 1
        warm = math.ceil(total * self.settings.warmup)
        return at / warm if at < warm else (total - at) / (total - warm)

    def step(self, batches: list[dict[str, Tensor]], trained: set[str]) -> None:
        self.step_number += 1
        leaves = {n: v.clone().requires_grad_(n in trained) for n, v in self.leaves.items()}
        total = sum(len(batch["labels"]) for batch in batches)
        for batch in batches:
            weights = self.dense(leaves)
            loss = functional_call(self.model, weights, args=(), kwargs=batch).loss
            (loss * (len(batch["labels"]) / total)).backward()
        gradients = {
            name: self.mask(name, leaf.grad)
            for name, leaf in leaves.items()
            if name in trained and leaf.grad is not None
        }
        norm = math.sqrt(sum(float(g.double().square().sum()) for g in gradients.values()))
        scale = min(1.0, self.settings.clip / (norm + 1e-6)) if self.settings.clip else 1.0
        self.gradients = {name: gradient * scale for name, gradient in gradients.items()}
        for name, gradient in self.gradients.items():
            old = self.leaves[name]
            self.leaves[name] = self.kept(name, self._moved(name, old, gradient), old)

    def _moved(self, name: str, value: Tensor, gradient: Tensor) -> Tensor:
        s = self.settings
        own = s.own_rates(name)
        rate = (s.learning_rate if own is None else own) * self.factor()
        decay = s.weight_decay if s.decays(name) else 0.0
        state = self.state.setdefault(name, {})
        if s.optimizer == "sgd":
            gradient = gradient + decay * value
            moment = state.get("m")
            state["m"] = gradient if moment is None else 0.9 * moment + gradient
            return value - rate * state["m"]
        state["t"] = t = int(state.get("t", 0)) + 1
        m = 0.9 * state.get("m", torch.zeros_like(value)) + 0.1 * gradient
        v = 0.999 * state.get("v", torch.zeros_like(value)) + 0.001 * gradient.square()
        state["m"], state["v"] = m, v
        value = value * (1 - rate * decay)
        return value - rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + s.epsilon)
