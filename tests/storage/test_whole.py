"""Whole or not at all: whatever fails or is killed, at every step of a write."""

from __future__ import annotations

import errno
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from calisr_engine.errors import StorageError
from calisr_engine.storage.whole import (
    MARK,
    remove,
    storage_error,
    sweep,
    whole_file,
    whole_folder,
    write_text,
)
from tests.storage.writer import at_call, read_all, write_all

DEAD = 4_000_000  # above the largest process number of Linux by default


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A place where generation 0 stands."""
    write_all(tmp_path, 0)
    return tmp_path


def count_calls(place: Path) -> int:
    with at_call(-1, lambda name: None) as seen:
        write_all(place, 0)
    return len(seen)


def is_clean(place: Path) -> bool:
    return {path.name for path in place.iterdir()} == {"folder", "file"}


def test_a_write_makes_its_folders_and_replaces_what_stood_there(tmp_path: Path) -> None:
    for generation in range(2):
        write_all(tmp_path / "new" / "place", generation)
        assert read_all(tmp_path / "new" / "place") == (str(generation), str(generation))
        assert is_clean(tmp_path / "new" / "place")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_any_call_of_the_system_may_fail(old: Path, number: int) -> None:
    def fail(name: str) -> None:
        raise OSError(number, os.strerror(number))

    failed = 0
    for call in range(count_calls(old)):
        told = ""
        try:
            with at_call(call, fail):
                write_all(old, call + 1)
        except StorageError as error:
            told = error.message
        failed += bool(told)
        assert not told or str(old) in told
        assert set(read_all(old)) <= {"0", str(call + 1)}
        write_all(old, 0)
        assert read_all(old) == ("0", "0")
        assert is_clean(old), f"call {call}"
    assert failed > 10


def test_ctrl_c_at_any_call(old: Path) -> None:
    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    for call in range(count_calls(old)):
        with pytest.raises(KeyboardInterrupt), at_call(call, interrupt):
            write_all(old, 1)
        sweep(old)
        assert set(read_all(old)) <= {"0", "1"}
        write_all(old, 0)
        assert is_clean(old), f"call {call}"


def run_writer(place: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.storage.writer", str(place), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_sigkill_at_every_call(old: Path) -> None:
    calls = count_calls(old)
    for call in range(calls):
        with run_writer(old, "kill", str(call)) as process:
            pass
        assert process.returncode == -9, f"call {call} of {calls}"
        sweep(old)
        assert set(read_all(old)) <= {"0", "1"}, f"call {call}"
        assert is_clean(old)
        write_all(old, 0)


def test_sigkill_at_any_moment(old: Path) -> None:
    moments = random.Random(7)
    for _ in range(8):
        with run_writer(old, "forever") as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(moments.uniform(0, 0.03))
            process.kill()
        sweep(old)
        folder, file = read_all(old)
        assert int(str(folder)) - int(str(file)) in (0, 1)
        assert is_clean(old)


@pytest.mark.parametrize("make", [whole_folder, whole_file])
def test_an_error_of_the_block_passes_and_leaves_nothing(
    make: Callable[..., whole_folder], old: Path
) -> None:
    with pytest.raises(ZeroDivisionError), make(old / "folder", "it"):
        raise ZeroDivisionError
    assert is_clean(old)
    assert read_all(old) == ("0", "0")


def test_when_the_old_folder_cannot_be_put_back_the_next_sweep_does_it(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, renames = os.rename, []

    def only_the_first(*args: object) -> None:
        renames.append(args)
        if len(renames) > 1:
            raise OSError(errno.EIO, "Input/output error")
        real(*args)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", only_the_first)
        with pytest.raises(StorageError, match="the folder could not be written"):
            write_all(old, 1)
    assert not (old / "folder").exists()
    sweep(old)
    assert read_all(old) == ("0", "0")


# --- leftovers ---


def test_leftovers_of_the_dead_go_at_the_next_write_of_that_name(tmp_path: Path) -> None:
    part = tmp_path / f"folder{MARK}{DEAD}-3"
    part.mkdir()
    older = tmp_path / f"file.tmp-{DEAD}"  # as the version before named it
    older.write_text("half")
    other = tmp_path / f"another{MARK}{DEAD}-1"
    other.write_text("of another name")
    write_all(tmp_path, 1)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == [other.name, "file", older.name, "folder"]
    sweep(tmp_path)
    assert is_clean(tmp_path)


def test_what_the_living_write_stays(tmp_path: Path) -> None:
    alive = tmp_path / f"file{MARK}{os.getppid()}-0"
    alive.write_text("in progress")
    write_all(tmp_path, 1)
    assert alive.exists()


def test_a_sweep_spares_what_another_thread_writes(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "folder", "the folder") as part:
        for _ in range(2):
            sweep(tmp_path)
        with whole_folder(tmp_path / "folder", "the folder") as second:
            (second / "a").write_text("second")
        (part / "a").write_text("first")
    assert (tmp_path / "folder" / "a").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_threads_that_write_one_file_leave_one_of_their_texts(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def write(letter: str) -> None:
        try:
            for _ in range(20):
                write_text(tmp_path / "file", letter * 10_000, "the file")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert (tmp_path / "file").read_text() in {letter * 10_000 for letter in "abc"}
    assert len(list(tmp_path.iterdir())) == 1


@given(st.from_regex(r"(file|folder)(\.tmp|\.partial|\.was|~)?[-.]?[\w.-]{0,12}", fullmatch=True))
@settings(max_examples=60, derandomize=True, deadline=None)
@example(f"file.tmp-{DEAD}")
@example(f"folder.tmp-was-{DEAD}-0")
@example("file.tmp-calisr")
def test_a_neighbour_of_what_is_written_stays(tmp_path_factory: Any, name: str) -> None:
    """Whatever a user calls it, also what a version before this one would have called its own."""
    place = tmp_path_factory.mktemp("place")
    assume(name not in ("file", "folder"))
    for hidden in ("", "."):
        (place / f"{hidden}{name}").mkdir()
        (place / f"{hidden}{name}" / "mine").touch()
    write_all(place, 1)
    assert (place / name / "mine").exists()
    assert (place / f".{name}" / "mine").exists()
    assert len(list(place.iterdir())) == 4


@pytest.mark.parametrize("name", ["tmp-5", "a.tmp-", "a.tmp-x", "a.tmp-5.txt", "a.tmp-was-"])
def test_names_that_only_look_like_leftovers_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("the user's")
    sweep(tmp_path)
    assert (tmp_path / name).exists()


def test_sweeping_what_is_not_there(tmp_path: Path) -> None:
    sweep(tmp_path / "nowhere")
    remove(tmp_path / "nowhere")


# --- links, kinds and modes ---


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    target = tmp_path / "target"
    write_all(target, 0)
    place = tmp_path / "place"
    place.mkdir()
    (place / "folder").symlink_to(target / "folder")
    (place / "file").symlink_to(target / "file")
    write_all(place, 1)
    assert read_all(target) == ("0", "0")
    assert read_all(place) == ("1", "1")
    assert not (place / "folder").is_symlink()
    assert not (place / "file").is_symlink()


def test_a_link_that_points_nowhere_is_replaced(tmp_path: Path) -> None:
    for name in ("folder", "file"):
        (tmp_path / name).symlink_to(tmp_path / "gone" / name)
    write_all(tmp_path, 1)
    assert read_all(tmp_path) == ("1", "1")
    assert is_clean(tmp_path)


def test_a_leftover_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    write_all(kept, 0)
    (tmp_path / f"folder{MARK}{DEAD}-0").symlink_to(kept / "folder")
    sweep(tmp_path)
    assert read_all(kept) == ("0", "0")
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_links_inside_a_folder_are_kept_as_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("x")
    outside.chmod(0o600)
    with whole_folder(tmp_path / "folder", "the folder") as part:
        (part / "link").symlink_to(outside)
        (part / "nowhere").symlink_to(tmp_path / "gone")
    assert (tmp_path / "folder" / "link").is_symlink()
    assert outside.stat().st_mode & 0o777 == 0o600


def test_a_folder_takes_the_place_of_a_file_but_no_file_that_of_a_folder(old: Path) -> None:
    with whole_folder(old / "file", "the folder") as part:
        (part / "a").touch()
    assert (old / "file" / "a").exists()
    with pytest.raises(StorageError, match="directory"):
        write_text(old / "folder", "text", "the file")
    assert is_clean(old)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_who_may_read_follows_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    """safetensors gives its files to their owner alone."""
    import torch
    from safetensors.torch import save_file

    before = os.umask(umask)
    try:
        with whole_folder(tmp_path / "folder", "the folder") as part:
            save_file({"a": torch.zeros(2)}, part / "a.safetensors")
        with whole_file(tmp_path / "file", "the file") as file:
            save_file({"a": torch.zeros(2)}, file)
    finally:
        os.umask(before)
    for path in (tmp_path / "folder" / "a.safetensors", tmp_path / "file"):
        assert path.stat().st_mode & 0o777 == mode


# --- odd file systems, and what a user is told ---


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve().is_dir():
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_all(tmp_path, 1)
    assert read_all(tmp_path) == ("1", "1")


def test_a_file_that_cannot_be_synced_is_no_success(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError, match="Invalid argument"):
        write_text(old / "file", "new", "the file")
    assert read_all(old) == ("0", "0")


@pytest.mark.parametrize(
    ("number", "reason", "mend"),
    [
        (errno.ENOSPC, "the disk is full", "free space at /runs; then resume"),
        (errno.EDQUOT, "the disk is full", "free space at /runs; then resume"),
        (errno.EROFS, "the folder cannot be written", "make /runs writable; then resume"),
        (errno.EACCES, "the folder cannot be written", "make /runs writable; then resume"),
        (errno.EIO, "Input/output error", "then resume"),
    ],
)
def test_the_message_says_what_and_how_to_mend_it(number: int, reason: str, mend: str) -> None:
    plain = OSError(number, os.strerror(number))
    wrapped = RuntimeError(f"I/O error: {os.strerror(number)} (os error {number}) at path x")
    error = storage_error(Path("/runs/model"), "the model", plain, "then resume")
    assert error.message == f"the model could not be written to /runs/model: {reason}"
    assert error.hint == mend
    assert storage_error(Path("/runs/model"), "it", wrapped, "then resume").hint == mend


def test_a_full_disk_is_told_with_how_much_is_needed(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "")
    for needs, said in ((0, r"0\.0 kB"), (1_234, r"1\.2 kB"), (98_765_432, r"98\.8 MB")):
        error = storage_error(tmp_path / "no" / "model", "it", full, needs=needs)
        assert re.search(rf"\({said} is needed, [\d.]+ [kM]B is free\)", error.hint)


class RustError(Exception):
    """As the libraries for tensors and tokenizers raise them."""


@pytest.mark.parametrize("make", [whole_folder, whole_file])
def test_errors_of_the_system_are_known_in_any_wrapping(
    make: Callable[..., whole_folder], old: Path
) -> None:
    with pytest.raises(StorageError, match="the disk is full"), make(old / "new", "it"):
        raise RustError("No space left on device (os error 28)")
    assert is_clean(old)


def write_and_fail(folder: Path, others: bool) -> None:
    if others:
        (folder / "mine").touch()
    raise OSError(errno.ENOSPC, "")


@pytest.mark.parametrize("make", [whole_folder, whole_file])
def test_folders_made_on_the_way_go_when_it_fails(
    make: Callable[..., whole_folder], tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    for others in (False, True):
        with pytest.raises(StorageError), make(tmp_path / "there/new/newer/it", "it"):
            write_and_fail(tmp_path / "there/new/newer", others)
        assert [each.name for each in (tmp_path / "there").rglob("*")] == (
            ["new", "newer", "mine"] if others else []
        )


def test_errors_without_a_text_still_say_something() -> None:
    assert "OSError" in storage_error(Path("/a"), "it", OSError()).message


FILLED = """
import resource, shutil, sys, torch
from pathlib import Path
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from calisr_engine.errors import StorageError
from calisr_engine.storage.whole import whole_folder
place = Path(sys.argv[1])
(place / "large").mkdir()
(place / "large/a").open("wb").truncate(200_000)
if sys.argv[2] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
for fill in (
    lambda part: save_file({"a": torch.zeros(100_000)}, part / "a.safetensors"),
    lambda part: (part / "a.txt").write_text("x" * 400_000),
    lambda part: shutil.copytree(place / "large", part / "copy"),
    lambda part: Tokenizer(WordLevel({"a" * n: n for n in range(1, 900)})).save(f"{part}/a.json"),
):
    try:
        with whole_folder(place / "folder", "the model") as part:
            fill(part)
    except StorageError as error:
        left = [each.name for each in place.iterdir() if each.name != "large"]
        print(error.message.partition(": ")[2], left)
"""


def test_a_file_larger_than_the_system_allows(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", FILLED, str(tmp_path), "limit"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert len(told) == 4
    for line in told:
        assert "File too large" in line
        assert line.endswith("[]")


def test_a_full_disk(tmp_path: Path) -> None:
    """A real one, of 64 KiB, where the system lets a user mount one for itself."""
    space = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=64k none '{tmp_path}'"
    try:
        subprocess.run([*space, mount], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    told = subprocess.run(
        [*space, f'{mount} && exec "$@"', "-", sys.executable, "-c", FILLED, str(tmp_path), "full"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert told == ["the disk is full []"] * 4


def test_what_a_killed_safetensors_was_writing_goes_with_a_sweep(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from calisr_engine.storage.whole import whole_file
with whole_file(Path(sys.argv[1]), "it") as part:
    (part.parent / ".tmpFAoWM9").write_text("half")
    os._exit(9)
"""
    process = subprocess.run([sys.executable, "-c", script, str(tmp_path / "file")], check=False)
    assert process.returncode == 9
    assert len(list(tmp_path.iterdir())) == 2
    write_text(tmp_path / "file", "1", "it")
    assert (tmp_path / ".tmpFAoWM9").exists()  # beside a single file it may be another's
    sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
