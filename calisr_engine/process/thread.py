"""One run in a background daemon thread of this process.

The thread never calls back: it writes the run's event log, and whoever wants to know reads that.
Requests go through the run directory, as for a run of any other process.
"""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from calisr_engine.errors import EXIT_STOPPED, CalisrError
from calisr_engine.runs import control

if TYPE_CHECKING:
    from calisr_engine.tasks.data import TaskData


def preload() -> threading.Thread:
    """Import torch and transformers in the background, while the user is still choosing.

    Their hundred thousands of objects stay for good. Python's collector, which stops everything,
    need not go through them again and again, neither while they come nor later.
    """

    def load() -> None:
        gc.disable()
        try:
            import calisr_engine.process.execute  # noqa: F401

            gc.freeze()
        finally:
            gc.enable()

    thread = threading.Thread(target=load, name="calisr-preload", daemon=True)
    thread.start()
    return thread


class EngineThread:
    """Trains one run directory in the background.

    Args:
        data: what the run's settings name, where it was read just before; None reads it.

    Attributes:
        run_dir: the run directory.
        status: exit status once finished (0 done, 75 stopped, else failed), None before.
        error: what ended the thread before the run's log could be written, if anything.
    """

    def __init__(self, run_dir: Path, data: TaskData | None = None) -> None:
        self.run_dir = run_dir
        self._data = data
        self.status: int | None = None
        self.error: CalisrError | None = None
        self._stop, self._ended = threading.Event(), threading.Event()
        self._since = 0.0
        self._thread = threading.Thread(target=self._work, name="calisr-engine", daemon=True)

    def start(self) -> None:
        """Begin to train; returns at once. Call it once."""
        self._since = time.time()
        self._thread.start()

    def _work(self) -> None:
        try:
            from calisr_engine.process.execute import execute

            data, self._data = self._data, None
            self.status = execute(self.run_dir, self._stop, since=self._since, data=data)
        except CalisrError as error:
            self.error, self.status = error, error.exit_code
        except BaseException as error:  # the thread's last words must reach the user
            self.error = CalisrError(f"the engine ended: {type(error).__name__}: {error}")
            self.status = 1
        finally:
            self._ended.set()

    @property
    def running(self) -> bool:
        return self._thread.ident is not None and not self._ended.is_set()

    @property
    def stopped(self) -> bool:
        """Whether the run was stopped and can be resumed."""
        return self.status == EXIT_STOPPED

    def pause(self) -> None:
        control.request(self.run_dir, "pause")

    def resume(self) -> None:
        control.request(self.run_dir, "resume")

    def stop(self) -> None:
        """Stop at the next step without saving; a resume goes on from the last checkpoint."""
        control.request(self.run_dir, "stop")

    def stop_and_save(self) -> None:
        """Stop at the next step after writing a checkpoint."""
        self._stop.set()

    def abandon(self) -> None:
        """Before this process ends at once: a thread ends with it."""

    def evaluate_now(self) -> None:
        control.request(self.run_dir, "evaluate")

    def checkpoint_now(self) -> None:
        control.request(self.run_dir, "checkpoint")

    def switch_group(self, group: str) -> None:
        control.request(self.run_dir, "switch", group=group)

    def join(self, timeout: float | None = None) -> int | None:
        """Wait for the end; returns the status, or None when `timeout` seconds passed."""
        # A Thread whose `join` Ctrl-C interrupted takes itself for ended (CPython up to 3.12).
        self._ended.wait(timeout)
        return self.status
