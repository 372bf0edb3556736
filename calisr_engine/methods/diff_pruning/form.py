"""One matrix under diff pruning: W = W0 + z * delta."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from calisr_engine.errors import ConfigError
from calisr_engine.methods.base import Switched, TargetForm
from calisr_engine.methods.diff_pruning.gates import gate, gate_slope, noise, open_probability
from calisr_engine.methods.diff_pruning.settings import DiffPruning
from calisr_engine.models.components import Target


class DiffForm(TargetForm):
    """The dense weight is a working copy of `calisr_base` + z * `calisr_delta`.

    While the gates train, z is drawn for each step (and at rest between steps, so that evaluation
    sees the gate without noise); a structured form multiplies it by one gate of the whole matrix.
    After `prune` z is gone: the surviving entries of `calisr_delta` train, all others are zero, and
    there W equals W0 to the bit.

    Attributes:
        mask: surviving entries, bool, shape (out, in); None until `prune`.
    """

    def __init__(self, target: Target, settings: DiffPruning, seed: int) -> None:
        super().__init__(target)
        weight = target.weight
        module = target.module
        self.delta = nn.Parameter(torch.zeros_like(weight))
        self.log_alpha = nn.Parameter(torch.full_like(weight, settings.alpha_init))
        self.matrix_log_alpha = (
            nn.Parameter(weight.detach().new_full((), settings.alpha_init))
            if settings.structured
            else None
        )
        module.register_parameter("calisr_delta", self.delta)
        module.register_parameter("calisr_log_alpha", self.log_alpha)
        if self.matrix_log_alpha is not None:
            module.register_parameter("calisr_matrix_log_alpha", self.matrix_log_alpha)
        # The pretrained weights come again with the model: no checkpoint need hold them.
        module.register_buffer("calisr_base", weight.detach().clone(), persistent=False)
        self.mask: Tensor | None = None
        self._seed = seed
        self._z: Tensor | None = None
        self._matrix_z: Tensor | None = None

    @property
    def base(self) -> Tensor:
        """W0, the pretrained matrix."""
        return self.target.module.get_buffer("calisr_base")

    def gates(self) -> list[nn.Parameter]:
        both = [self.log_alpha]
        return both if self.matrix_log_alpha is None else [*both, self.matrix_log_alpha]

    def core(self) -> list[nn.Parameter]:
        return [self.delta, *self.gates()]

    def extra(self) -> list[nn.Parameter]:
        return []

    def trainable_count(self, phase: str) -> int:
        """Differences and gates; after pruning the surviving differences."""
        if self.mask is not None:
            return int(self.mask.sum())
        return sum(p.numel() for p in self.core())

    @torch.no_grad()
    def begin_step(self, step: int) -> None:
        """Draw this step's gates and write the matrix they give."""
        if self.mask is not None:
            return
        device, key = self.weight.device, (self._seed, "diff_pruning", self.target.name, step)
        self._z = gate(self.log_alpha, noise(self.log_alpha.shape, device, *key))
        if self.matrix_log_alpha is not None:
            drawn = noise(self.matrix_log_alpha.shape, device, *key, "matrix")
            self._matrix_z = gate(self.matrix_log_alpha, drawn)
        self._write(self._gated(self._z, self._matrix_z))

    @torch.no_grad()
    def pull(self) -> None:
        """d loss / d W gives those of the difference and of the gates, beside the penalty's."""
        gradient, self.weight.grad = self.weight.grad, None
        if gradient is None:
            return
        if self.mask is not None:
            self.delta.grad = gradient.masked_fill_(~self.mask, 0.0)
            return
        assert self._z is not None
        along = gradient * self.delta
        whole = self._matrix_z
        if self.matrix_log_alpha is not None:
            assert whole is not None
            _add(self.matrix_log_alpha, (along * self._z).sum() * gate_slope(whole))
            along.mul_(whole)
        _add(self.log_alpha, along.mul_(gate_slope(self._z)))
        self.delta.grad = gradient.mul_(self._z if whole is None else self._z * whole)

    @torch.no_grad()
    def push(self) -> None:
        if self.mask is not None:
            # Momentum from before the pruning would move entries that have no gradient any more.
            self.delta.masked_fill_(~self.mask, 0.0)
            self._write(self.delta)
            return
        self._z = self._matrix_z = None
        self._write(self.difference())

    @torch.no_grad()
    def difference(self) -> Tensor:
        """z * delta with the gates at rest, shape (out, in); after pruning delta."""
        if self.mask is not None:
            return self.delta.detach().clone()
        matrix = None if self.matrix_log_alpha is None else gate(self.matrix_log_alpha)
        return self._gated(gate(self.log_alpha), matrix)

    def _gated(self, z: Tensor, matrix_z: Tensor | None) -> Tensor:
        return self.delta * (z if matrix_z is None else z * matrix_z)

    def _write(self, difference: Tensor) -> None:
        # Where nothing is added W0 stays as it is, to the sign of a zero.
        torch.where(difference != 0, self.base + difference, self.base, out=self.weight.data)

    def expected_open(self) -> Tensor:
        """Expected number of entries whose gate is open (differentiable scalar)."""
        count = open_probability(self.log_alpha).sum()
        if self.matrix_log_alpha is not None:
            count = count * open_probability(self.matrix_log_alpha)
        return count

    @torch.no_grad()
    def prune(self, mask: Tensor) -> None:
        """Keep the entries under `mask` with the difference they have now; drop the gates."""
        kept = self.difference().masked_fill_(~mask, 0.0)
        self.mask = mask
        self.delta.copy_(kept)
        for parameter in self.gates():
            parameter.grad = None
        self.push()

    def remember(self) -> None:
        raise ConfigError(DiffPruning.calibration_refused)

    def pair(self) -> tuple[Tensor, Tensor]:
        raise ConfigError(DiffPruning.calibration_refused)

    def effective(self) -> Tensor:
        return self.base.double() + self.difference().double()

    def switch(self) -> Switched:
        return Switched()

    def state(self) -> dict[str, Tensor]:
        return {} if self.mask is None else {"mask": self.mask}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        rest = dict(state)
        mask = rest.pop("mask", None)
        super().load_state(rest)
        self.mask = None if mask is None else mask.to(self.weight.device, torch.bool)


def _add(parameter: nn.Parameter, gradient: Tensor) -> None:
    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
