"""Checkpoints: written whole or not at all, verified before they are read, no pickle.

A checkpoint is a folder `step-N` with safetensors files, `state.json` and, written last,
`manifest.json` with the size and SHA-256 of every file. It is written under a temporary name,
synced file by file, and renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from calisr_engine.errors import CalisrError, RunFailedError

MANIFEST = "manifest.json"
STATE = "state.json"
_STEP = re.compile(r"^step-(\d+)$")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: named groups of tensors and one JSON object."""

    step: int
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]


def save(
    folder: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: dict[str, Any]
) -> tuple[Path, int]:
    """Write `folder`/step-N and return its path and size in bytes.

    Raises:
        RunFailedError: the disk is full or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{step}"
    part = folder / f"step-{step}.tmp-{os.getpid()}"
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        for name, group in tensors.items():
            if group:
                plain = {key: t.detach().cpu().contiguous() for key, t in group.items()}
                save_file(plain, part / f"{name}.safetensors")
        (part / STATE).write_text(json.dumps(state))
        files = sorted(p for p in part.iterdir())
        entries = {p.name: {"bytes": p.stat().st_size, "sha256": _sha256(p)} for p in files}
        for path in files:
            _sync(path)
        (part / MANIFEST).write_text(json.dumps({"step": step, "files": entries}, indent=1))
        _sync(part / MANIFEST)
        _sync(part)
        if final.exists():
            shutil.rmtree(final)
        os.rename(part, final)
        _sync(folder)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise RunFailedError(
            f"the checkpoint of step {step} could not be written: {error}",
            f"free space at {folder}, then `calisr resume` the run",
        ) from error
    size = sum(int(entry["bytes"]) for entry in entries.values())  # type: ignore[call-overload]
    return final, size


def load(path: Path) -> Checkpoint:
    """Read a checkpoint after checking it against its manifest.

    Raises:
        CalisrError: something is missing or damaged; the message says what.
    """
    manifest = _verify(path)
    tensors = {
        p.name.removesuffix(".safetensors"): load_file(p) for p in path.glob("*.safetensors")
    }
    state = json.loads((path / STATE).read_text())
    return Checkpoint(int(manifest["step"]), tensors, state)


def newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that verifies, and a line for each that was skipped."""
    skipped: list[str] = []
    for path in reversed(steps(folder)):
        try:
            return load(path), skipped
        except CalisrError as error:
            skipped.append(f"{path.name}: {error.message}")
    return None, skipped


def steps(folder: Path) -> list[Path]:
    """Checkpoint folders in order of steps."""
    if not folder.is_dir():
        return []
    found = [(int(m[1]), p) for p in folder.iterdir() if (m := _STEP.match(p.name))]
    return [path for _, path in sorted(found)]


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep` checkpoints, and leftovers of interrupted writes."""
    if not folder.is_dir():
        return
    for path in steps(folder)[:-keep]:
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob("step-*.tmp-*"):
        shutil.rmtree(path, ignore_errors=True)


def _verify(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / MANIFEST).read_text())
        files = manifest["files"]
        int(manifest["step"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CalisrError(f"no readable {MANIFEST} ({type(error).__name__})") from error
    if STATE not in files:
        raise CalisrError(f"{MANIFEST} does not name {STATE}")
    for name, entry in files.items():
        part = path / name
        if not part.is_file():
            raise CalisrError(f"{name} is missing")
        if part.stat().st_size != entry["bytes"]:
            raise CalisrError(f"{name} has {part.stat().st_size} bytes, not {entry['bytes']}")
        if _sha256(part) != entry["sha256"]:
            raise CalisrError(f"{name} does not match its checksum")
    return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
