"""peft's layers: putting them into a model, and the matrix that each stands for in float64."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import torch
from peft.config import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from peft.utils import PeftType
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from calisr_engine.methods.base import OWN
from calisr_engine.methods.peft.tuners import OURS
from calisr_engine.randomness import aside

ADAPTER = "calisr"

_WIDE = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.complex64: torch.complex128,
}
_MAKING = {torch.zeros, torch.ones, torch.empty, torch.eye, torch.rand, torch.randn, torch.linspace}
_NARROWING = (Tensor.float, Tensor.half, Tensor.bfloat16)


class InDouble(TorchFunctionMode):
    """Everything in float64, also where code asks for float32 by name.

    Several tuners turn what they get into float32 first, for the sake of 16-bit weights. A matrix
    that is measured must not be rounded on the way.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _NARROWING:
            return args[0].double()
        named = tree_map(_widened, dict(kwargs or {}))
        if func in _MAKING and named.get("dtype") is None:
            named["dtype"] = torch.float64
        kept = 1 if _writes(func) else 0  # what is written to stays the same tensor
        return func(*args[:kept], *tree_map(_widened, args[kept:]), **named)


def _writes(func: Callable[..., Any]) -> bool:
    name = getattr(func, "__name__", "")
    return name in ("__setitem__", "__set__") or (name.endswith("_") and not name.endswith("__"))


def _widened(value: Any) -> Any:
    if isinstance(value, torch.dtype):
        return _WIDE.get(value, value)
    if isinstance(value, Tensor) and value.dtype in _WIDE and not isinstance(value, nn.Parameter):
        with torch._C.DisableTorchFunction():
            return value.to(_WIDE[value.dtype])
    return value


class ThroughData(TorchFunctionMode):
    """`weight.data` is the weight itself, so that its gradient is that of what a layer computes.

    Some tuners read the base weight so in their forward pass, since peft never trains it.
    """

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self._weight = weight

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func == _DATA and args[0] is self._weight:
            return self._weight
        return func(*args, **(kwargs or {}))


_DATA = Tensor.data.__get__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Classes:
    """What peft has registered for a tuner: the class of its config and that of its layers' maker
    (no `BaseTuner` for every one, and none for some that only add positions to the input)."""

    config: type[PeftConfig]
    tuner: type[nn.Module] | None


def classes_of(tuner: str) -> Classes:
    """peft's classes for a tuner by its name.

    Raises:
        ValueError, KeyError: peft knows no such tuner.
    """
    kind = PeftType(tuner.upper())
    return Classes(PEFT_TYPE_TO_CONFIG_MAPPING[kind], PEFT_TYPE_TO_TUNER_MAPPING.get(kind))


def make_config(tuner: str, options: Mapping[str, Any]) -> PeftConfig:
    """peft's config of a tuner, without the modules that it goes to.

    Lists of further modules are empty where nobody names any: peft guesses them from names of
    architectures. What would draw progress on the screen does not.

    Raises:
        Exception: whatever peft's config class refuses the options with.
    """
    kind = classes_of(tuner).config
    values: dict[str, Any] = {
        key: list(v) if isinstance(v, tuple) else v for key, v in options.items()
    }
    for field in fields(kind):
        if field.name == "progressbar":
            values.setdefault(field.name, False)
        elif field.name.endswith("_modules") and field.name not in OURS and field.default is None:
            values.setdefault(field.name, [])
    return kind(**values)


def inject(
    model: nn.Module,
    names: Sequence[str],
    tuner: str,
    options: Mapping[str, Any],
    seed: int,
) -> nn.Module:
    """Put the tuner's layers around the linear layers of these names, and return the tuner.

    What `requires_grad` says of the model's own parameters stays. Everything drawn comes from
    `seed`; the global random states are left as they were.

    Raises:
        Exception: whatever peft refuses with.
    """
    trained = {name: p.requires_grad for name, p in model.named_parameters()}
    own = dict(model.named_parameters())
    device = next(model.parameters()).device
    config: Any = make_config(tuner, options)
    config.target_modules = list(names)
    kind = classes_of(tuner).tuner
    assert kind is not None, f"peft builds no layers for {tuner}"
    with aside(seed, device), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # As peft's own inject_adapter_in_model, which refuses tuners whose layers share something
        # because it gives nobody what they share; here it is kept.
        found = kind(model, config, adapter_name=ADAPTER)
    for name, parameter in own.items():
        parameter.requires_grad_(trained[name])
    for name in names:
        _expose(model.get_submodule(name))
    return found


