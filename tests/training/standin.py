"""A stand-in accelerator: a second device whose tensors cannot mix with the CPU's.

torch's `PrivateUse1` device as a Python backend. A tensor of the device wraps one of the CPU that
does the arithmetic, and each operation is checked as a GPU would: its tensors on one device, but
for CPU scalars in elementwise arithmetic and for copies; generators of the device that draws. The
device has a random stream of its own. Counted are the operations for which the host would wait
until the device is done (`waits`), and copies of memory that is not pinned, which it waits for too.

Not tried here: speed, rounding, streams and memory of a real device, and what its kernels lack.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakSet

import pytest
import torch
from torch import Tensor
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import (
    _DummyPrivateUse1Hook,
    _setup_privateuseone_for_python_backend,
)

NAME = "standin"
aten = torch.ops.aten

COPIES = {aten._to_copy, aten.copy_}
WAITING = {
    aten.linalg_eigh,
    aten._linalg_eigh,
    aten._linalg_svd,
    aten.linalg_qr,
}
"""Beside those that torch itself tags as dependent on data: the host reads their status."""

_on = False
_stream: list[Tensor] = []


class Module:
    """What `torch.get_device_module` gives for the device."""

    def is_available(self) -> bool:
        return _on

    def is_initialized(self) -> bool:
        return True

    def device_count(self) -> int:
        return int(_on)

    def current_device(self) -> int:
        return 0

    def set_device(self, device: Any) -> None:
        assert torch.device(device).type == NAME

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        _stream[:] = [torch.Generator().manual_seed(seed).get_state()]

    manual_seed = manual_seed_all

    def get_rng_state(self, device: Any = None) -> Tensor:
        return _stream[0].clone()

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        assert state.device.type == "cpu"
        _stream[:] = [state.clone()]

    def device(self, device: Any) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def empty_cache(self) -> None:
        waits["empty_cache"] += 1

    def synchronize(self, device: Any = None) -> None:
        waits["synchronize"] += 1


class Hook(_DummyPrivateUse1Hook):
    def is_available(self) -> bool:
        return _on


class FarGenerator(torch.Generator):
    """A generator of the device."""


_generators: WeakSet[FarGenerator] = WeakSet()
waits: Counter[str] = Counter()


class Far(Tensor):
    """A tensor of the device; `raw` holds its numbers, on the CPU."""

    raw: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, raw: Tensor) -> Far:
        far = Tensor._make_wrapper_subclass(
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=torch.device(NAME, 0),
        )
        far.raw = raw
        return far

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return call(func, args, kwargs or {})

    @property
    def data(self) -> Tensor:
        return Tensor.data.__get__(self)

    @data.setter
    def data(self, value: Tensor) -> None:
        assert isinstance(value, Far)
        Tensor.data.__set__(self, value)
        self.raw = value.raw

    def data_ptr(self) -> int:
        return self.raw.data_ptr()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("cannot convert a tensor of the device to numpy; use .cpu() first")

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) in memo:
            return memo[id(self)]
        copy = Far(self.raw.clone()).requires_grad_(self.requires_grad)
        copy.__dict__ |= {k: v for k, v in self.__dict__.items() if k != "raw"}
        memo[id(self)] = copy
        return copy

    def __repr__(self) -> str:
        return f"Far({self.raw!r})"


def call(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run one operation as the device would, or raise as it would."""
    tensors: list[Tensor] = []
    raw_args, raw_kwargs = _raw(args, tensors), _raw(kwargs, tensors)
    known = {id(each.raw): each for each in tensors if isinstance(each, Far)}
    to = kwargs.get("device")
    result_far = bool(known) if to is None else torch.device(to).type == NAME
    if not known and not result_far:
        return func(*args, **kwargs)
    packet = func.overloadpacket
    if packet is aten._fused_sdp_choice:
        return 0  # plain arithmetic, as the device has no kernel of its own
    if packet in COPIES:
        _count_copy(packet, args, kwargs, result_far)
    else:
        _check_together(func, args, tensors)
        _check_generator(func, kwargs, result_far)
        if _waits(func, args):
            waits[str(packet)] += 1
    if to is not None:
        raw_kwargs["device"] = torch.device("cpu")
    raw_kwargs.pop("pin_memory", None)
    seeded = torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is None
    with _device_stream() if seeded else contextlib.nullcontext():
        result = func(*raw_args, **raw_kwargs)
    if torch.Tag.inplace_view in func.tags:
        _as_its_raw(func, args, kwargs)
    if packet is aten.copy_:
        return args[0]
    return _wrapped(result, known) if result_far else result


