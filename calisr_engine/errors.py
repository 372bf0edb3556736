"""Every error a user can meet: what happened, how to mend it, and the exit code of the CLI."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from calisr_engine.plain_words import a_sentence, quoted


class CalisrError(Exception):
    """Base of all errors a user can meet.

    Attributes:
        message: what is wrong, in one plain sentence on one line; what it quotes may be cut.
        hint: what to do about it ("" where nothing can be said).
        keys: the settings concerned, by dotted key, where the message does not begin with one.
        exit_code: exit status of a command that ends with this error.
    """

    exit_code = 1
    keys: tuple[str, ...] = ()

    def __init__(self, message: str, hint: str = "") -> None:
        message = a_sentence(message)
        super().__init__(message)
        self.message = message
        self.hint = a_sentence(hint)

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


@contextlib.contextmanager
def concerning(*keys: str) -> Iterator[None]:
    """Errors of the block are about these settings, unless they say so of others."""
    try:
        yield
    except CalisrError as error:
        error.keys = error.keys or keys
        raise


@contextlib.contextmanager
def retold(told: Callable[[str], str]) -> Iterator[None]:
    """Errors of the block are told in other words, such as keywords for options."""
    try:
        yield
    except CalisrError as error:
        error.message, error.hint = told(error.message), told(error.hint)
        if isinstance(error, ConfigError):
            error.problems = tuple(
                replace(each, message=told(each.message), mend=told(each.mend))
                for each in error.problems
            )
        error.args = (error.message,)
        raise


class RunFailedError(CalisrError):
    """Training failed: a loss that is not a number, memory that ran out, a broken disk."""

    exit_code = 1


class StorageError(RunFailedError):
    """Something could not be written: a full disk, a folder without the right to write."""


class DamagedError(CalisrError):
    """A stored folder or file that does not match its own checksums or form."""


class Place(NamedTuple):
    """Where a setting was given: a file with its line, if known, or an option."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True)
class Problem:
    """One mistake in the settings; `str` is the one line that users see.

    Attributes:
        message: what is wrong.
        mend: what to do about it ("" where nothing can be said).
        keys: the settings concerned, by dotted key, the first to mend first; none where a file or
            an option as a whole cannot be used.
        place: where to mend it, if anybody gave it.
    """

    message: str
    mend: str = ""
    keys: tuple[str, ...] = ()
    place: Place | None = None

    @property
    def label(self) -> str:
        """The key, or the section of a rule over several keys; "" where the place names the key."""
        sections = {key.rpartition(".")[0] for key in self.keys}
        if len(self.keys) > 1 and len(sections) == 1:
            return f"[{sections.pop()}]"
        name = self.keys[0] if self.keys else ""
        option = self.place.source if self.place and self.place.line is None else ""
        return "" if name in option else name

    def __str__(self) -> str:
        parts = [str(self.place or ""), self.label, self.message]
        text = ": ".join(a_sentence(part, 300) for part in parts if part)
        return f"{text}; {a_sentence(self.mend)}" if self.mend else text


class ConfigError(CalisrError):
    """A setting, preset, config file or command line that cannot be used.

    `problems` lists every mistake found; each prints as one line that names place, key and mend.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "", problems: Sequence[Problem] = ()) -> None:
        super().__init__(message, hint)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        lines = [self.message, *(f"  - {problem}" for problem in self.problems)]
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


class UnavailableError(CalisrError):
    """A model or data set that cannot be had here (no network, no such file)."""

    exit_code = 3


class DataError(UnavailableError):
    """A data file that was found but cannot be used; the message names file, row and column.

    Attributes:
        column: the column that was asked for and is not there; "" for other errors.
    """

    exit_code = 3

    def __init__(self, message: str, hint: str = "", column: str = "") -> None:
        super().__init__(message, hint)
        self.column = column


class NotFoundError(CalisrError):
    """No run, preset, task or method of that name."""

    exit_code = 4


class LockedError(CalisrError):
    """A run directory that another process is training in."""

    exit_code = 4


_MEMORY_WORDS = ("out of memory", "can't allocate memory", "bad_alloc", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or the CPU; torch, NumPy and the system each say it their
    way."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError | OSError) and any(each in text for each in _MEMORY_WORDS)


def explain(error: BaseException) -> CalisrError:
    """The user's version of any exception."""
    if isinstance(error, CalisrError):
        return error
    if is_out_of_memory(error):
        return RunFailedError(
            "memory ran out",
            "lower training.batch_size and raise training.accumulate by the same factor, or lower "
            "training.eval_batch_size or task.max_length; then `calisr resume` or start anew",
        )
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return UnavailableError(
            f"{quoted(str(error.filename), 200)}: {error.strerror}", "check the path and its rights"
        )
    lines = str(error).strip().splitlines()
    return RunFailedError(
        f"unexpected {type(error).__name__}: {lines[0][:300] if lines else 'no message'}",
        "this is a bug or a broken installation; the traceback is in the log, or shown by --debug",
    )


EXIT_STOPPED = 75
"""Exit status of a run that was stopped and can be resumed (EX_TEMPFAIL)."""

EXIT_LOCKED = 73
"""Exit status of a worker whose run another process trains (commands end with LockedError's)."""

EXIT_INTERRUPTED = 130
"""Exit status after Ctrl-C."""