def pass_through_data(layer: nn.Module) -> None:
    """Let the base weight of a layer that reads `weight.data` have its gradient (`ThroughData`)."""
    layer.__class__ = _through_data(type(layer))  # type: ignore[arg-type]  # a class is hashable


@cache
def _through_data(kind: type[nn.Module]) -> type[nn.Module]:
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        weight = self.get_base_layer().weight
        if not weight.requires_grad:
            return kind.forward(self, *args, **kwargs)
        with ThroughData(weight):
            return kind.forward(self, *args, **kwargs)

    return type(kind.__name__, (kind,), {"forward": forward})


def adapter_parameters(layer: nn.Module) -> dict[str, nn.Parameter]:
    """What the tuner added to a layer, by name within it; shared ones in every layer."""
    return {
        name: parameter
        for name, parameter in layer.named_parameters(remove_duplicate=False)
        if not name.startswith("base_layer.")
    }


def merged(layer: nn.Module, base: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """Weight (out, in) and bias that the layer merges to, in float64.

    Args:
        base: another base weight in the place of the layer's own.
    """
    return merge_twin(twin_of(layer, base))


def twin_of(layer: nn.Module, base: Tensor | None = None) -> Any:
    """A copy of the layer in float64, out of training."""
    twin: Any = copy.deepcopy(layer).double().eval()
    if base is not None:
        twin.get_base_layer().weight.data = base.detach().double()
    return twin


def merge_twin(twin: Any) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a copy, which is of no use afterwards."""
    with torch.no_grad(), InDouble():
        twin.merge()
    linear = twin.get_base_layer()
    bias = None if linear.bias is None else linear.bias.detach()
    return linear.weight.detach(), bias


# Tensors that a layer keeps where no state_dict finds them ----------------------------------------


def _expose(layer: nn.Module) -> None:
    """Put every tensor that the layer needs and only derives once into its state_dict.

    Bases that are drawn and factors of the first base weight would come out otherwise on another
    machine, or from the weights of a checkpoint.
    """
    for module in layer.modules():
        module._non_persistent_buffers_set.clear()
    for number, (holder, key) in enumerate(_loose(layer)):
        layer.register_buffer(f"{OWN}{number}", holder[key])


def _loose(layer: nn.Module) -> list[tuple[Any, Any]]:
    """(holder, key) of each tensor in plain attributes of the layer and its modules."""
    found: list[tuple[Any, Any]] = []
    for name, module in layer.named_modules():
        if name == "base_layer" or name.startswith("base_layer."):
            continue
        for key, value in vars(module).items():
            if key in ("_parameters", "_buffers", "_modules"):
                continue
            if isinstance(value, Tensor):
                found.append((vars(module), key))
            elif isinstance(value, dict):
                found += [(value, each) for each, held in value.items() if isinstance(held, Tensor)]
    return found


def restore(layer: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Take the tensors of a state_dict, by name within the layer; another shape is taken over.

    Raises:
        KeyError: the layer has a tensor that is not among them, or lacks one of them.
    """
    bare = {"base_layer.bias"} - tensors.keys()  # a skeleton has biases
    other = layer.state_dict().keys() - bare ^ tensors.keys()
    if other:
        raise KeyError(min(other))
    loose = _loose(layer)
    for name, value in tensors.items():
        path, _, last = name.rpartition(".")
        module = layer.get_submodule(path)
        held = module._parameters.get(last, module._buffers.get(last))
        if held is not None and held.shape == value.shape:
            held.data.copy_(value)
        elif last in module._parameters:
            module._parameters[last] = nn.Parameter(value, requires_grad=False)
        elif last in module._buffers:
            module._buffers[last] = value
            if not path and last.startswith(OWN):
                holder, key = loose[int(last.removeprefix(OWN))]
                holder[key] = value


def in_short(error: BaseException) -> str:
    """What peft says, in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__
