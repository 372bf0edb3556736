"""Names longer than any file's: refused in words by every command that takes one."""

from __future__ import annotations

import pytest

from calisr_engine.errors import UnavailableError, explain
from calisr_tui.cli.app import run_command_line

LONG = "x" * 5000
COMMANDS = (
    "run --model {} --dry-run",
    "run {} --dry-run",
    "run --task rte --data-dir {} --dry-run",
    "run --task demo --output-dir {}/a",
    "grid run {}",
    "grid status {}",
    "report {}",
    "show {}",
    "compare {} {}",
    "analyze score {}",
    "analyze weights {}",
    "submit {}",
    "submit --run rte={}",
    "export {} out",
    "watch {}",
)


@pytest.mark.parametrize("words", COMMANDS)
def test_a_name_that_is_too_long_is_refused_in_words(
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: object,
) -> None:
    monkeypatch.chdir(tmp_path)
    status = run_command_line([word.replace("{}", LONG) for word in words.split()])
    said = capsys.readouterr().err
    assert status in (2, 3, 4)
    assert "unexpected" not in said
    assert max(map(len, said.splitlines())) < 1500


def test_an_error_of_the_system_names_the_path_and_is_no_bug() -> None:
    told = explain(PermissionError(13, "Permission denied", "/a/b\n"))
    assert isinstance(told, UnavailableError)
    assert told.message == "'/a/b\\n': Permission denied"
