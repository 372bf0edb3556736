"""Writing a file or a folder whole or not at all.

What is written stands under a temporary name beside its place (`NAME.tmp-calisr-PID-COUNT`), is
synced, renamed, and its parent synced. Whatever goes wrong while writing becomes one
`StorageError`, and nothing partial stays. Leftovers of a process that was killed go at the next
write of that name, or by `sweep`. A link in the place is replaced, never followed.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from calisr_engine.errors import StorageError

MARK = ".tmp-calisr-"
"""Stands in temporary names, and in none that a user would choose."""

_LEFTOVER = re.compile(
    r"(?P<name>.+)\.tmp-(?P<marked>calisr-)?(?P<was>was-)?(?P<key>(?P<pid>\d+)(-\d+)?)"
)
_OF_SAFETENSORS = re.compile(r"\.tmp\w{6}")
"""What `save_file` writes beside the file that it was asked for, and then renames."""

_SYSTEM_ERROR = re.compile(r"os error (\d+)|\[Errno (\d+)\]")
"""What libraries put into errors of their own, and shutil into the one for many files."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""The system's numbers for a full disk."""

_counts = itertools.count()
_writing: set[str] = set()
"""PID-COUNT of what this process is writing now, in any of its threads."""


@contextlib.contextmanager
def whole_folder(
    final: Path, what: str, hint: str = "", needs: int | None = None
) -> Iterator[Path]:
    """Yields an empty folder to fill; at the end of the block it takes the place of `final`.

    Args:
        final: where the folder shall stand; what stands there is replaced.
        what: what is being written, as the subject of an error ("the checkpoint of step 4").
        hint: what to do beside making room.
        needs: bytes that it takes, for the message of a full disk.

    Raises:
        StorageError: it could not be written; `final` is whole, and as it was unless only the last
            sync failed.
    """
    sweep(final.parent, final.name)
    with _beside(final, what, hint, needs) as part:
        part.mkdir(parents=True)
        yield part
        for path in sorted(part.rglob("*")):
            if path.is_file() and not path.is_symlink():
                _give_mode(path, part.stat().st_mode)
            if not path.is_symlink():
                _sync(path)
        _sync(part)
        _replace_folder(part, final)
        _sync(final.parent)


@contextlib.contextmanager
def whole_file(
    final: Path, what: str, hint: str = "", replace: bool = True, needs: int | None = None
) -> Iterator[Path]:
    """Yields the path of an empty file to fill; at the end it takes the place of `final`.

    Args:
        final, what, hint, needs: as for `whole_folder`.
        replace: whether what stands there, perhaps since a moment ago, gives way.

    Raises:
        StorageError: as `whole_folder`.
        FileExistsError: `final` stands already and `replace` is False; it is as it was.
    """
    if not replace and os.path.lexists(final):
        raise FileExistsError(final)
    sweep(final.parent, final.name)
    with _beside(final, what, hint, needs) as part:
        final.parent.mkdir(parents=True, exist_ok=True)
        part.touch(exist_ok=False)
        mode = part.stat().st_mode
        yield part
        _give_mode(part, mode)
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
        StorageError: as `whole_folder`.
    """
    content = text.encode()
    with whole_file(final, what, hint, needs=len(content)) as part:
        part.write_bytes(content)


def sweep(folder: Path, name: str | None = None) -> None:
    """Clear up in `folder` after writers that are gone; what they replaced last is put back.

    Args:
        name: what they were writing; None for everything. Then the folder is one of ours alone, and
            what earlier versions named in a way that a user could, too, is a leftover, and so is
            what safetensors was writing.
    """
    with contextlib.suppress(OSError):
        for entry in list(folder.iterdir()):
            if name is None and _OF_SAFETENSORS.fullmatch(entry.name):
                remove(entry)
                continue
            found = _LEFTOVER.fullmatch(entry.name)
            if found is None or not _abandoned(found):
                continue
            if name is not None and (name != found["name"] or not found["marked"]):
                continue
            if found["was"] and not os.path.lexists(folder / found["name"]):
                os.rename(entry, folder / found["name"])  # killed between the two renames
            else:
                remove(entry)


def remove(path: Path) -> None:
    """Delete a file or a folder; a link itself, never what it points to. Errors are passed over."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def storage_error(
    path: Path, what: str, error: BaseException, hint: str = "", needs: int | None = None
) -> StorageError:
    """The one sentence for anything that goes wrong in writing `what` to `path`.

    Args:
        needs: bytes that it takes, if that is known.
    """
    number = system_error(error)
    if number in FULL:
        room = "" if needs is None else f" ({_room(path.parent, needs)})"
        reason, mend = "the disk is full", f"free space at {path.parent}{room}"
    elif number in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason, mend = "the folder cannot be written", f"make {path.parent} writable"
    else:
        text = str(error) if number is None else os.strerror(number)
        reason, mend = (text.strip().splitlines() or [type(error).__name__])[0][:200], ""
    hints = "; ".join(each for each in (mend, hint) if each)
    return StorageError(f"{what} could not be written to {path}: {reason}", hints)


