"""What others wrote is shown, never obeyed: no command passes a control character on."""

from __future__ import annotations

import ast
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import calisr_tui
from calisr_tui.cli.app import run_command_line
from tests.fixtures.odd_text import odd_run

HOSTILE = "[red]x[/red][/]\x1b]52;c;aGk=\x07\x1b[2J\x9b31m\u202e\r\b[link=file:///]y:bomb:"
COMMANDS = ("runs", "show", "compare", "audit", "export", "figure switches", "analyze spectrum")


def harmless(text: str) -> bool:
    """Whether a terminal shows it without obeying any of it."""
    return all(
        each in "\n\t" or unicodedata.category(each) not in ("Cc", "Cs", "Zl", "Zp")
        for each in text
    ) and not any("\u202a" <= each <= "\u202e" for each in text)


def words_of(command: str, folder: Path, runs: list[Path]) -> list[str]:
    names = [str(run) for run in runs]
    return {
        "runs": ["runs", "--output-dir", str(folder)],
        "show": ["show", names[0]],
        "compare": ["compare", *names],
        "audit": ["audit", names[0]],
        "export": ["export", names[0], str(folder / "out")],
        "figure switches": ["figure", "switches", *names],
        "analyze spectrum": ["analyze", "spectrum", *names],
    }[command]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_hostile_run(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [odd_run(tmp_path / f"{each}[red]\x1b[2J[x]", HOSTILE) for each in "ab"]
    status = run_command_line(words_of(command, tmp_path, runs))
    said = capsys.readouterr()
    assert harmless(said.out + said.err)
    assert not any(each in said.err for each in ("Traceback", "unexpected"))
    if command in ("runs", "show", "compare"):
        assert status == 0
        assert "[red]" in said.out


def test_brackets_stay_as_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_command_line(["show", str(odd_run(tmp_path / "run", "[bold]x[/bold] :bomb: [/]"))])
    assert "key[bold]x[/bold] :bomb: [/]" in capsys.readouterr().out


@settings(derandomize=True, max_examples=15, deadline=None)
@given(text=st.text(st.characters(categories=["Cc", "Cf", "Zl", "Zp", "L", "P", "S"]), max_size=20))
def test_generated_text(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("odd")
    run = odd_run(folder / "run", text)
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("sys.stdout", Recorder(said))
        patch.setattr("sys.stderr", Recorder(said))
        for command in ("runs", "show"):
            assert run_command_line(words_of(command, folder, [run])) == 0
    assert said
    assert harmless("".join(said))


class Recorder:
    """A stream that keeps what is written."""

    encoding = "utf-8"

    def __init__(self, said: list[str]) -> None:
        self._said = said

    def write(self, text: str) -> int:
        self._said.append(text)
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", HOSTILE],
        ["run", HOSTILE],
        ["run", "--set", f"training.epochs={HOSTILE}"],
        ["run", "--set", f"{HOSTILE}=1"],
        ["run", "--task", HOSTILE],
        ["run", "--method", HOSTILE],
        ["run", "--model", HOSTILE],
        ["presets", HOSTILE],
        ["methods", HOSTILE],
        ["grid", "status", HOSTILE],
        ["submit", HOSTILE],
        [HOSTILE],
        ["runs", f"--{HOSTILE}"],
    ],
)
def test_mistakes_are_quoted_harmlessly(
    arguments: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command_line(arguments) != 0
    said = capsys.readouterr()
    assert harmless(said.out + said.err), said.err
    assert not any(each in said.err for each in ("Traceback", "unexpected"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "HUGE"],
        ["run", "--set", "training.epochs=HUGE"],
        ["run", "--set", "task.name=HUGE"],
        ["run", "--set", "HUGE=1"],
        ["run", "--HUGE"],
        ["presets", "HUGE"],
        ["runs", "--output-dir", "HUGE"],
        ["HUGE"],
    ],
)
def test_a_huge_input_is_quoted_in_part(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    huge = "x\ny" * 3000
    run_command_line([each.replace("HUGE", huge) for each in arguments])
    said = capsys.readouterr().err
    assert max(map(len, said.splitlines())) < 1500
    assert len(said) < 4000


def test_nothing_prints_by_another_door() -> None:
    folder = Path(calisr_tui.__file__).parent / "cli"
    for path in sorted(folder.glob("*.py")):
        if path.name == "out.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            where = f"{path.name}:{node.lineno}: {name}"
            assert name not in ("print", "typer.echo", "typer.secho", "Console"), where
            assert not name.endswith((".from_markup", "stdout.write", "stderr.write")), where
