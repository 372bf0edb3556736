"""Folders with a manifest: every file's size and SHA-256, so that damage is seen before use."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from calisr_engine.errors import DamagedError
from calisr_engine.storage.plain import read_json
from calisr_engine.storage.whole import whole_folder

MANIFEST = "manifest.json"
LARGEST = 1 << 20
"""Bytes of a manifest at most; ours have a few hundred."""

_WRONG_FORM = (ValueError, KeyError, TypeError, AttributeError, OverflowError)


@contextlib.contextmanager
def sealed_folder(
    final: Path, facts: dict[str, Any], what: str, hint: str = "", needs: int | None = None
) -> Iterator[Path]:
    """As `whole_folder`; the manifest of the files put into it and `facts` is written last.

    Raises:
        StorageError: it could not be written; `final` is as it was.
    """
    with whole_folder(final, what, hint, needs) as part:
        yield part
        files = {
            path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
            for path in sorted(part.iterdir())
            if path.is_file()
        }
        (part / MANIFEST).write_text(json.dumps({**facts, "files": files}, indent=1))


def verified(folder: Path) -> dict[str, Any]:
    """The manifest of `folder`, once every file it names was found whole; others are ignored.

    Raises:
        DamagedError: something is missing or damaged; the message says what.
    """
    try:
        manifest = read_json(folder / MANIFEST, LARGEST)
        named = {
            str(name): (int(entry["bytes"]), str(entry["sha256"]))
            for name, entry in manifest["files"].items()
        }
    except (OSError, *_WRONG_FORM) as error:
        raise DamagedError(f"no readable {MANIFEST} ({type(error).__name__})") from error
    for name, (size, checksum) in named.items():
        path = folder / name
        try:
            if "/" in name or not path.is_file():
                raise DamagedError(f"{name} is missing")
            if path.stat().st_size != size:
                raise DamagedError(f"{name} has {path.stat().st_size} bytes, not {size}")
            if _sha256(path) != checksum:
                raise DamagedError(f"{name} does not match its checksum")
        except OSError as error:
            raise DamagedError(f"{name} cannot be read: {error.strerror}") from error
    return dict(manifest)


def size(manifest: dict[str, Any]) -> int:
    """Bytes of the files that a manifest names."""
    return sum(int(entry["bytes"]) for entry in manifest["files"].values())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
