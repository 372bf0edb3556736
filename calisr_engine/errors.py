"""Every error a user can meet: what happened, how to mend it, and the exit code of the CLI."""

from __future__ import annotations

from collections.abc import Sequence


class CalisrError(Exception):
    """Base of all errors a user can meet.

    Attributes:
        message: what is wrong, in one plain sentence.
        hint: what to do about it ("" where nothing can be said).
        exit_code: exit status of a command that ends with this error.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class RunFailedError(CalisrError):
    """Training failed: a loss that is not a number, memory that ran out, a broken disk."""

    exit_code = 1


class StorageError(RunFailedError):
    """Something could not be written: a full disk, a folder without the right to write."""


class DamagedError(CalisrError):
    """A stored folder or file that does not match its own checksums or form."""


class ConfigError(CalisrError):
    """A setting, preset, config file or command line that cannot be used.

    `problems` lists every mistake found, one line each, already naming file, key and mend.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "", problems: Sequence[str] = ()) -> None:
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
    """A data file that was found but cannot be used; the message names file, row and column."""

    exit_code = 3


class NotFoundError(CalisrError):
    """No run, preset, task or method of that name."""

    exit_code = 4


class LockedError(CalisrError):
    """A run directory that another process is training in."""

    exit_code = 4


EXIT_STOPPED = 75
"""Exit status of a run that was stopped and can be resumed (EX_TEMPFAIL)."""

EXIT_LOCKED = 73
"""Exit status of a worker whose run another process trains (commands end with LockedError's)."""

EXIT_INTERRUPTED = 130
"""Exit status after Ctrl-C."""
