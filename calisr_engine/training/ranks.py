"""Several processes that train one run together (data-parallel), and what they tell each other.

Each process ("rank") holds the whole model and takes its slice of every batch. Gradients are added
by hand, once an optimizer step (after the backward pass, or in it: `exchange.py`), over the
parameters that are stepped just then, in the order of their names. There is no DDP wrapper: a
wrapper fixes the set of reduced parameters when it is made, while a switch changes that set in mid-
run. The sum is taken after the methods' `pull`, not before. Both give the same (a pull is linear in
the dense gradient, and its masks and gates are drawn from the run's seed alone, so they are equal
on all ranks), but after a switch the parameters of a light method are far smaller than the dense
matrices, and only they travel.

Rank 0 alone writes to the run directory and decides; the others hear of its decisions at the same
step. Ranks find each other by the environment that torchrun and `accelerate launch` set.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from calisr_engine.errors import ConfigError, RunFailedError
from calisr_engine.events.log import EventWriter
from calisr_engine.events.types import Event

T = TypeVar("T")

BUCKET_BYTES = 25 * 2**20
"""Gradients that travel together; bounds the memory of their copy."""

TIMEOUT_VARIABLE = "CALISR_RANK_TIMEOUT"
TIMEOUT_SECONDS = 600.0
"""How long a rank waits for the others. One that died is noticed at once, by its connection."""


@dataclass(frozen=True)
class Place:
    """Which of a run's processes this one is.

    Attributes:
        rank, size: number of this process, from 0, and how many there are.
        local_rank, local_size: the same among those of this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Place:
        """What torchrun, `accelerate launch` or `calisr run --processes` say; else alone.

        Raises:
            ConfigError: the variables are there but make no sense.
        """
        if "RANK" not in environment or "WORLD_SIZE" not in environment:
            return cls()
        try:
            rank, size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
            local_rank = int(environment.get("LOCAL_RANK", rank))
            local_size = int(environment.get("LOCAL_WORLD_SIZE", size))
        except ValueError as error:
            raise ConfigError(f"RANK, WORLD_SIZE or LOCAL_RANK is no number: {error}") from error
        if not 0 <= rank < size:
            raise ConfigError(f"RANK={rank} does not fit WORLD_SIZE={size}")
        return cls(rank, size, local_rank, local_size)


