"""The bytes and the text of a user's file; what cannot be read is refused in a sentence."""

from __future__ import annotations

import difflib
from pathlib import Path

from calisr_engine.errors import DataError

UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""Byte-order marks of UTF-16; a UTF-32 mark begins like the first and goes on with two zeros."""


def read_text(path: Path, fallback: str | None = None) -> str:
    """The text of a file, without byte-order mark; `decoded` says in which encodings.

    Raises:
        DataError: missing, a folder, unreadable, empty, in no such encoding, or with NUL bytes.
    """
    return decoded(path, read_bytes(path), fallback)[0]


def decoded(path: Path, data: bytes, fallback: str | None = None) -> tuple[str, str]:
    """Text and encoding of a file's bytes: UTF-16 with its mark, UTF-8, else `fallback`.

    Raises:
        DataError: none of these reads it, it is empty, or it holds NUL bytes.
    """
    text, encoding = _decoded(path, data, fallback)
    if "\0" in text:
        line = text.count("\n" if "\n" in text else "\r", 0, text.index("\0")) + 1
        raise DataError(
            f"{path}, line {line}: there is a NUL byte, so this is not a text file",
            "save it as UTF-8 text, or remove the byte",
        )
    if not text.strip():
        raise DataError(f"{path}: the file is empty", "give a file with data")
    return text, encoding


def _decoded(path: Path, data: bytes, fallback: str | None) -> tuple[str, str]:
    if data[:2] in UTF_16 and data[2:4] != b"\0\0":
        try:
            return data.decode("utf-16"), "utf-16"
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: it begins as UTF-16, and byte {error.start + 1} is not",
                "save it as UTF-8",
            ) from error
    mark = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    try:
        return data[mark:].decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        at = error.start + mark
        end = b"\n" if b"\n" in data else b"\r"
        line, column = data.count(end, 0, at) + 1, at - data.rfind(end, 0, at)
        refusal = DataError(
            f"{path}, line {line}: byte {column} (0x{data[at]:02x}) is not UTF-8",
            "save it as UTF-8, or set task.encoding to what it is in, such as cp1252",
        )
        if fallback is None or b"\0" in data:
            raise refusal from error
    try:
        return data.decode(fallback), fallback
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start + 1} (0x{data[error.start]:02x}) is neither UTF-8 nor "
            f"{fallback}",
            "save it as UTF-8, or set task.encoding to what it is in, such as latin-1",
        ) from error


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
