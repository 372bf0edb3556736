"""Opening files of unknown origin: plain files only, so that no pipe or device makes us wait."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

LARGEST_JSON = 64 * 2**20
"""Bytes of the largest file of settings or facts that is read."""

_KINDS = {
    stat.S_IFDIR: (errno.EISDIR, "it is a folder"),
    stat.S_IFIFO: (errno.EINVAL, "it is a named pipe"),
    stat.S_IFSOCK: (errno.EINVAL, "it is a socket"),
    stat.S_IFCHR: (errno.EINVAL, "it is a device"),
    stat.S_IFBLK: (errno.EINVAL, "it is a device"),
}


def open_plain(path: Path, flags: int = os.O_RDONLY) -> BinaryIO:
    """A plain file, or a link to one, opened for bytes without a buffer of ours.

    Raises:
        OSError: it cannot be opened, or is no plain file; `strerror` says why in words.
    """
    _refuse_other(path, os.stat(path).st_mode)
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _refuse_other(path, os.fstat(descriptor).st_mode)
        return open(descriptor, "rb" if flags == os.O_RDONLY else "r+b", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def read_plain(path: Path, most: int) -> bytes:
    """A small plain file whole.

    Raises:
        OSError: as `open_plain`, or it holds more than `most` bytes.
    """
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"it holds {size:,} bytes, and at most {most:,} are read")
        return b"".join(iter(lambda: file.read(max(1, most)), b""))


def read_json(path: Path, most: int = LARGEST_JSON) -> dict[str, Any]:
    """The JSON object in a plain file.

    Raises:
        OSError: as `read_plain`.
        ValueError: it holds anything else, or JSON that is nested too deep to be read.
    """
    try:
        content = json.loads(read_plain(path, most))
    except RecursionError:
        raise ValueError("its JSON is nested too deep") from None
    if not isinstance(content, dict):
        raise ValueError("it holds no JSON object")
    return content


def _refuse_other(path: Path, mode: int) -> None:
    code, what = _KINDS.get(stat.S_IFMT(mode), (0, ""))
    if what:
        raise OSError(code, what, str(path))
