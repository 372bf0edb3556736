"""Tokens, token files, names and origins."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calisr_engine.errors import CalisrError
from calisr_tui.serve.access import Access, is_local, same_origin, token_of


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("192.168.1.5", False),
        ("example.org", False),
    ],
)
def test_which_addresses_are_local(host: str, local: bool) -> None:
    assert is_local(host) is local


LOCAL_NAMES = ["127.0.0.1", "localhost", "LOCALHOST", "127.3.2.1", "[::1]"]
FOREIGN_NAMES = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.nip.io",
    "127.0.0.1@evil.example",
    "localhost.",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "[::1",
    "::1",
    "",
    " localhost",
    "localhost\t",
    "localhost/",
]


@settings(derandomize=True, max_examples=100)
@given(
    st.sampled_from(LOCAL_NAMES) | st.sampled_from(FOREIGN_NAMES) | st.text(max_size=20),
    st.sampled_from(["", ":8000", ":1", ":65535", ":", ":x", ":123456", ":80:80"]),
)
def test_a_server_of_this_machine_answers_to_its_names_alone(name: str, port: str) -> None:
    right = name.upper() in {each.upper() for each in LOCAL_NAMES} and port in (
        *("", ":8000", ":1", ":65535"),
    )
    assert Access("127.0.0.1").answers_to([name + port]) is right


def test_a_server_for_others_answers_to_numbers_and_to_its_own_name() -> None:
    access = Access("0.0.0.0")
    assert access.answers_to(["192.168.1.5:8000"])
    assert access.answers_to([os.uname().nodename])
    assert not access.answers_to(["evil.example:8000"])
    assert not Access("127.0.0.1").answers_to(["192.168.1.5:8000"])
    assert Access("gpu.example").answers_to(["gpu.example:8000"])


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_one_host_is_named(hosts: list[str]) -> None:
    assert not Access("127.0.0.1").answers_to(hosts)


@pytest.mark.parametrize(
    ("origin", "same"),
    [
        ("http://localhost:8000", True),
        ("HTTP://LOCALHOST:8000", True),
        ("http://localhost:8001", False),
        ("http://localhost", False),
        ("https://localhost:8000", False),
        ("http://127.0.0.1:8000", False),
        ("http://localhost:8000.evil.example", False),
        ("http://localhost:8000/", False),
        ("null", False),
        ("", False),
        (None, False),
    ],
)
def test_an_origin_is_the_very_server(origin: str | None, same: bool) -> None:
    assert same_origin(origin, "localhost:8000") is same


@settings(derandomize=True, max_examples=100)
@given(st.text(max_size=60), st.integers(0, 60))
def test_only_the_whole_token_opens(noise: str, cut: int) -> None:
    access = Access("127.0.0.1")
    for right, opens in ((access.token, access.opens), (access.cookie, access.knows)):
        assert opens(right)
        for wrong in (noise, right + noise, right[:cut], right.swapcase(), noise + "\ud800"):
            assert opens(wrong) is (wrong == right)


def test_secrets_are_long_differ_and_are_not_shown() -> None:
    one, other = Access("127.0.0.1"), Access("127.0.0.1")
    kept = [one.token, one.cookie, one.path, other.token, other.cookie, other.path]
    assert len(set(kept)) == 6
    assert min(len(each) for each in kept) >= 43
    assert not any(each in repr(one) for each in kept)


def test_a_token_file_is_made_for_its_owner_alone_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "token"
    before = os.umask(0)
    try:
        token = token_of(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token_of(path) == token == path.read_text().strip()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666])
def test_a_token_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "token"
    token_of(path)
    path.chmod(mode)
    with pytest.raises(CalisrError, match="other users"):
        token_of(path)


@pytest.mark.parametrize(
    "text", ["", "short", "a" * 21, "a" * 201, "a b" * 20, "ä" * 40, "a" * 9**5]
)
def test_what_is_no_token_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(CalisrError, match="no token"):
        token_of(path)


def test_links_folders_and_pipes_are_no_token_files(tmp_path: Path) -> None:
    token_of(tmp_path / "token")
    (tmp_path / "link").symlink_to(tmp_path / "token")
    (tmp_path / "loose").symlink_to(tmp_path / "nothing")
    (tmp_path / "folder").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("link", "loose", "folder", "pipe", "none/token"):
        with pytest.raises(CalisrError):
            token_of(tmp_path / name)
    assert not (tmp_path / "nothing").exists()
