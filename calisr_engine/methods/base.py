"""What the engine asks of a fine-tuning method.

The engine knows *targets* (the kinds of weight matrix in every encoder layer) and asks the
method for one `TargetForm` a target: how this matrix is parametrised, which of its parameters are
*core* (what the light method trains) and which are *extra* (what only full fine-tuning trains), and
which dense matrix the two make together (`effective`). Everything else in the model belongs to the
method's `Attachment`, which names what follows the last switch.

One optimizer step, as the training loop runs it:

    backward                 gradients, possibly over several micro-batches
    form.pull()              dense gradient -> gradients of the form's own parameters
    clip, [form.remember() at a sampling step], optimizer.step()
    form.push()              own parameters -> the dense matrix that the forward pass uses
    [form.pair()             (W_LFT, W_FFT) of this step, in float64]

Because the optimizer works on each element alone, stepping the core first and the extra later gives
the same numbers as stepping both at once. So a sample needs no second step: W_LFT is the new core
with the old extra, W_FFT the new core with the new extra.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from calisr_engine.errors import ConfigError
from calisr_engine.models.blocks import joined
from calisr_engine.models.components import Target, head_parameters

Phase = Literal["fft", "lft"]

OWN = "calisr_"
"""How names of parameters begin that a method registers on a model's modules."""


@dataclass(frozen=True)
class StateMove:
    """How optimizer state goes on when a switch replaces one parameter by another.

    `convert` maps a state tensor of the shape of `source` to one of the shape of `target`.
    """

    source: nn.Parameter
    target: nn.Parameter
    convert: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Switched:
    """What a switch changed: parameters that stop training, optimizer state that moves on, and
    parameters that begin to train with empty optimizer state."""

    frozen: tuple[nn.Parameter, ...] = ()
    moves: tuple[StateMove, ...] = ()
    added: tuple[nn.Parameter, ...] = ()
    left: tuple[nn.Parameter, ...] = ()
    """Dense weights that are stepped no more but go on as working copies."""


@dataclass(frozen=True)
class Reworked:
    """What a method changed after an evaluation.

    Attributes:
        messages: what the user should know of it.
        fresh: parameters that were made anew, perhaps in other shapes: their optimizer state is
            void, and the best model so far is no longer comparable.
    """

    messages: tuple[str, ...]
    fresh: tuple[nn.Parameter, ...] = ()


class TargetForm(ABC):
    """One target matrix under one method.

    Subclasses keep `phase` and hold their own parameters on `target.module` (so that they are part
    of the model's `named_parameters`), or in the dense weight itself.
    """

    phase: Phase = "fft"
    _before: Tensor | None = None
    """What `remember` kept of the extra part, until `pair` uses it."""

    def __init__(self, target: Target) -> None:
        self.target = target

    @property
    def weight(self) -> nn.Parameter:
        """The dense matrix that the forward pass uses, shape (out, in), fp32."""
        return self.target.weight

    @abstractmethod
    def core(self) -> list[nn.Parameter]:
        """Parameters that hold the core (may also hold the extra, as in ChildTuning's FFT)."""

    @abstractmethod
    def extra(self) -> list[nn.Parameter]:
        """Parameters that hold only extra; frozen and freed at the switch."""

    def trainable(self) -> list[nn.Parameter]:
        """Parameters that the optimizer steps in the present phase."""
        own = self.core() + (self.extra() if self.phase == "fft" else [])
        return list(dict.fromkeys(own))

    def trainable_count(self, phase: Phase) -> int:
        """Trainable numbers of this target in `phase` (closed formula, for reports)."""
        parameters = self.core() + (self.extra() if phase == "fft" else [])
        return sum(p.numel() for p in dict.fromkeys(parameters))

    def pull(self) -> None:  # noqa: B027
        """Turn the dense gradient into gradients of the form's own parameters (once a step)."""

    def push(self) -> None:  # noqa: B027
        """Write the form's own parameters into the dense matrix (once a step)."""

    @abstractmethod
    def remember(self) -> None:
        """Keep, as `_before`, what optimizer steps from now on may change in the extra part."""

    def remembered(self) -> Tensor | None:
        """What `remember` kept and `pair` has not used yet."""
        return self._before

    def recall(self, kept: Tensor | None) -> None:
        """Take back what `remembered` gave; None forgets it."""
        self._before = None if kept is None else kept.to(self.weight.device)

    @abstractmethod
    def pair(self) -> tuple[Tensor, Tensor]:
        """(W_LFT, W_FFT) of the steps since `remember`, float64, shape (out, in); then forget.

        W_LFT is the core as it is now with the extra as it was then.
        """

    @abstractmethod
    def effective(self) -> Tensor:
        """The dense matrix this form stands for now, float64, shape (out, in)."""

    @abstractmethod
    def switch(self) -> Switched:
        """Leave FFT for LFT: freeze the extra for good. Called once.

        A dense weight named in `frozen` computes no gradient any more; one that goes on as the
        working copy of other parameters must not be named there.
        """

    def begin_step(self, step: int) -> None:  # noqa: B027
        """Called before the forward pass of optimizer step `step` (1-based)."""

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold beside parameters (masks ...); names are the form's own."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        if state:
            raise ValueError(f"{self.target.name}: unexpected method state {sorted(state)}")


