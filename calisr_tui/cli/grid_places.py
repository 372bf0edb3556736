"""Where `grid run` and `tune` train: the options of this machine, a Ray cluster or SLURM, as an
executor; and how its work ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from calisr_engine.errors import ConfigError
from calisr_tui.cli.out import say

if TYPE_CHECKING:
    from calisr_engine.grid.executors import Executor

MINUTES = 24 * 60


@contextmanager
def at_work(executor: Executor) -> Iterator[threading.Event]:
    """Let go of an executor at the end; at an early one its runs are asked to stop and save.

    Gives what is set once this process is asked to end, by SIGTERM or its terminal.
    """
    try:
        with _stop_signals() as asked:
            yield asked
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        if interrupted:
            say("asking the runs to stop and save ...")
        executor.stop()
        if interrupted:
            say("go on with the same command")
        raise
    finally:
        executor.close()


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    asked = threading.Event()
    numbers = (signal.SIGTERM, signal.SIGHUP)
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = [signal.signal(number, lambda *_: asked.set()) for number in numbers]
    try:
        yield asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@dataclass(frozen=True)
class Place:
    """The options of `grid run` that say where; None where an option was not given."""

    jobs: str | None = None
    devices: str | None = None
    threads: int | None = None
    gpus: float = 0
    ray: str | None = None
    slurm: bool = False
    partition: str | None = None
    minutes: int | None = None
    memory: float | None = None
    sbatch: tuple[str, ...] = ()

    def executor(self, folder: Path) -> Executor:
        """What trains the runs in `folder`.

        Raises:
            ConfigError: options that do not go together or cannot be read.
            UnavailableError: Ray or submitit is not installed, or there is no cluster.
        """
        if self.ray is not None and self.slurm:
            raise ConfigError("--ray and --slurm are two places; choose one")
        only = {
            "--partition": self.partition,
            "--time": self.minutes,
            "--memory": self.memory,
            "--sbatch": self.sbatch,
        }
        for option, value in only.items():
            if value and not self.slurm:
                raise ConfigError(f"{option} is for SLURM jobs", "add --slurm")
        if self.devices and (self.slurm or self.ray is not None):
            raise ConfigError("--devices is for this machine; on a cluster use --gpus")
        if self.gpus and not self.slurm and self.ray is None:
            raise ConfigError("--gpus is for Ray and SLURM; on this machine use --devices 0,1")
        if self.slurm:
            return self._slurm()
        if self.ray is not None:
            return self._ray(folder)
        return self._local()

    def _slurm(self) -> Executor:
        from calisr_engine.grid.slurm import JobNeeds, SlurmExecutor

        if self.gpus != int(self.gpus):
            raise ConfigError(f"--gpus {self.gpus:g}: a SLURM job takes whole GPUs")
        sbatch = {}
        for each in self.sbatch:
            key, separator, value = each.removeprefix("--").partition("=")
            if not key or not separator:
                raise ConfigError(f"--sbatch {each!r}: write KEY=VALUE, such as --sbatch qos=high")
            sbatch[key] = value
        needs = JobNeeds(
            self.minutes or MINUTES,
            self.partition,
            int(self.gpus),
            self.threads or 1,
            self.memory,
            sbatch,
        )
        count = self._count()
        return SlurmExecutor(needs) if count is None else SlurmExecutor(needs, count)

    def _ray(self, folder: Path) -> Executor:
        from calisr_engine.grid.ray_nodes import RayExecutor

        if self.jobs is not None:
            raise ConfigError("--jobs: on Ray as many runs train as the cluster has room for")
        assert self.ray is not None
        return RayExecutor(self.ray, folder, self.gpus, self.threads or 1, on_note=say)

    def _local(self) -> Executor:
        from calisr_engine.grid.executors import LocalExecutor, overbooked

        devices = tuple(self.devices.split(",")) if self.devices else ()
        count = self._count()
        if count is None and self.jobs is not None:
            return LocalExecutor(None, devices, self.threads)
        jobs = count or 1
        note = overbooked(jobs, devices, self.threads)
        if note:
            say(note)
        return LocalExecutor(jobs, devices, self.threads)

    def _count(self) -> int | None:
        """The number of --jobs; None if it was not given or is auto."""
        if self.jobs is None or (self.jobs == "auto" and not self.slurm):
            return None
        if not self.jobs.isdigit() or int(self.jobs) < 1:
            also = "" if self.slurm else ", or auto"
            raise ConfigError(f"--jobs {self.jobs!r}: give a number of runs from 1{also}")
        return int(self.jobs)
