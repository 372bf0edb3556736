"""Only plain files are opened; nothing is waited for."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from calisr_engine.errors import UnavailableError
from calisr_engine.storage.plain import open_plain, read_json, read_plain
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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        ("[1]", "no JSON object"),
        ("", "Expecting value"),
        ("\udcff", "decode"),
    ],
)
def test_what_is_no_json_object_is_a_value_error(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "facts.json"
    file.write_text(text, errors="surrogateescape")
    with pytest.raises(ValueError, match=said):
        read_json(file)


def test_doors_that_read_json_refuse_what_is_nested_too_deep(tmp_path: Path) -> None:
    from calisr_engine.methods.reload import METHOD, read_settings
    from calisr_engine.models.catalog import from_folder

    for name in (METHOD, "config.json"):
        (tmp_path / name).write_text("[" * 100_000)
    assert from_folder(tmp_path) is None
    with pytest.raises(UnavailableError, match="nested too deep"):
        read_settings(tmp_path)
