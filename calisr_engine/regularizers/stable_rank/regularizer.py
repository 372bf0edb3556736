"""Stable rank normalisation of the target matrices (Sanyal, Torr and Dokania, 2020).

With W = sum sigma_i u_i v_i^T, S1 = sigma_1 u_1 v_1^T the part of the spectrum that is kept (their
partition index k = 1) and S2 = W - S1, the matrix of stable rank r that is nearest to W in the
Frobenius norm and keeps S1 is (their Theorem 1)

    S1 + gamma S2,   gamma = sqrt(r - 1) sigma_1 / ||S2||_F         where SR(W) > r

and W itself where SR(W) <= r. Their Algorithm 2 computes it in each forward pass with one power
iteration, begun where the last ended. Here it is applied to the weights themselves, at the start
and after each optimizer step, with the singular vectors in float64: so the weights that train are
those that are measured, evaluated and exported, and the gradient is not taken through it (a
projected gradient). Their classifiers also divide by sigma_1 (spectral normalisation), which would
undo pretraining, and is left out.

It covers the targets that are fully fine-tuned; with LoRA the base without its update. A sample is
taken before it, so a hit says what the optimizer step did, as ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from calisr_engine.calibration.stable_rank import tall, to_double
from calisr_engine.methods.base import Attachment
from calisr_engine.models.components import Target
from calisr_engine.regularizers.base import (
    Fixed,
    Regularization,
    Regularizer,
    RegularizerContext,
)
from calisr_engine.regularizers.stable_rank.settings import StableRankNormalization

VECTOR, TARGET = "vector", "target"
"""Names in a checkpoint, after that of the matrix: v_1 and r."""


def top_right_vector(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(v_1 of shape (in,), SR(W) as a scalar) of a float64 matrix (out, in), exactly."""
    narrow = tall(weight)
    values, vectors = torch.linalg.eigh(narrow.mT @ narrow)
    top, vector = values[-1].clamp_min(torch.finfo(weight.dtype).tiny), vectors[:, -1]
    if narrow.shape != weight.shape:  # v of the transpose is u
        vector = weight.mT @ vector
    return unit(vector), weight.square().sum() / top


def unit(vector: Tensor) -> Tensor:
    return vector / torch.linalg.vector_norm(vector).clamp_min(torch.finfo(vector.dtype).tiny)


def normalized(
    weight: Tensor, vector: Tensor, target: Tensor, iterations: int
) -> tuple[Tensor, Tensor]:
    """(S1 + gamma S2, v_1 after the power iterations), for a float64 matrix (out, in).

    Args:
        vector: an estimate of v_1, (in,); target: r, a scalar of at least 1.
    """
    for _ in range(iterations):
        left = unit(weight @ vector)
        right = weight.mT @ left
        sigma = torch.linalg.vector_norm(right)
        vector = unit(right)
    first = sigma * torch.outer(left, vector)
    rest = weight - first
    length = torch.linalg.vector_norm(rest).clamp_min(torch.finfo(weight.dtype).tiny)
    gamma = ((target - 1.0).clamp_min(0.0).sqrt() * sigma / length).clamp_max(1.0)
    return torch.where(gamma < 1.0, first + gamma * rest, weight), vector


@dataclass
class StableRankRegularization(Regularization):
    """Attributes: vectors: v_1 by the name of its target; ranks: r."""

    settings: StableRankNormalization = field(default_factory=StableRankNormalization)
    vectors: dict[str, Tensor] = field(default_factory=dict)
    ranks: dict[str, Tensor] = field(default_factory=dict)

    @torch.no_grad()
    def begin(self) -> None:
        """Find each matrix's vector and target, and normalise it for the first time."""
        settings, below, own = self.settings, 0, []
        for target in self.in_full():
            weight = to_double(target.weight)
            vector, rank = top_right_vector(weight)
            side = weight.new_tensor(float(min(weight.shape)))
            scale = {"start": rank, "side": side, "one": torch.ones_like(side)}
            wanted = (settings.stable_rank_target * scale[settings.stable_rank_of]).clamp_min(1.0)
            self.vectors[target.name], self.ranks[target.name] = vector, wanted
            below += bool(rank <= wanted)
            own.append(float(rank))
        if own:
            self.facts.append(
                f"stable rank normalisation covers {len(own)} matrices, of stable rank "
                f"{min(own):.1f} to {max(own):.1f}; {len(own) - below} are above their target"
            )
        if own and below == len(own):
            self.notes.append(
                "regularizer.stable_rank_target: every matrix is below its target already, so "
                'nothing is normalised; lower it, or set regularizer.stable_rank_of = "start"'
            )
        self.after_step(0)

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        for target in self.in_full():
            name, weight = target.name, target.weight
            result, self.vectors[name] = normalized(
                to_double(weight),
                self.vectors[name],
                self.ranks[name],
                self.settings.stable_rank_iterations,
            )
            weight.copy_(result)

    def state(self) -> dict[str, Tensor]:
        both = ((VECTOR, self.vectors), (TARGET, self.ranks))
        return {f"{name}::{kind}": t for kind, own in both for name, t in own.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        devices = {t.name: to_double(t.weight[:1, :1]).device for t in self.targets}
        # Earlier versions also held the matrices that are light from the first step on.
        state = {full: t for full, t in state.items() if full.rsplit("::", 1)[0] in devices}
        own = {VECTOR: self.vectors, TARGET: self.ranks}
        for full, value in state.items():
            name, kind = full.rsplit("::", 1)
            own[kind][name] = value.to(devices[name])


class StableRankRegularizer(Regularizer):
    def attach(
        self,
        model: nn.Module,
        targets: Sequence[Target],
        attachment: Attachment,
        settings: StableRankNormalization,
        start: Fixed,
        context: RegularizerContext,
    ) -> Regularization:
        found = StableRankRegularization(targets, attachment, settings=settings)
        if not context.resuming:
            found.begin()
        return found
