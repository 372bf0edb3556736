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
from calisr_engine.calibration.readings import Groups, Reading
from calisr_engine.methods.base import TargetForm
from calisr_engine.storage.whole import tensor_bytes, whole_file

Rule = Literal["sum", "log_sum", "vote"]


ALONE = "//extra alone"
"""Ends the names under which the comparison keeps anchors of the extra's step alone."""


class Sampler:
    """Compares stable ranks of what the light method makes against those of what the run has.

    Args:
        rule: how the matrices of a group make one comparison.
        reading: since when the two are compared.
        log_parts: whether to measure the parts of the step too, each alone.
        keep_in: folder in which every measured pair is stored (float64), or None.
    """

    def __init__(
        self,
        rule: Rule,
        reading: Reading,
        keep_in: Path | None = None,
        log_parts: bool = False,
    ) -> None:
        self.rule = rule
        self.reading = reading
        self.keep_in = keep_in
        self.log_parts = log_parts
        self.parts: dict[str, tuple[float, float]] = {}
        """Group -> (light, extra): changes of its stable rank in the newest sampled step."""
        self._whole: dict[str, Tensor] = {}
        self.comparison = CertifiedComparison()

    @torch.no_grad()
    def prepare(self, groups: Groups) -> None:
        """Begin to make, in a thread, what the first sample needs, of the weights as they are."""
        forms = [form for own in groups.values() for form in own]
        # One at a time: in float64 all of them would be twice the model.
        self.comparison.prepare(
            {form.target.name: form.effective().to("cpu", torch.float32) for form in forms}
        )

    @torch.no_grad()
    def before_update(self, groups: Groups) -> None:
        """Before the optimizer step; `groups` is empty but at a sampling step."""
        self.reading.before_update(groups)
        self.parts = {}
        if self.log_parts:
            forms = [form for own in groups.values() for form in own]
            self._whole = {form.target.name: form.effective() for form in forms}

    @torch.no_grad()
    def measure(self, groups: Groups, step: int) -> dict[str, GroupComparison]:
        """Compare every group; call after the optimizer step, `push` and the reading's own step.

        Empty where the reading has nothing to compare.
        """
        kept: dict[str, Tensor] = {}
        result = {}
        for name, made in self.reading.pairs(groups).items():
            pairs = dict(made)
            if self.keep_in is not None or self.log_parts:
                measured = {target: pair() for target, pair in pairs.items()}
                for target, (lft, fft) in measured.items() if self.keep_in is not None else ():
                    kept[f"{name}|{target}::lft"] = lft.cpu().contiguous()
                    kept[f"{name}|{target}::fft"] = fft.cpu().contiguous()
                pairs = {target: partial(_same, pair) for target, pair in measured.items()}
            result[name] = self.comparison.compare(pairs, self.rule)
            if self.log_parts:
                self.parts[name] = self._parts(result[name], measured)
        if self.keep_in is not None and result:
            final = self.keep_in / f"step-{step}.safetensors"
            hint = "then `calisr resume` the run"
            what, needs = f"the sample of step {step}", tensor_bytes(kept)
            with whole_file(final, what, hint, needs=needs) as part:
                save_file({key: _own_memory(t) for key, t in kept.items()}, part)
        return result

    def _parts(
        self, sample: GroupComparison, pairs: Mapping[str, tuple[Tensor, Tensor]]
    ) -> tuple[float, float]:
        """What the light part and the extra's change did to the group's stable rank, each alone.

        With W the weights before the step, the extra's change is W_FFT - W_LFT (the core's being in
        both), and its step alone gives W + W_FFT - W_LFT. For a sum of core and extra that is the
        old core with the new extra.
        """
        alone = {
            f"{name}{ALONE}": (self._whole[name], self._whole.pop(name) + (fft - lft))
            for name, (lft, fft) in pairs.items()
        }
        extra = self.comparison.compare(alone, self.rule)
        return sample.sr_lft - extra.sr_lft, -extra.difference

    def forget(self, forms: Sequence[TargetForm]) -> None:
        """Free what was kept for targets that have switched."""
        names = [form.target.name for form in forms]
        self.comparison.forget([*names, *(f"{name}{ALONE}" for name in names)])
        self.reading.forget(forms)


def _same(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return pair


def _own_memory(tensor: Tensor) -> Tensor:
    """safetensors refuses tensors that share memory; W_LFT may be W_FFT itself."""
    return tensor.clone()
