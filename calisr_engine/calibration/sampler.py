"""Measuring a sampling step: the pairs (W_LFT, W_FFT) of every group still in FFT, compared.

Measuring reads weights and writes nothing: no weight, gradient, optimizer state or global random
state changes, so a run that measures equals one that does not, to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from calisr_engine.calibration.certified import CertifiedComparison, GroupComparison
from calisr_engine.methods.base import TargetForm
from calisr_engine.storage.whole import tensor_bytes, whole_file

Rule = Literal["sum", "log_sum", "vote"]


class Sampler:
    """Compares stable ranks with only the core stepped against everything stepped.

    Args:
        rule: how the matrices of a group make one comparison.
        keep_in: folder in which every measured pair is stored (float64), or None.
    """

    def __init__(self, rule: Rule, keep_in: Path | None = None) -> None:
        self.rule = rule
        self.keep_in = keep_in
        self.comparison = CertifiedComparison()

    def remember(self, groups: Mapping[str, Sequence[TargetForm]]) -> None:
        """Keep what the coming optimizer step may change; call before it."""
        for forms in groups.values():
            for form in forms:
                form.remember()

    @torch.no_grad()
    def measure(
        self, groups: Mapping[str, Sequence[TargetForm]], step: int
    ) -> dict[str, GroupComparison]:
        """Compare every group; call after the optimizer step and `push`."""
        kept: dict[str, Tensor] = {}
        result = {}
        for name, forms in groups.items():
            pairs = {form.target.name: form.pair for form in forms}
            if self.keep_in is not None:
                measured = {target: pair() for target, pair in pairs.items()}
                for target, (lft, fft) in measured.items():
                    kept[f"{name}|{target}::lft"] = lft.cpu().contiguous()
                    kept[f"{name}|{target}::fft"] = fft.cpu().contiguous()
                pairs = {target: partial(_same, pair) for target, pair in measured.items()}
            result[name] = self.comparison.compare(pairs, self.rule)
        if self.keep_in is not None:
            final = self.keep_in / f"step-{step}.safetensors"
            hint = "then `calisr resume` the run"
            what, needs = f"the sample of step {step}", tensor_bytes(kept)
            with whole_file(final, what, hint, needs=needs) as part:
                save_file({key: _own_memory(t) for key, t in kept.items()}, part)
        return result

    def forget(self, forms: Sequence[TargetForm]) -> None:
        """Free what was kept for targets that have switched."""
        self.comparison.forget([form.target.name for form in forms])


def _same(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return pair


def _own_memory(tensor: Tensor) -> Tensor:
    """safetensors refuses tensors that share memory; W_LFT may be W_FFT itself."""
    return tensor.clone()