class Ranks:
    """This process among those of its run; alone, every exchange gives back what it was given.

    All ranks must call the same methods in the same order. Each raises RunFailedError when another
    rank died or does not answer in time.
    """

    def __init__(self, place: Place | None = None) -> None:
        self.place = place or Place()

    @property
    def rank(self) -> int:
        return self.place.rank

    @property
    def size(self) -> int:
        return self.place.size

    @property
    def is_first(self) -> bool:
        return self.place.rank == 0

    def device_name(self, wanted: str) -> str:
        """This rank's device, from the setting `training.device`.

        Raises:
            ConfigError: the setting names one device, or one that cannot be shared out.
        """
        if self.size == 1:
            return wanted
        if wanted == "auto":
            wanted = "cuda" if torch.cuda.is_available() else "cpu"
        if wanted == "mps" or wanted.startswith("cuda:"):
            raise ConfigError(
                f"training.device: {self.size} processes cannot train on {wanted} together",
                "use training.device=auto, cuda (each process takes the next GPU) or cpu",
            )
        if wanted == "cuda" and torch.cuda.is_available():
            return f"cuda:{self.place.local_rank % torch.cuda.device_count()}"
        return wanted

    @contextlib.contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Meet the other ranks; part from them at the end of the block."""
        if self.size == 1:
            yield
            return
        # NCCL wants a GPU for each rank; gloo also serves ranks that share one (for trials).
        own_gpu = device.type == "cuda" and self.place.local_size <= torch.cuda.device_count()
        with self._together("meet"):
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if own_gpu else "gloo",
                rank=self.rank,
                world_size=self.size,
                timeout=timedelta(seconds=_timeout()),
            )
        try:
            yield
        finally:
            with contextlib.suppress(Exception):  # the others may be gone
                dist.destroy_process_group()

    def from_first(self, value: T) -> T:
        """Rank 0's value, on all ranks; what the others pass does not matter."""
        if self.size == 1:
            return value
        box = [value if self.is_first else None]
        with self._together("hear from process 0"):
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]  # type: ignore[return-value]

    def gather(self, value: T) -> list[T]:
        """The values of all ranks, in their order."""
        if self.size == 1:
            return [value]
        values: list[T | None] = [None] * self.size
        with self._together("gather"):
            dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def add(self, tensor: Tensor) -> Tensor:
        """Sum over all ranks, in place; equal to the bit on all of them."""
        if self.size > 1:
            with self._together("add"):
                dist.all_reduce(tensor)
        return tensor

    def begin_to_add(self, tensor: Tensor) -> Any:
        """Begin to sum over all ranks, in place; `wait` for what this gives."""
        with self._together("add"):
            return dist.all_reduce(tensor, async_op=True)

    def wait(self, work: Any) -> None:
        """Wait until the sum that was begun is there."""
        with self._together("add"):
            work.wait()

    def add_gradients(
        self,
        parameters: Sequence[nn.Parameter],
        loss: Tensor,
        stop: bool,
        summed: Mapping[nn.Parameter, Tensor] | None = None,
    ) -> tuple[Tensor, bool]:
        """Sum the gradients of `parameters` over all ranks, in place.

        A parameter without a gradient on this rank counts as zero where another rank has one, and
        stays without where none has: the optimizer passes over it, as in a single process.

        Args:
            parameters: the same on all ranks, in the same order.
            loss: this rank's share of the mean loss.
            stop: whether this process was asked to stop.
            summed: sums that are there already (`exchange.py`), the same parameters on all ranks.

        Returns:
            The loss of the whole batch, and whether any rank was asked to stop.
        """
        if self.size == 1:
            return loss, stop
        summed = summed or {}
        facts = torch.zeros(2 + len(parameters), dtype=torch.float64)
        facts[0], facts[1] = loss.item(), float(stop)
        for at, parameter in enumerate(parameters):
            facts[2 + at] = float(parameter.grad is not None)
        self.add(facts)
        bucket: list[Tensor] = []
        for has, parameter in zip(facts[2:].tolist(), parameters, strict=True):
            if not has:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradient = parameter.grad
            if parameter in summed:
                gradient.copy_(summed[parameter])
                continue
            if bucket and (_bytes(bucket) >= BUCKET_BYTES or bucket[0].dtype != gradient.dtype):
                self._add_together(bucket)
                bucket = []
            bucket.append(gradient)
        if bucket:
            self._add_together(bucket)
        return facts[0].to(loss.device, loss.dtype), bool(facts[1] > 0)

    def _add_together(self, tensors: list[Tensor]) -> None:
        flat = self.add(torch.cat([tensor.reshape(-1) for tensor in tensors]))
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    @torch.no_grad()
    def tensors_of_first(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rank 0's tensors; names, shapes and types must be equal on all ranks."""
        if self.size == 1:
            return dict(tensors)
        received = {}
        for name in sorted(tensors):
            tensor = tensors[name].detach()
            flat = tensor.contiguous().reshape(-1).view(torch.uint8).clone()
            with self._together("hear from process 0"):
                dist.broadcast(flat, src=0)
            received[name] = flat.view(tensor.dtype).view(tensor.shape)
        return received

    @torch.no_grad()
    def check_equal(self, parameters: Sequence[nn.Parameter], step: int) -> None:
        """Raise RunFailedError on a rank whose parameters are not those of rank 0 to the bit.

        The bits are added as integers, which rounds nothing and so does not depend on hardware.
        """
        if self.size == 1:
            return
        bits = [
            int(p.detach().contiguous().reshape(-1).view(torch.uint8).long().sum())
            for p in parameters
        ]
        if bits != self.from_first(bits):
            raise RunFailedError(
                f"the weights of process {self.rank} are no longer those of process 0 at step "
                f"{step}",
                "the machines or their software differ; train on equal ones",
            )

    @contextlib.contextmanager
    def _together(self, what: str) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # torch raises this and its kin for a lost connection
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise LostRanksError(
                f"process {self.rank} of this run's {self.size} lost the others (could not {what}: "
                f"{reason[0][:200]})",
                "one of them ended or hangs; its own output says why (log.txt, where calisr "
                "started it). Then go on with: calisr resume",
            ) from error


class LostRanksError(RunFailedError):
    """Another process of the run died, never came, or does not answer."""


class SilentWriter(EventWriter):
    """Stands for the event log on ranks that must not write it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.attempt = 0
        self.last_step = 0

    def write(self, step: int, event: Event) -> None:
        self.last_step = step

    @property
    def is_empty(self) -> bool:
        return False

    @property
    def in_place(self) -> bool:
        return True

    def close(self) -> None:
        pass


def slice_of(rows: Sequence[int], rank: int, size: int) -> list[int]:
    """This rank's part of a batch: contiguous, sizes differing by at most one, maybe empty."""
    return list(rows[len(rows) * rank // size : len(rows) * (rank + 1) // size])


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _timeout() -> float:
    given = os.environ.get(TIMEOUT_VARIABLE)
    try:
        seconds = float(given) if given else TIMEOUT_SECONDS
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 10**7:
        raise ConfigError(f"{TIMEOUT_VARIABLE}: {given!r} is not a number of seconds above 0")
    return seconds
