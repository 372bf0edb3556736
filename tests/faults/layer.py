"""Whole runs in processes of their own, in which calls of the system fail or signals come.

The layer is C (layer.c), so that it also holds what libraries write without Python. `preloaded`
begins a campaign; `Child` forks, so that torch is imported once.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

KINDS = ("open", "mkdir", "write", "fsync", "rename", "close", "remove")
"""Kinds of calls, in the order of their bits in layer.c; opening is counted only for writing."""

HANDLERS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
"""What a process of its own begins with."""

EVERY = (1 << len(KINDS)) - 1


@dataclass(frozen=True)
class Fault:
    """What happens at call `number` (from 0) of `kinds` on paths below a folder.

    Attributes:
        action: 0 nothing (count), 1 that call fails, 2 it and all after it, 3 a signal comes.
        value: the error's or the signal's number.
    """

    kinds: int = EVERY
    number: int = -1
    action: int = 0
    value: int = 0

    @classmethod
    def failing(cls, kind: str, number: int, error: int, on: bool = False) -> Fault:
        return cls(1 << KINDS.index(kind), number, 2 if on else 1, error)

    @classmethod
    def signal(cls, number: int, which: int, kinds: int = EVERY) -> Fault:
        return cls(kinds, number, 3, which)


def preloaded(module: str) -> None:
    """Begin this program anew with the layer in it, unless that was done."""
    if hasattr(ctypes.CDLL(None), "fault_arm"):
        return
    library = Path(tempfile.mkdtemp(prefix="calisr-faults-")) / "layer.so"
    source = Path(__file__).with_name("layer.c")
    subprocess.run(["cc", "-O2", "-fPIC", "-shared", "-o", library, source, "-ldl"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], environment)


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    library.fault_count.restype = ctypes.c_long
    library.fault_where.restype = ctypes.c_char_p
    return library


NONE = Fault()


class Child:
    """A fork of this process that does one thing under a fault; its output goes to a file.

    Attributes:
        status: exit status, negative for the signal that ended it.
        where: "call path" at which the fault struck, "" if it did not.
        said: what it printed.
    """

    def __init__(
        self,
        act: Callable[[], int],
        folder: Path,
        scratch: Path,
        fault: Fault = NONE,
        worker_fault: bool = False,
    ) -> None:
        self._out, self._told = scratch / "said", scratch / "struck"
        self._token = scratch / "token"
        for file in (self._out, self._told, self._token):
            file.unlink(missing_ok=True)
        self.status = 0
        self._pid = os.fork()
        if self._pid == 0:
            self._become(act, folder, fault, worker_fault)

    def _become(
        self, act: Callable[[], int], folder: Path, fault: Fault, worker_fault: bool
    ) -> None:
        """Never returns."""
        status = 99
        try:
            out = os.open(self._out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            os.dup2(out, 2)
            os.environ["CALISR_FAULT_TOLD"] = str(self._told)
            armed = (fault.kinds, fault.number, fault.action, fault.value)
            if worker_fault:
                self._token.touch()
                parts = (folder, *armed, self._token)
                os.environ["CALISR_FAULT"] = "|".join(map(str, parts))
            else:
                _library().fault_arm(
                    str(folder).encode(), armed[0], ctypes.c_long(armed[1]), *armed[2:]
                )
            for each, handler in HANDLERS.items():
                signal.signal(each, handler)
            status = act()
        except BaseException:
            traceback.print_exc()
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        (self._out.parent / "count").write_text(str(_library().fault_count()))
        os._exit(status)

    def wait(self) -> Child:
        self.status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        return self

    def signal_after(self, seconds: float, which: int) -> bool:
        """Send a signal from outside after so many seconds; whether it was still there."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            done, status = os.waitpid(self._pid, os.WNOHANG)
            if done:
                self.status = os.waitstatus_to_exitcode(status)
                return False
            time.sleep(0.005)
        os.kill(self._pid, which)
        self.wait()
        return True

    @property
    def where(self) -> str:
        return self._told.read_text().strip() if self._told.exists() else ""

    @property
    def said(self) -> str:
        return self._out.read_text(errors="replace") if self._out.exists() else ""

    @property
    def count(self) -> int:
        """Calls that were counted; only of a child that ended by itself."""
        return int((self._out.parent / "count").read_text())


NAMES: Mapping[int, str] = {each.value: each.name for each in signal.Signals}