def system_error(error: BaseException) -> int | None:
    """The system's number of an error, also where a library has wrapped it in one of its own."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    said = _SYSTEM_ERROR.search(str(error))
    return int(said[1] or said[2]) if said else None


def tensor_bytes(tensors: Mapping[str, Any]) -> int:
    """Bytes that tensors take on disk, about."""
    return sum(each.numel() * each.element_size() for each in tensors.values())


def _room(folder: Path, needs: int) -> str:
    there = next((each for each in (folder, *folder.parents) if each.is_dir()), Path())
    free = ""
    with contextlib.suppress(OSError):
        free = f", {_megabytes(shutil.disk_usage(there).free)} is free"
    return f"{_megabytes(needs)} is needed{free}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


@contextlib.contextmanager
def _beside(final: Path, what: str, hint: str, needs: int | None) -> Iterator[Path]:
    """Yields a temporary name; errors are explained, and nothing stays there after one."""
    key = f"{os.getpid()}-{next(_counts)}"
    part = final.with_name(f"{final.name}{MARK}{key}")
    _writing.add(key)
    missing = list(itertools.takewhile(lambda each: not os.path.lexists(each), final.parents))
    try:
        remove(part)  # of a killed process whose number this one has
        yield part
    except BaseException as error:
        remove(part)
        with contextlib.suppress(OSError):  # another process may have put something there
            for folder in missing:
                folder.rmdir()
        # Those that write tensors and tokenizers have errors of their own for a full disk.
        wrapped = isinstance(error, Exception) and system_error(error) is not None
        if wrapped or isinstance(error, OSError) or type(error).__name__ == "SafetensorError":
            raise storage_error(final, what, error, hint, needs) from error
        raise
    finally:
        _writing.discard(key)


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
    if not os.path.lexists(final):
        os.rename(part, final)
        return
    # Two renames: no system call that Python has puts one folder in the place of another. After a
    # kill between them, `sweep` puts the old one back.
    was = final.with_name(f"{final.name}{MARK}was-{part.name.removeprefix(final.name + MARK)}")
    os.rename(final, was)
    try:
        os.rename(part, final)
    except BaseException:
        os.rename(was, final)
        raise
    remove(was)


def _abandoned(leftover: re.Match[str]) -> bool:
    pid = int(leftover["pid"])
    if pid == os.getpid():
        return leftover["key"] not in _writing
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def _give_mode(file: Path, like: int) -> None:
    """Readable by whom the umask says; safetensors makes its files for the owner alone."""
    file.chmod(like & 0o666)


def _sync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        # Some file systems cannot sync a folder, and one may be writable and not readable.
        cannot = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)
        if not (path.is_dir() and error.errno in cannot):
            raise
