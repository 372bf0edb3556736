"""Where and under which settings a run trains: what every part of it may ask."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from calisr_engine.config.schema import RunConfig
from calisr_engine.events.log import EventWriter
from calisr_engine.events.types import Event
from calisr_engine.randomness import Stream
from calisr_engine.runs.layout import RunPaths
from calisr_engine.training.device import (
    autocast_for,
    choose_device,
    precision_of,
    works_beside,
)
from calisr_engine.training.ranks import Ranks


@dataclass(frozen=True)
class RunContext:
    """Settings, directory, log, ranks and device of one run.

    Attributes:
        stream: random numbers of the run, the same whatever other threads draw.
        precision: "fp32" or "bf16", of the forward pass; weights that train are always fp32.
        autocast: makes the context of a forward pass.
    """

    config: RunConfig
    paths: RunPaths
    writer: EventWriter
    ranks: Ranks
    device: torch.device
    stream: Stream
    precision: str
    autocast: Callable[[], AbstractContextManager[Any]]

    @classmethod
    def open(
        cls, config: RunConfig, paths: RunPaths, writer: EventWriter, ranks: Ranks
    ) -> RunContext:
        """Choose device, precision and threads as the settings say.

        Raises:
            ConfigError: the device or the precision is not to be had here.
        """
        training = config.training
        if training.threads is not None:
            torch.set_num_threads(training.threads)
        device = choose_device(ranks.device_name(training.device))
        precision = precision_of(device, config)
        autocast = autocast_for(device, precision)
        return cls(config, paths, writer, ranks, device, Stream(device), precision, autocast)

    def emit(self, step: int, event: Event) -> None:
        self.writer.write(step, event)

    def free_memory(self) -> None:
        """Give back what a switch freed. A sweep stops every thread, so once for all groups."""
        gc.collect()
        if works_beside(self.device):
            torch.get_device_module(self.device).empty_cache()
