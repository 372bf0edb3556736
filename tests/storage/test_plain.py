"""Only plain files are opened; nothing is waited for."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from calisr_engine.storage.plain import open_plain, read_plain
from tests.events.damage import STRANGE

NO_FILES = {
    "folder": "it is a folder",
    "pipe": "it is a named pipe",
    "socket": "it is a socket",
    "device": "it is a device",
    "dangling link": "No such file",
    "link to itself": "symbolic links",
}


@pytest.mark.parametrize("what", NO_FILES)
def test_what_is_no_plain_file_is_refused_in_words(what: str, tmp_path: Path) -> None:
    STRANGE[what](tmp_path / "there")
    with pytest.raises(OSError) as caught:
        open_plain(tmp_path / "there")
    assert NO_FILES[what] in (caught.value.strerror or "")


def test_a_link_to_a_file_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_plain(tmp_path / "link", 7) == b"content"


def test_a_file_that_is_larger_than_wanted_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(OSError) as caught:
        read_plain(tmp_path / "file", 6)
    assert caught.value.errno == errno.EFBIG
