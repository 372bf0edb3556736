"""An elementwise optimizer over named parameters whose set changes in mid-run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from calisr_engine.config.training_section import TrainingSettings
from calisr_engine.methods.base import ParameterRule, StateMove
from calisr_engine.models.components import is_no_decay

SEPARATOR = "::"


def make_optimizer(
    param_groups: list[dict[str, Any]], settings: TrainingSettings, fused: bool
) -> torch.optim.Optimizer:
    """AdamW, or SGD with momentum 0.9, as the settings say."""
    if settings.optimizer == "sgd":
        return torch.optim.SGD(param_groups, momentum=0.9, fused=fused or None)
    return torch.optim.AdamW(
        param_groups,
        betas=(settings.adam_beta1, settings.adam_beta2),
        eps=settings.adam_epsilon,
        fused=fused,
    )


class StepOptimizer:
    """AdamW (or SGD) keyed by parameter names, with a schedule that is a pure factor.

    torch's optimizers are elementwise, so stepping some parameters now and others later gives the
    same bits as stepping all at once.
    """

    def __init__(
        self,
        named: Mapping[str, nn.Parameter],
        settings: TrainingSettings,
        rules: Mapping[nn.Parameter, ParameterRule],
        fused: bool,
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._names = {parameter: name for name, parameter in named.items()}
        self._by_name: list[nn.Parameter] | None = None
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in named.items():
            groups.setdefault(self._kind(name, parameter), []).append(parameter)
        param_groups = [
            {"params": parameters, "lr": lr, "peak": lr, "weight_decay": decay}
            for (lr, decay), parameters in groups.items()
        ]
        self.torch = make_optimizer(param_groups, settings, fused)

    def _kind(self, name: str, parameter: nn.Parameter) -> tuple[float, float]:
        """(peak learning rate, weight decay) of a parameter."""
        rule = self._rules.get(parameter, ParameterRule())
        decay = 0.0 if is_no_decay(name) else self._settings.weight_decay
        return (
            rule.learning_rate or self._settings.learning_rate,
            decay if rule.weight_decay is None else rule.weight_decay,
        )

    def parameters(self) -> list[nn.Parameter]:
        """All stepped parameters, by name.

        The order decides how the global gradient norm rounds. torch's own order depends on when a
        parameter came in, which differs between a run that went on and one that was resumed.
        """
        if self._by_name is None:
            self._by_name = sorted(self._names, key=self._names.__getitem__)
        return self._by_name

    def set_factor(self, factor: float) -> None:
        """Set every group's learning rate to its peak times `factor`."""
        for group in self.torch.param_groups:
            group["lr"] = group["peak"] * factor

    def step(self) -> None:
        self.torch.step()

    def hold_back(self, bad: Tensor) -> None:
        """From now on a step changes nothing while `bad`, a float on the device, is 1.

        The fused kernels ask for it as for the infinite gradients of a GradScaler, on the device.
        """
        self.torch.found_inf = bad  # type: ignore[attr-defined]

    def zero_grad(self) -> None:
        self.torch.zero_grad(set_to_none=True)

    def drop(self, parameters: Iterable[nn.Parameter]) -> int:
        """Stop stepping `parameters`; free their gradients and state. Returns the bytes freed."""
        gone = set(parameters)
        freed = 0
        for group in self.torch.param_groups:
            group["params"] = [p for p in group["params"] if p not in gone]
        for parameter in gone:
            for value in self.torch.state.pop(parameter, {}).values():
                if isinstance(value, Tensor):
                    freed += value.numel() * value.element_size()
            if parameter.grad is not None:
                freed += parameter.grad.numel() * parameter.grad.element_size()
                parameter.grad = None
            self._names.pop(parameter, None)
        self._by_name = None
        return freed

    def forget(self, parameters: Iterable[nn.Parameter]) -> None:
        """Go on stepping `parameters`, with empty state."""
        for parameter in parameters:
            self.torch.state.pop(parameter, None)

    def add(self, name: str, parameter: nn.Parameter) -> None:
        """Begin to step `parameter`, with empty state."""
        peak, decay = self._kind(name, parameter)
        self._names[parameter] = name
        self._by_name = None
        for group in self.torch.param_groups:
            if (group["peak"], group["weight_decay"]) == (peak, decay):
                group["params"].append(parameter)
                return
        factor = (
            self.torch.param_groups[0]["lr"] / self.torch.param_groups[0]["peak"]
            if self.torch.param_groups
            else 1.0
        )
        self.torch.add_param_group(
            {"params": [parameter], "lr": peak * factor, "peak": peak, "weight_decay": decay}
        )

    def move(self, move: StateMove, name: str) -> None:
        """Begin to step `move.target` with the converted state of `move.source`."""
        state = {
            key: move.convert(value).clone()
            if isinstance(value, Tensor) and value.shape == move.source.shape
            else (value.clone() if isinstance(value, Tensor) else value)
            for key, value in self.torch.state.get(move.source, {}).items()
        }
        self.add(name, move.target)
        if state:
            self.torch.state[move.target] = state

    def tensors(self) -> dict[str, Tensor]:
        """The state as `{parameter name}::{key}` -> tensor."""
        result = {}
        for parameter, state in self.torch.state.items():
            assert isinstance(parameter, nn.Parameter)
            for key, value in state.items():
                if isinstance(value, Tensor):
                    result[f"{self._names[parameter]}{SEPARATOR}{key}"] = value
        return result

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `tensors` gave; names that are unknown here raise ValueError."""
        by_name = {name: parameter for parameter, name in self._names.items()}
        states: dict[nn.Parameter, dict[str, Any]] = {}
        for full, value in tensors.items():
            name, key = full.rsplit(SEPARATOR, 1)
            if name not in by_name:
                raise ValueError(f"optimizer state of an unknown parameter: {name}")
            parameter = by_name[name]
            # torch keeps AdamW's step count on the CPU unless the fused GPU kernel runs.
            on_device = value.shape == parameter.shape or self.torch.defaults.get("fused")
            states.setdefault(parameter, {})[key] = (
                value.to(parameter.device) if on_device else value
            )
        self.torch.state.clear()
        for parameter, state in states.items():
            self.torch.state[parameter] = state