@dataclass
class AttachContext:
    """What a method may use when it attaches itself.

    Attributes:
        seed: for the method's own draws; use `generator(name)`, never the global RNG.
        calibrated: whether a calibrated or scheduled run follows (some methods have wider default
            components then).
        learning_rate, lft_learning_rate, weight_decay, max_grad_norm: the run's settings.
        total_steps: optimizer steps of the run.
        gradient_batches: yields training batches on the device, for a pass that gathers gradients
            (ChildTuning-D's Fisher pass); order is fixed, dropout is drawn apart from training.
        forward_loss: model and batch -> mean loss.
        rate_factor: optimizer step (1-based) -> factor of the learning-rate schedule.
        new_optimizer: parameter groups -> a fresh optimizer of the run's kind, for a trial step on
            copies.
    """

    seed: int
    calibrated: bool
    learning_rate: float
    lft_learning_rate: float | None
    weight_decay: float
    max_grad_norm: float
    total_steps: int
    gradient_batches: Callable[[int | None], Iterable[Mapping[str, Tensor]]]
    forward_loss: Callable[[nn.Module, Mapping[str, Tensor]], Tensor]
    rate_factor: Callable[[int], float] = lambda step: 1.0
    new_optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer] = torch.optim.AdamW
    resuming: bool = False
    """A checkpoint will be loaded after attaching: skip costly passes whose result it holds."""

    def generator(self, name: str) -> torch.Generator:
        """A CPU generator seeded by the run's seed and `name` alone."""
        return seeded_generator(self.seed, name)


def shadow_step(
    context: AttachContext,
    step: int,
    values: list[Tensor],
    gradients: list[Tensor],
    rules: list[ParameterRule],
) -> list[Tensor]:
    """`values` after the first step of a fresh optimizer; nothing of the run changes.

    Args:
        step: optimizer step of the run, for the schedule.
        values, gradients: equal shapes, one pair a parameter.
        rules: learning rate and weight decay of each; None stands for the run's own.
    """
    copies = [nn.Parameter(value.detach().clone()) for value in values]
    groups = []
    for copy, gradient, rule in zip(copies, gradients, rules, strict=True):
        copy.grad = gradient.detach().to(copy.dtype)
        peak = context.learning_rate if rule.learning_rate is None else rule.learning_rate
        decay = context.weight_decay if rule.weight_decay is None else rule.weight_decay
        groups.append(
            {"params": [copy], "lr": peak * context.rate_factor(step), "weight_decay": decay}
        )
    context.new_optimizer(groups).step()
    return [copy.detach() for copy in copies]