def _raw(value: Any, tensors: list[Tensor]) -> Any:
    """The value with raw tensors for those of the device; all its tensors go into the list."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return value.raw if isinstance(value, Far) else value
    if isinstance(value, list | tuple):
        return type(value)([_raw(each, tensors) for each in value])
    if isinstance(value, dict):
        return {key: _raw(each, tensors) for key, each in value.items()}
    return value


def _wrapped(value: Any, known: dict[int, Far]) -> Any:
    if isinstance(value, Tensor):
        return known[id(value)] if id(value) in known else Far(value)
    if isinstance(value, list | tuple):
        return type(value)([_wrapped(each, known) for each in value])
    return value


def _as_its_raw(func: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """Give the tensor the shape that its raw one got in place, as torch's own wrappers do."""
    with no_dispatch():
        before = torch._C._meta_in_tls_dispatch_include()
        torch._C._set_meta_in_tls_dispatch_include(True)
        try:
            func(*args, **kwargs)
        finally:
            torch._C._set_meta_in_tls_dispatch_include(before)


def _check_together(func: Any, args: Any, tensors: list[Tensor]) -> None:
    scalars = torch.Tag.pointwise in func.tags or func.overloadpacket is aten.where
    if func._schema.is_mutable and isinstance(args[0], Tensor) and not isinstance(args[0], Far):
        scalars = False  # a CPU scalar may be read, not written
    strays = [t for t in tensors if not isinstance(t, Far) and not (scalars and t.dim() == 0)]
    if strays:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found {NAME} and cpu! "
            f"({func}, cpu: {[tuple(each.shape) for each in strays]})"
        )


def _check_generator(func: Any, kwargs: dict[str, Any], result_far: bool) -> None:
    generator = kwargs.get("generator")
    if generator is None:
        return
    of_device = any(each._cdata == generator._cdata for each in _generators)
    if of_device != result_far:
        raise RuntimeError(f"{func}: the generator is of another device")


def _waits(func: Any, args: Any) -> bool:
    packet = func.overloadpacket
    if packet in (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_):
        return any(each is not None and each.dtype == torch.bool for each in args[1])
    tags = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
    return bool(tags & set(func.tags)) or packet in WAITING


def _count_copy(packet: Any, args: Any, kwargs: dict[str, Any], result_far: bool) -> None:
    source = args[1] if packet is aten.copy_ else args[0]
    target_far = isinstance(args[0], Far) if packet is aten.copy_ else result_far
    if isinstance(source, Far) and not target_far:
        waits["copy to the host"] += 1
    if not isinstance(source, Far) and target_far:
        ahead = args[2] if packet is aten.copy_ and len(args) > 2 else kwargs.get("non_blocking")
        if not (ahead and getattr(source, "pinned", False)):
            waits["copy of memory that is not pinned"] += 1


@contextlib.contextmanager
def _device_stream() -> Iterator[None]:
    before = torch.get_rng_state()
    torch.set_rng_state(_stream[0])
    try:
        yield
    finally:
        _stream[:] = [torch.get_rng_state()]
        torch.set_rng_state(before)


class _Everywhere(TorchDispatchMode):
    """Factory functions have no tensor that would say where they go."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return call(func, args, kwargs or {})


def _pin_memory(tensor: Tensor, device: Any = None) -> Tensor:
    assert not isinstance(tensor, Far)
    pinned = tensor.clone()
    pinned.pinned = True  # type: ignore[attr-defined]
    return pinned


@contextlib.contextmanager
def standin() -> Iterator[torch.device]:
    """The device is there, and every run of this process takes it."""
    global _on
    if not hasattr(torch, NAME):
        _setup_privateuseone_for_python_backend(NAME, Module(), Hook())
    cpu_generator = torch.Generator

    def generator(device: Any = "cpu") -> torch.Generator:
        if torch.device(device).type != NAME:
            return cpu_generator(device)
        _generators.add(made := FarGenerator())
        return made

    device = torch.device(NAME, 0)
    choose: Callable[[str], torch.device] = lambda name: device  # noqa: E731
    lifts = torch._C._only_lift_cpu_tensors()
    swaps = torch.__future__.get_swap_module_params_on_conversion()
    _on = True
    Module().manual_seed_all(0)
    with pytest.MonkeyPatch.context() as patch:
        for user in ("training.context", "process.execute", "results.predictor"):
            patch.setattr(f"calisr_engine.{user}.choose_device", choose)
        patch.setattr(torch, "Generator", generator)
        patch.setattr(Tensor, "pin_memory", _pin_memory)
        torch._C._set_only_lift_cpu_tensors(True)
        torch.__future__.set_swap_module_params_on_conversion(True)
        try:
            with _Everywhere():
                yield device
        finally:
            _on = False
            torch._C._set_only_lift_cpu_tensors(lifts)
            torch.__future__.set_swap_module_params_on_conversion(swaps)
