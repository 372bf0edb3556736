"""Phases: which parameters train now, and the change from FFT to LFT.

Calibrated, scheduled and plain runs, and a switch by hand, all go through `Phases.switch`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from calisr_engine.events.types import Cause
from calisr_engine.methods.base import Attachment, Phase, StateMove, TargetForm
from calisr_engine.methods.settings import MethodBase
from calisr_engine.models.components import Target, embedding_parameters
from calisr_engine.training.optim import StepOptimizer

RunPhase = Literal["fft", "mixed", "lft"]


@dataclass(frozen=True)
class PhaseChange:
    """One switch, as checkpoints and reports keep it; `why` is the reason in words."""

    group: str
    step: int
    cause: Cause
    why: str


@dataclass(frozen=True)
class SwitchResult:
    """Trainable parameters around a switch, and the bytes of gradients and state it freed."""

    trainable_before: int
    trainable: int
    freed_bytes: int


class Phases:
    """The groups of one run and their phases: the one who knows; everyone else asks it.

    Attributes:
        groups: group name -> the forms of its targets.
        changes: switches so far, in order; a group that is not among them is in FFT.
        counted: trainable numbers as of the newest switch or `count`.
        rounds_frozen: keep weights of linear layers that stop training in bf16.
    """

    rounds_frozen = False

    def __init__(
        self,
        model: nn.Module,
        attachment: Attachment,
        targets: list[Target],
        groups: Mapping[str, list[TargetForm]],
        settings: MethodBase,
    ) -> None:
        self.model = model
        self.attachment = attachment
        self.groups = dict(groups)
        self._targets = targets
        self.changes: list[PhaseChange] = []
        self._names = {p: n for n, p in model.named_parameters(remove_duplicate=False)}
        uncovered = [t.weight for t in targets if t.name not in attachment.forms]
        self._with_last = list(attachment.frozen_at_last)
        frees_embeddings = settings.embeddings != "train" and (
            settings.elsewhere == "frozen" or not uncovered
        )
        if attachment.has_light_phase:
            if settings.elsewhere == "frozen":
                self._with_last += uncovered
            if frees_embeddings:
                self._with_last += embedding_parameters(model)
        self._with_last = list(dict.fromkeys(self._with_last))
        self._own = {p for form in attachment.forms.values() for p in [*form.core(), *form.extra()]}
        # Working copies carry gradients for a form but are never stepped themselves.
        self._working = {form.weight for form in attachment.forms.values()} - self._own
        self._frozen: set[nn.Parameter] = set()
        self._rounded: set[nn.Parameter] = set()
        grouped = {form for forms in self.groups.values() for form in forms}
        # Forms outside all groups (MPO embeddings) follow the last group.
        self._followers = [f for f in attachment.forms.values() if f not in grouped]
        following = {p for f in self._followers for p in [f.weight, *f.core(), *f.extra()]}
        self._with_last = [p for p in self._with_last if p not in following]
        for parameter in attachment.never_trained:
            parameter.requires_grad_(False)
        self.counted = 0

    @property
    def lft_complete(self) -> bool:
        """Whether every group has switched (true from the start where there are no groups)."""
        return all(self.phase(group) == "lft" for group in self.groups)

    def phase(self, group: str) -> Phase:
        return "lft" if any(change.group == group for change in self.changes) else "fft"

    def in_fft(self) -> list[str]:
        return [group for group in self.groups if self.phase(group) == "fft"]

    def light_after(self, changes: Iterable[PhaseChange], step: int) -> set[str]:
        """Names of the targets that train as wholes no more once the changes up to `step` are done:
        those of their groups; with the last one those that are frozen then."""
        switched = {change.group for change in [*self.changes, *changes] if change.step <= step}
        light = {form.target.name for group in switched for form in self.groups[group]}
        if switched >= self.groups.keys():
            frozen = set(self._with_last)
            light |= {target.name for target in self._targets if target.weight in frozen}
        return light

    def stepped(self) -> dict[str, nn.Parameter]:
        """Parameters that the optimizer steps now, by name."""
        forms: dict[nn.Parameter, None] = {}
        for form in self.attachment.forms.values():
            forms.update(dict.fromkeys(form.trainable()))
        never = set(self.attachment.never_trained)
        gone = set(self._with_last) if self.lft_complete else set()
        result: dict[str, nn.Parameter] = {}
        for name, parameter in self.model.named_parameters():
            if parameter in forms or not (
                parameter in self._own
                or parameter in self._working
                or parameter in never
                or parameter in gone
            ):
                result[name] = parameter
        return result

    def trainable(self) -> int:
        """Trainable numbers now (ChildTuning-F counts the share that a step moves)."""
        return self._count(lambda form: form.phase, self.lft_complete)

    def count(self) -> None:
        """Count anew; for whoever changed what trains by other means than a switch."""
        self.counted = self.trainable()

    def of_run(self) -> RunPhase:
        """ "fft", "lft", or "mixed" while some groups have switched."""
        waiting = len(self.in_fft())
        if waiting == 0:
            return "lft" if self.attachment.has_light_phase else "fft"
        return "fft" if waiting == len(self.groups) else "mixed"

    def trainable_when_complete(self) -> int:
        """Trainable numbers once every group has switched."""
        return self._count(lambda form: "lft", True)

    def ended_when_complete(self) -> set[nn.Parameter]:
        """What the optimizer steps no more once every group has switched."""
        forms = self.attachment.forms.values()
        extra = {p for form in forms for p in form.extra()} - {p for f in forms for p in f.core()}
        return (extra | set(self._with_last)) - self._working

    def _count(self, phase_of: Callable[[TargetForm], Phase], last_over: bool) -> int:
        never = set(self.attachment.never_trained)
        gone = set(self._with_last) if last_over else set()
        outside = 0
        for parameter in dict.fromkeys(self.model.parameters()):
            skip = parameter in self._own or parameter in self._working
            if not (skip or parameter in never or parameter in gone):
                outside += parameter.numel()
        inside = sum(
            form.trainable_count(phase_of(form)) for form in self.attachment.forms.values()
        )
        return outside + inside

    def begin(self) -> None:
        """Set `requires_grad` before the first step (before the optimizer is built)."""
        if self.lft_complete:
            self._freeze(self._with_last)
        self.count()

    def switch(self, change: PhaseChange, optimizer: StepOptimizer | None) -> SwitchResult:
        """Move a group from FFT to LFT for good.

        Its extra part is frozen: no gradient, no optimizer state, no weight decay. The core's
        optimizer state goes on. With the last group go the embeddings and whatever the method and
        the settings freeze then. `optimizer` is None when a checkpoint's switches are replayed
        before the optimizer is built.
        """
        if self.phase(change.group) == "lft":
            raise ValueError(f"group {change.group} has already switched")
        before = self.counted
        frozen: list[nn.Parameter] = []
        moves: list[StateMove] = []
        added: list[nn.Parameter] = []
        left: list[nn.Parameter] = []
        forms = list(self.groups[change.group])
        if self.attachment.before_switch is not None and optimizer is not None:
            self.attachment.before_switch(forms)
        self.changes.append(change)
        if self.lft_complete:
            forms += self._followers
        for form in forms:
            result = form.switch()
            form.phase = "lft"
            frozen += result.frozen
            moves += result.moves
            added += result.added
            left += result.left
        self._frozen |= set(frozen)
        if self.lft_complete:
            frozen += self._with_last
        freed = 0
        self._own |= {p for form in forms for p in [*form.core(), *form.extra()]}
        self._working = (
            {form.weight for form in self.attachment.forms.values()}
            - {p for form in self.attachment.forms.values() for p in form.trainable()}
            - self._frozen
        )
        rounded = self._freeze(p for p in frozen if p not in self._working)
        if optimizer is not None:
            self._names = {p: n for n, p in self.model.named_parameters(remove_duplicate=False)}
            for move in moves:
                optimizer.move(move, self._names[move.target])
            for parameter in added:
                optimizer.add(self._names[parameter], parameter)
            sources = [move.source for move in moves]
            freed = optimizer.drop([*frozen, *sources, *left])
        self.count()
        return SwitchResult(before, self.counted, freed + rounded)

    def round_ahead(self) -> None:
        """Round what is frozen once every group has switched, which is before the first step; so
        the model never is on its device as a whole in fp32."""
        self._round(self.ended_when_complete())

    def _freeze(self, parameters: Iterable[nn.Parameter]) -> int:
        """End the training of `parameters`; returns the bytes that rounding them gives back."""
        ended = list(parameters)
        for parameter in ended:
            parameter.requires_grad_(False)
        self._round(ended)
        given_back = self._rounded.intersection(ended)
        self._rounded -= given_back
        return sum(parameter.nbytes for parameter in given_back)

    def _round(self, parameters: Iterable[nn.Parameter]) -> None:
        """Keep these in bf16 from now on, where the settings say so.

        Only weights of linear layers are rounded: a forward pass under autocast reads these, and
        nothing else, in bf16 whatever they are kept in.
        """
        if not self.rounds_frozen:
            return
        linear = {m.weight for m in self.model.modules() if type(m) is nn.Linear}
        for parameter in parameters:
            if parameter in linear and parameter.dtype == torch.float32:
                parameter.data = parameter.data.bfloat16()
                self._rounded.add(parameter)
