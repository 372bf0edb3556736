"""Output that cannot be written, and what no command expects."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from calisr_tui.cli import listings
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
