"""A stand-in for a training process: a lock, a log and an ear for requests, without training."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from types import TracebackType

from calisr_engine.events.log import EventWriter
from calisr_engine.events.types import Completed, Failed, Paused, Resumed, RunCreated, Stopped
from calisr_engine.runs.control import take_requests
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from tests.events.cases import CASES

FIRST_VERSION = Path(__file__).parents[1] / "fixtures" / "first_version" / "runs"


def new_run(folder: Path) -> Path:
    """A run directory that nobody has trained in."""
    folder.mkdir(parents=True)
    shutil.copy(FIRST_VERSION / "never" / "config.toml", folder)
    with EventWriter(RunPaths(folder).events, 1) as writer:
        writer.write(0, RunCreated(run_id=folder.name, config={}, synthetic_data=True))
    return folder


class Trainer:
    """Trains nothing in `run_dir`, in a thread, while in its `with` block.

    Args:
        heeds: whether it obeys requests; "end", "fail" or "die": what it does at the first one.
    """

    def __init__(self, run_dir: Path, heeds: str = "all", host: str | None = None) -> None:
        self.run_dir = run_dir
        self.heeds = heeds
        self.heard: list[str] = []
        self._host = host
        self._ready, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Trainer:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(10)

    def _work(self) -> None:
        paths = RunPaths(self.run_dir)
        with RunLock(paths, self._host), EventWriter(paths.events, 1) as writer:
            writer.write(0, CASES["run_started"])
            self._ready.set()
            while not self._over.is_set():
                for each in take_requests(self.run_dir)[0] if self.heeds != "none" else ():
                    self.heard.append(each.kind)
                    if not self._obey(writer, each.kind):
                        return
                time.sleep(0.01)

    def _obey(self, writer: EventWriter, kind: str) -> bool:
        """Whether it goes on."""
        if self.heeds == "end":
            writer.write(12, Completed())
        elif self.heeds == "fail":
            writer.write(5, Failed(message="the disk broke", hint="buy another"))
        elif kind.startswith("stop"):
            saved = kind == "stop_and_save"
            if self.heeds != "die":
                writer.write(5, Stopped(reason="stopped on request", saved=saved))
        else:
            writer.write(4, Paused() if kind == "pause" else Resumed())
            return True
        return False
