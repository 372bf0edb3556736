"""The bytes and the text of a user's file; what cannot be read is refused in a sentence."""

from __future__ import annotations

import difflib
from pathlib import Path

from calisr_engine.errors import DataError


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without byte-order mark.

    Raises:
        DataError: missing, a folder, unreadable, empty, not UTF-8, or with NUL bytes.
    """
    data = read_bytes(path)
    mark = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    try:
        text = data[mark:].decode("utf-8")
    except UnicodeDecodeError as error:
        hint = "save it as UTF-8"
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            hint = "it looks like UTF-16; save it as UTF-8"
        at = error.start + mark
        end = b"\n" if b"\n" in data else b"\r"
        line, column = data.count(end, 0, at) + 1, at - data.rfind(end, 0, at)
        raise DataError(
            f"{path}, line {line}: byte {column} (0x{data[at]:02x}) is not UTF-8", hint
        ) from error
    if "\0" in text:
        line = text.count("\n" if "\n" in text else "\r", 0, text.index("\0")) + 1
        raise DataError(
            f"{path}, line {line}: there is a NUL byte, so this is not a text file",
            "save it as UTF-8 text, or remove the byte",
        )
    if not text.strip():
        raise DataError(f"{path}: the file is empty", "give a file with data")
    return text


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; DataError where it is missing, a folder or unreadable."""
    check_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> DataError:
    """The sentence for a file that is there and does not open."""
    if isinstance(error, PermissionError):
        return DataError(
            f"{path}: no permission to read it", f"make it readable (chmod u+r {path})"
        )
    reason = error.strerror or str(error)
    return DataError(f"{path}: it cannot be read: {reason}", "check the disk")


def is_there(path: Path) -> bool:
    """Is there anything of that name?

    Raises:
        DataError: that cannot be told (a folder without permission, a name too long).
    """
    try:
        return path.exists()
    except OSError as error:
        raise _unreachable(path, error) from error


def check_file(path: Path) -> None:
    """Refuse what is not there, and what is not a file."""
    try:
        if path.is_dir():
            raise DataError(f"{path}: this is a folder, not a file", "name a file in it")
        if path.exists():
            if not path.is_file():
                raise DataError(f"{path}: this is not a plain file", "copy its content to a file")
            return
        beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else None
    except OSError as error:
        raise _unreachable(path, error) from error
    if beside is None:
        hint = f"the folder {path.parent} does not exist either; check the path"
    else:
        near = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else "check the path"
    raise DataError(f"{path}: there is no such file", hint)


def _unreachable(path: Path, error: OSError) -> DataError:
    reason = error.strerror or str(error)
    return DataError(
        f"{path}: it cannot be reached: {reason}", "check its name and the folder's permissions"
    )


def split_lines(text: str) -> list[str]:
    """Lines at \\n, \\r\\n or \\r only; str.splitlines would also cut at rarer characters."""
    if "\r" in text:
        text = text.replace("\r\n", "\n")
        if "\n" not in text:
            text = text.replace("\r", "\n")
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return lines
