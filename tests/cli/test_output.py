"""Output that cannot be written, and what no command expects."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from calisr_tui.cli import listings, out
from calisr_tui.cli.app import run_command_line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["methods"], ["methods", "--json"], ["--help"]])
def test_a_full_disk_behind_stdout(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "calisr_tui", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr


def test_a_closed_stdout() -> None:
    code = f"exec {sys.executable} -m calisr_tui methods >&-"
    done = subprocess.run(["sh", "-c", code], stderr=subprocess.PIPE, text=True, env=os.environ)
    assert "Traceback" not in done.stderr


def test_a_closed_stdin_is_an_empty_one() -> None:
    reading = "from calisr_tui.__main__ import main; import calisr_tui.cli.app as app, sys; "
    reading += "app.run_command_line = lambda _: len(sys.stdin.buffer.read()); main()"
    done = subprocess.run(["sh", "-c", f"exec {sys.executable} -c '{reading}' <&-"])
    assert done.returncode == 0


@pytest.mark.parametrize("arguments", [["show", "EXAMPLE", "--json"], ["tail", "EXAMPLE"]])
def test_a_reader_that_has_enough_is_no_failure(arguments: list[str]) -> None:
    """More than the pipe holds is written after its reader left."""
    example = str(Path(listings.__file__).parent.parent / "example")
    words = [example if each == "EXAMPLE" else each for each in arguments]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "calisr_tui", *words], stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    assert done.returncode == 0, done.stderr


def test_what_no_command_expects_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("inner part")

    monkeypatch.setattr("calisr_engine.runs.store.list_runs", broken)
    monkeypatch.setattr(listings, "put_json", broken)
    assert run_command_line(["methods", "--json"]) == 1
    said = capsys.readouterr().err
    assert "unexpected ZeroDivisionError: inner part" in said
    assert "--debug" in said


@pytest.mark.parametrize("arguments", [["show", "EXAMPLE"], ["methods"], ["--help"]])
def test_a_terminal_that_knows_only_ascii(arguments: list[str]) -> None:
    example = str(Path(listings.__file__).parent.parent / "example")
    words = [example if each == "EXAMPLE" else each for each in arguments]
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "calisr_tui", *words],
        capture_output=True,
        env={**os.environ, **ascii_only, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_a_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/r\xffns"
    os.mkdir(folder)
    example = Path(listings.__file__).parent.parent / "example"
    shutil.copytree(example, os.fsdecode(folder + b"/run\xfe"))
    for arguments in (
        [b"runs", b"--output-dir", folder],
        [b"show", folder + b"/run\xfe"],
        [b"export", folder + b"/run\xfe", folder + b"/out"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "calisr_tui", *arguments], capture_output=True, text=True
        )
        assert done.returncode == (4 if arguments[0] == b"export" else 0), done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_nobody_can_be_told(tmp_path: Path) -> None:
    """A mistake's message that cannot be written changes nothing about the status."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "calisr_tui", "show", "nothing"], stdout=full, stderr=full
        )
    assert done.returncode == 4


@pytest.mark.parametrize("quiet", [True, False])
def test_a_quiet_demo_tells_no_story(
    quiet: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("calisr_tui.cli.training._train", lambda *_, **__: 0)
    monkeypatch.setattr("calisr_tui.cli.epilogue.what_just_happened", lambda _: "once upon a time")
    asked = ["demo", "--output-dir", str(tmp_path), *["-q"] * quiet]
    assert run_command_line(asked) == 0
    assert ("once upon a time" in capsys.readouterr().out) is not quiet


@pytest.mark.parametrize("room", [None, 200, 80, 50, 30])
def test_a_table_of_figures_loses_nothing_at_any_width(
    room: int | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `analyze score` prints it, with the longest figures and groups of one's own."""
    monkeypatch.setattr(out, "terminal_width", lambda: room)
    titles = ("group", "runs", "samples", "rate", "flips", "r", "worth", "switched", "coin")
    titles += ("agree", "light", "full")
    names = ["query", "all-attention-matrices-of-the-upper-half-of-the-encoder", "\x1b[31m x"]
    row = ("12", "1200", "0.50", "600/1199", "-0.25±0.11", "12.5 of 5", "10", "0.50")
    row += ("0.75", "-0.12", "0.34")
    out.print_whole(titles, [(name, *row) for name in names])
    lines = capsys.readouterr().out.splitlines()
    width = max(map(len, lines))
    assert width <= (room or width)
    assert "\x1b" not in "".join(lines)
    words = " ".join(lines).split()
    for each in (*titles[1:], *row):
        assert each.split()[0] in words
    assert words.count("-0.25±0.11") == len(names)
    if room is None:
        assert len(lines) == 1 + len(names)
    least = "".join(line[: out.LEAST_NAMED].strip() for line in lines)
    assert names[1] in least if room not in (None, 200) else names[1] in words
