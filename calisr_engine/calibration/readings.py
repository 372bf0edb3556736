"""What a sample compares: W_LFT and W_FFT under the readings of the paper's Section 3.

The paper compares "the weights after lightweight fine-tuning" with those "after full fine-tuning"
and leaves open since when. With c a target's core, e its extra and (c, e) the matrix they make:

- step: since the optimizer step before. W_LFT = (c_t, e_{t-1}), W_FFT = (c_t, e_t). To first order
  a hit says only that the extra's own step raises the stable rank: see `docs/readings.md`.
- since_last_sample: since the sample before, at step s. W_LFT = (c_t, e_s). For a run's first
  sample, s is 0.
- branches: since the sample before, too, but W_LFT is what the light method would have made of the
  model alone: `training/branches.py`.

All leave the run as it is, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from torch import Tensor

from calisr_engine.errors import ConfigError
from calisr_engine.methods.base import TargetForm

Groups = Mapping[str, Sequence[TargetForm]]
"""Group -> the forms of its targets; those of groups in FFT."""

GroupPairs = Mapping[str, Mapping[str, Callable[[], tuple[Tensor, Tensor]]]]
"""Group -> target -> what makes (W_LFT, W_FFT), float64, of one shape."""


class Reading(Protocol):
    """One reading, for one run. Each step calls the first three in this order."""

    def before_gradients(self, waiting: Groups) -> None:
        """Before the forward pass of a step."""

    def before_update(self, sampled: Groups) -> None:
        """When the gradients are there; `sampled` is empty but at a sampling step."""

    def after_update(self, step: int) -> None:
        """After the optimizer step and `push`."""

    def pairs(self, sampled: Groups) -> GroupPairs:
        """At a sampling step, after all that."""

    def forget(self, forms: Sequence[TargetForm]) -> None:
        """Free what is kept for forms that have switched."""

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold."""

    def load_state(self, state: Mapping[str, Tensor], waiting: Groups) -> None:
        """Take back what `state` gave; the run itself has been restored."""


class StepReading:
    """`step`: the two halves of one optimizer step. Keeps nothing from step to step."""

    def before_gradients(self, waiting: Groups) -> None: ...

    def before_update(self, sampled: Groups) -> None:
        for forms in sampled.values():
            for form in forms:
                form.remember()

    def after_update(self, step: int) -> None: ...

    def pairs(self, sampled: Groups) -> GroupPairs:
        return {name: {f.target.name: f.pair for f in forms} for name, forms in sampled.items()}

    def forget(self, forms: Sequence[TargetForm]) -> None:
        for form in forms:
            form.recall(None)

    def state(self) -> dict[str, Tensor]:
        return {}

    def load_state(self, state: Mapping[str, Tensor], waiting: Groups) -> None: ...


class SinceLastSample(StepReading):
    """`since_last_sample`: the extra of each target is kept from one sample to the next.

    Costs one float32 copy of the extra of all groups in FFT.
    """

    def __init__(self) -> None:
        self._forms: dict[str, TargetForm] = {}

    def before_gradients(self, waiting: Groups) -> None:
        """Keep the extra where nothing is kept: at the run's start, and after each sample."""
        self._forms = {form.target.name: form for forms in waiting.values() for form in forms}
        for name, form in self._forms.items():
            if form.remembered() is None:
                form.remember()
                if form.remembered() is None:
                    raise ConfigError(
                        f"calibration.reading: the method keeps no extra part of {name} that could "
                        "be held from sample to sample",
                        'set calibration.reading = "step"; a method of your own keeps it as '
                        "TargetForm.remembered says",
                    )

    def before_update(self, sampled: Groups) -> None: ...

    def state(self) -> dict[str, Tensor]:
        """Target -> its extra."""
        kept = {name: form.remembered() for name, form in self._forms.items()}
        return {name: value for name, value in kept.items() if value is not None}

    def load_state(self, state: Mapping[str, Tensor], waiting: Groups) -> None:
        self._forms = {form.target.name: form for forms in waiting.values() for form in forms}
        for name, value in state.items():
            if name in self._forms:
                self._forms[name].recall(value)
