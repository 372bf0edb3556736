"""Writing a file or a folder whole or not at all.

What is written stands under a temporary name beside its place (`NAME.tmp-PID`), is synced, renamed,
and its parent synced. Whatever goes wrong while writing becomes one `StorageError`, and nothing
partial stays. Leftovers of a process that was killed go at the next write, or by `sweep`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from calisr_engine.errors import StorageError

_LEFTOVER = re.compile(r"\.tmp-(\d+)$")


@contextlib.contextmanager
def whole_folder(final: Path, what: str, hint: str = "") -> Iterator[Path]:
    """Yields an empty folder to fill; at the end of the block it takes the place of `final`.

    Args:
        final: where the folder shall stand; what stands there is replaced.
        what: what is being written, as the subject of an error ("the checkpoint of step 4").
        hint: what to do beside making room.

    Raises:
        StorageError: it could not be written; `final` is as it was.
    """
    part = _beside(final)
    with _explained(final, what, hint, part):
        sweep(final.parent, final.name)
        part.mkdir(parents=True)
        yield part
        for path in sorted(part.rglob("*")):
            _sync(path)
        _sync(part)
        _replace_folder(part, final)
        _sync(final.parent)


@contextlib.contextmanager
def whole_file(final: Path, what: str, hint: str = "", replace: bool = True) -> Iterator[Path]:
    """Yields a path to write to; at the end of the block that file takes the place of `final`.

    Args:
        final: where the file shall stand.
        what: what is being written, as the subject of an error.
        hint: what to do beside making room.
        replace: whether a file that stands there, perhaps since a moment ago, gives way.

    Raises:
        StorageError: it could not be written; `final` is as it was.
        FileExistsError: `final` stands already and `replace` is False; it is as it was.
    """
    part = _beside(final)
    if not replace and os.path.lexists(final):
        raise FileExistsError(final)
    with _explained(final, what, hint, part):
        final.parent.mkdir(parents=True, exist_ok=True)
        yield part
        _sync(part)
        placed = True
        if replace:
            os.replace(part, final)
        else:
            placed = _put_new(part, final)
        _sync(final.parent)
    if not placed:
        raise FileExistsError(final)


def write_text(final: Path, text: str, what: str, hint: str = "") -> None:
    """Write `text` (UTF-8) to `final`, whole or not at all.

    Raises:
        StorageError: it could not be written; `final` is as it was.
    """
    with whole_file(final, what, hint) as part:
        part.write_text(text, encoding="utf-8")


def sweep(folder: Path, name: str | None = None) -> None:
    """Delete leftovers of writers that are gone, in `folder`; with `name`, of that entry only."""
    with contextlib.suppress(OSError):
        for entry in list(folder.iterdir()):
            found = _LEFTOVER.search(entry.name)
            if found is None or (name is not None and entry.name[: found.start()] != name):
                continue
            if int(found[1]) == os.getpid() or not _alive(int(found[1])):
                remove(entry)


def remove(path: Path) -> None:
    """Delete a file or a folder; a link itself, never what it points to. Errors are passed over."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def storage_error(path: Path, what: str, error: BaseException, hint: str = "") -> StorageError:
    """The one sentence for anything that goes wrong in writing `what` to `path`."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None:  # safetensors wraps the system's error in one of its own
        said = re.search(r"os error (\d+)", str(error))
        number = int(said[1]) if said else None
    if number in (errno.ENOSPC, errno.EDQUOT):
        reason, mend = "the disk is full", f"free space at {path.parent}"
    elif number in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason, mend = "the folder cannot be written", f"make {path.parent} writable"
    else:
        text = (isinstance(error, OSError) and error.strerror) or str(error)
        reason, mend = (text.strip().splitlines() or [type(error).__name__])[0][:200], ""
    hints = "; ".join(each for each in (mend, hint) if each)
    return StorageError(f"{what} could not be written to {path}: {reason}", hints)


@contextlib.contextmanager
def _explained(final: Path, what: str, hint: str, part: Path) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        remove(part)
        # The library that writes tensors has errors of its own for a full disk.
        if isinstance(error, OSError) or type(error).__name__ == "SafetensorError":
            raise storage_error(final, what, error, hint) from error
        raise


def _beside(final: Path) -> Path:
    return final.with_name(f"{final.name}.tmp-{os.getpid()}")


def _put_new(part: Path, final: Path) -> bool:
    """Rename unless something stands there; whether it was done. `part` is gone in any case."""
    try:
        os.link(part, final)  # unlike a rename, never replaces what came in the meantime
    except FileExistsError:
        placed = False
    except OSError:  # a file system without hard links
        placed = not os.path.lexists(final)
        if placed:
            os.replace(part, final)
    else:
        placed = True
    part.unlink(missing_ok=True)
    return placed


def _replace_folder(part: Path, final: Path) -> None:
    if not final.exists():
        os.rename(part, final)
        return
    # Two renames, so that a kill between them loses neither the old folder nor the new one.
    old = final.with_name(f"{final.name}.old.tmp-{os.getpid()}")
    remove(old)
    os.rename(final, old)
    try:
        os.rename(part, final)
    except OSError:
        os.rename(old, final)
        raise
    remove(old)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