def seeded_generator(*parts: object, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose seed is a hash of `parts` (stable over processes and platforms).

    What it draws depends on the kind of `device`: what every device must draw alike is drawn on the
    CPU. What is drawn at each step is drawn where it is used, or the device would wait for it.
    """
    import hashlib

    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@dataclass
class ParameterRule:
    """Optimizer settings that differ from the run's for some parameters."""

    learning_rate: float | None = None
    weight_decay: float | None = None


@dataclass
class Attachment:
    """A method attached to a model.

    Attributes:
        forms: one form for each target that the method covers, in target order.
        frozen_at_last: parameters outside the forms that stop training once every group has
            switched (the engine adds embeddings and targets without a form, by settings).
        never_trained: parameters outside the forms that never train under this method.
        rules: parameter -> optimizer settings of its own.
        has_light_phase: False for full fine-tuning, where nothing ever freezes.
        counts_from: evaluations before this step do not count as the run's best.
    """

    model: nn.Module
    forms: dict[str, TargetForm]
    frozen_at_last: list[nn.Parameter] = field(default_factory=list)
    never_trained: list[nn.Parameter] = field(default_factory=list)
    rules: dict[nn.Parameter, ParameterRule] = field(default_factory=dict)
    has_light_phase: bool = True
    counts_from: int = 0
    before_switch: Callable[[list[TargetForm]], None] | None = None
    """Called with a group's forms right before it switches (ChildTuning-D's new mask)."""
    penalty: Callable[[], Tensor] | None = None
    """Added to the loss once an optimizer step (diff pruning's expected L0)."""
    after_step: Callable[[int], bool] | None = None
    """Called after each optimizer step with its number; says whether what trains changed."""
    after_evaluation: Callable[[int, float], Reworked | None] | None = None
    """Called after each planned evaluation but the last with the step and the metric."""
    compressed: Callable[[], int] | None = None
    """Numbers that hold the whole model, where the method makes them fewer (MPO with a cap)."""
    extra_state: Callable[[], dict[str, Tensor]] | None = None
    load_extra_state: Callable[[Mapping[str, Tensor]], None] | None = None
    notes: list[str] = field(default_factory=list)
    """What the user should look at before training (reconstruction error of an MPO cap ...)."""
    facts: list[str] = field(default_factory=list)
    """What asks for nothing (shapes of an MPO, the share that a mask keeps)."""

    def keep_at_last(self, kept: Iterable[nn.Parameter]) -> None:
        """Once every group has switched train these and the head, and nothing else."""
        own = {*kept, *head_parameters(self.model)}
        self.frozen_at_last = [each for each in self.model.parameters() if each not in own]

    def merged_state_dict(self) -> dict[str, Tensor] | None:
        """Weights under the plain transformers names, fp32, contiguous, without method parameters.

        None where the method changed the architecture, so that no plain model holds the result.
        This one leaves out what a method registered beside the dense weights: names in which some
        part begins with `calisr_`.
        """
        own = {
            name: value
            for name, value in self.model.state_dict().items()
            if not any(part.startswith(OWN) for part in name.split("."))
        }
        return joined(self.model, own)


class ArchitectureAttachment(Attachment):
    """For methods whose result no plain transformers model can hold."""

    @classmethod
    def adding(
        cls, model: nn.Module, added: set[nn.Parameter], context: AttachContext
    ) -> ArchitectureAttachment:
        """Of a method whose light part is what it added, which trains at the light rate."""
        rate = context.lft_learning_rate
        rules = {} if rate is None else {each: ParameterRule(learning_rate=rate) for each in added}
        return cls(model, forms={}, rules=rules)

    def merged_state_dict(self) -> None:
        return None


def dense_matrices(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Module name -> its plain matrix (out, in), of stored weights, without method parameters."""
    return {
        name.removesuffix(".weight"): value
        for name, value in tensors.items()
        if name.endswith(".weight")
        and value.dim() == 2
        and not any(part.startswith(OWN) for part in name.split("."))
    }


class Method(ABC):
    """The torch half of a fine-tuning method: how it attaches to a model. Stateless."""

    def check_model(self, model: nn.Module) -> None:  # noqa: B027
        """Refuse a model that `attach` cannot be used with; its weights may be on no device.

        Raises:
            ConfigError: the architecture does not suit the method.
        """

    def check_targets(  # noqa: B027
        self, targets: Sequence[Target], settings: Any, calibrated: bool
    ) -> None:
        """Refuse settings that `attach` cannot put around these targets; they may be on no device.

        Raises:
            ConfigError: the message begins with the settings to mend.
        """

    @abstractmethod
    def attach(
        self, model: nn.Module, targets: list[Target], settings: Any, context: AttachContext
    ) -> Attachment:
        """Attach to `model`: make one form for each of `targets`.

        All forms start in phase "fft"; the engine switches them (at step 0 for a plain light run).
        The forward pass must give what it gave before (for methods that change the architecture:
        what their own definition says at the start).
        """

    def dense_matrices(self, tensors: Mapping[str, Tensor], settings: Any) -> dict[str, Tensor]:
        """Module name -> the dense matrix (out, in) it stands for, from a checkpoint's weights.

        As `TargetForm.effective`, without a model. This one takes what the forward pass uses.
        """
        return dense_matrices(tensors)

    def write_adapter(
        self,
        model: nn.Module,
        targets: Sequence[str],
        merged: Mapping[str, Tensor],
        settings: Any,
        base_name: str,
        folder: Path,
    ) -> None:
        """Write only what the method added to `model`, for other tools (see `lora/adapter.py`).

        Raises:
            ConfigError: the method has no file format of its own.
        """
        raise ConfigError(
            f"--adapter-only: {settings.name} has no adapter file of its own",
            "export the merged model: leave --adapter-only out",
        )
