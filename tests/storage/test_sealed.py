"""Damage of every kind is named before a sealed folder is used."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.errors import DamagedError, StorageError
from calisr_engine.storage.sealed import MANIFEST, sealed_folder, size, verified

CONTENT = {"a.bin": bytes(range(256)), "b.json": b"{}", "empty": b""}


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    final = tmp_path / "sealed"
    with sealed_folder(final, {"step": 4}, "the checkpoint") as part:
        for name, content in CONTENT.items():
            (part / name).write_bytes(content)
    return final


def test_a_sealed_folder_verifies_and_carries_its_facts(sealed: Path) -> None:
    manifest = verified(sealed)
    assert manifest["step"] == 4
    assert set(manifest["files"]) == set(CONTENT)
    assert size(manifest) == 258


def test_stray_files_and_folders_are_ignored(sealed: Path) -> None:
    (sealed / "stray").write_text("x")
    (sealed / "folder").mkdir()
    assert set(verified(sealed)["files"]) == set(CONTENT)


@pytest.mark.parametrize("bit", [0, 7, 1024, 2047])
def test_one_flipped_bit(sealed: Path, bit: int) -> None:
    content = bytearray(CONTENT["a.bin"])
    content[bit // 8] ^= 1 << bit % 8
    (sealed / "a.bin").write_bytes(content)
    with pytest.raises(DamagedError, match=r"a\.bin does not match its checksum"):
        verified(sealed)


@pytest.mark.parametrize(
    ("name", "content"), [("a.bin", b"short"), ("empty", b"x"), ("a.bin", b"")]
)
def test_another_size(sealed: Path, name: str, content: bytes) -> None:
    (sealed / name).write_bytes(content)
    with pytest.raises(DamagedError, match=f"{name} has {len(content)} bytes, not "):
        verified(sealed)


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def to_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "nowhere")


@pytest.mark.parametrize("damage", [Path.unlink, to_folder, to_dangling_link])
@pytest.mark.parametrize("name", CONTENT)
def test_missing(sealed: Path, damage: Callable[[Path], None], name: str) -> None:
    damage(sealed / name)
    with pytest.raises(DamagedError, match=f"{name} is missing"):
        verified(sealed)


@pytest.mark.parametrize("damage", [Path.unlink, to_folder, to_dangling_link])
def test_no_manifest(sealed: Path, damage: Callable[[Path], None]) -> None:
    damage(sealed / MANIFEST)
    with pytest.raises(DamagedError, match=r"no readable manifest\.json"):
        verified(sealed)


def test_a_manifest_that_is_a_pipe_a_device_or_huge_is_not_read(sealed: Path) -> None:
    manifest = sealed / MANIFEST
    kept = manifest.read_text()

    def pipe() -> None:
        os.mkfifo(manifest)

    def device() -> None:
        manifest.symlink_to("/dev/zero")

    def huge() -> None:
        manifest.write_text(kept)
        with manifest.open("r+b") as file:
            file.truncate(1 << 40)

    for make in (pipe, device, huge):
        manifest.unlink()
        make()
        with pytest.raises(DamagedError, match=r"no readable manifest\.json"):
            verified(sealed)


def test_folders_in_a_sealed_folder_are_not_sealed(tmp_path: Path) -> None:
    with sealed_folder(tmp_path / "sealed", {}, "the model") as part:
        (part / "a.bin").write_bytes(b"a")
        (part / "templates").mkdir()
    assert set(verified(tmp_path / "sealed")["files"]) == {"a.bin"}


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match=r"no readable manifest\.json"):
        verified(tmp_path / "nowhere")


WHOLE = {"bytes": 2, "sha256": "0"}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"3",
        b"null",
        b'"files"',
        b"{}",
        b'{"files": 3}',
        b'{"files": []}',
        b'{"files": null}',
        b'{"files": {"a.bin": 3}}',
        b'{"files": {"a.bin": []}}',
        b'{"files": {"a.bin": {}}}',
        b'{"files": {"a.bin": {"bytes": 256}}}',
        b'{"files": {"a.bin": {"bytes": null, "sha256": "0"}}}',
        b'{"files": {"a.bin": {"bytes": "many", "sha256": "0"}}}',
        b'{"files": {"a.bin": {"bytes": 1e999, "sha256": "0"}}}',
        b'{"files": {"a.bin": {"bytes": NaN, "sha256": "0"}}}',
        b'{"files": {"a.bin": {"bytes": ' + b"9" * 9999 + b', "sha256": "0"}}}',
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a":' * 200_000,
    ],
    ids=lambda text: repr(text[:45]),
)
def test_a_manifest_of_garbage(sealed: Path, text: bytes) -> None:
    (sealed / MANIFEST).write_bytes(text)
    with pytest.raises(DamagedError, match=r"no readable manifest\.json \(\w+\)"):
        verified(sealed)


@pytest.mark.parametrize("cut", range(0, 400, 37))
def test_a_cut_manifest(sealed: Path, cut: int) -> None:
    content = (sealed / MANIFEST).read_bytes()
    assert cut < len(content)
    (sealed / MANIFEST).write_bytes(content[:cut])
    with pytest.raises(DamagedError, match="no readable manifest"):
        verified(sealed)


@pytest.mark.parametrize(
    "name",
    ["../outside", "/etc/hostname", "..", "", ".", "a\0b", "x" * 5000],
    ids=lambda name: ascii(name[:20]),
)
def test_names_that_lead_elsewhere(sealed: Path, name: str) -> None:
    (sealed.parent / "outside").write_text("{}")
    manifest: dict[str, Any] = json.loads((sealed / MANIFEST).read_text())
    manifest["files"][name] = WHOLE
    (sealed / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(DamagedError, match=r"missing|cannot be read"):
        verified(sealed)


def test_a_file_that_the_system_does_not_give(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    def digest(*args: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(hashlib, "file_digest", digest)
    with pytest.raises(DamagedError, match=r"a\.bin cannot be read: Input/output error"):
        verified(sealed)


def test_sealing_that_fails_leaves_what_was_there(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = verified(sealed)

    def fill_the_disk(self: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", fill_the_disk)
        with (
            pytest.raises(StorageError, match=r"the checkpoint .*disk is full"),
            sealed_folder(sealed, {"step": 5}, "the checkpoint") as part,
        ):
            (part / "a.bin").write_bytes(b"new")
    assert verified(sealed) == before
    with pytest.raises(TypeError), sealed_folder(sealed, {"step": {1}}, "the checkpoint"):
        pass
    assert verified(sealed) == before
    assert [path.name for path in sealed.parent.iterdir()] == ["sealed"]
