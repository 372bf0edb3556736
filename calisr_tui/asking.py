"""A run's best model in a thread of its own, asked while somebody types."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from calisr_engine.errors import CalisrError

if TYPE_CHECKING:
    from calisr_engine.results.predictor import Prediction

Texts = tuple[str, ...]
"""One text, or both of a pair."""


@dataclass(frozen=True)
class Opened:
    """The model is there. `device` in words; `seconds`: how long that took."""

    device: str
    seconds: float


@dataclass(frozen=True)
class Answered:
    """What it says of `texts`, and how many seconds that took."""

    texts: Texts
    found: Prediction
    seconds: float


@dataclass(frozen=True)
class Failed:
    """It could not be opened, or asked."""

    error: CalisrError


News = Opened | Answered | Failed


class Asking:
    """Opens the model once, then answers the newest question; older ones are passed over.

    The thread is a daemon, so that it never keeps the app from ending.
    """

    def __init__(self, run_dir: Path, tell: Callable[[News], object]) -> None:
        """`tell` is called in that thread."""
        self._run_dir, self._tell = run_dir, tell
        self._asked: queue.SimpleQueue[Texts | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="calisr-asking", daemon=True)

    def start(self) -> None:
        """Begin to open the model; returns at once."""
        self._thread.start()

    def ask(self, texts: Texts) -> None:
        """Ask; an answer to an older question may not come then."""
        self._asked.put(texts)

    def end(self) -> None:
        """Ask no more: the thread ends after what it is at, and lets the model go."""
        self._asked.put(None)

    def _work(self) -> None:
        try:
            began = time.perf_counter()
            from calisr_engine.results.predictor import Predictor

            predictor = Predictor(self._run_dir)
            self._tell(Opened(str(predictor.device), time.perf_counter() - began))
            while (texts := self._newest()) is not None:
                began = time.perf_counter()
                text = texts[0] if len(texts) == 1 else texts
                (found,) = predictor.predict([text])
                self._tell(Answered(texts, found, time.perf_counter() - began))
        except CalisrError as error:
            self._tell(Failed(error))
        except Exception as error:  # of a library; the screen says it, and goes on without answers
            self._tell(Failed(CalisrError(f"{type(error).__name__}: {error}")))

    def _newest(self) -> Texts | None:
        texts = self._asked.get()
        with contextlib.suppress(queue.Empty):
            while texts is not None:
                texts = self._asked.get_nowait()
        return texts
