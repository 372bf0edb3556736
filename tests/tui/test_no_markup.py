"""No door for markup: the app makes what it shows of classes that take a string as it is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import calisr_tui
from calisr_tui.app import CalisrApp
from calisr_tui.host import Host

APP = Path(calisr_tui.__file__).parent
ELSEWHERE = ("cli", "serve")
"""Folders that draw with no Textual."""
AT_THE_EDGE = ("verbatim.py", "widgets/verbatim.py")

FREE = {
    "rich.text": set(),
    "rich.table": set(),
    "rich.markup": set(),
    "rich.panel": set(),
    "rich.tree": set(),
    "textual.content": set(),
    "textual.visual": set(),
    "textual.widgets": {"Footer", "Input", "RichLog"},
    "textual.widgets.option_list": set(),
}
"""Module -> what may be taken from it: the rest of it reads markup in a string."""
PARSED = {"border_title", "border_subtitle", "title", "sub_title", "tooltip", "TITLE"}
"""Attributes of widgets, screens and apps whose strings are read as markup."""


def doors(source: str) -> Iterator[str]:
    """Places of a module where text from outside could be read as markup."""
    tree = ast.parse(source)
    texts = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and _named(node.returns) == "Text"
    }
    for node in ast.walk(tree):
        for found in _doors_of(node, texts):
            yield f"line {getattr(node, 'lineno', 0)}: {found}"


def _doors_of(node: ast.AST, texts: set[str]) -> Iterator[str]:
    match node:
        case ast.ImportFrom(module=str(module), names=names) if module in FREE:
            yield from (f"{module}.{n.name}" for n in names if n.name not in FREE[module])
        case ast.Import(names=names):
            yield from (n.name for n in names if n.name in FREE)
        case ast.Attribute(attr="from_markup" | "render_str" | "from_text"):
            yield node.attr
        case ast.keyword(arg="markup", value=value):
            if not (isinstance(value, ast.Constant) and value.value is False):
                yield "markup switched on"
        case ast.keyword(arg="tooltip", value=value) if not _is_text(value, texts):
            yield "tooltip"
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                parsed = isinstance(target, ast.Attribute) and target.attr in PARSED
                if parsed and not _is_text(value, texts):
                    yield ast.unparse(target)
        case ast.FunctionDef(name="render"):
            if _named(node.returns) != "Text":
                yield "render gives no Text"
        case ast.ClassDef(bases=bases) if any(_named(base) == "RichLog" for base in bases):
            said = (n for n in ast.walk(node) if isinstance(n, ast.keyword) and n.arg == "markup")
            if not any(said):
                yield "RichLog without markup=False"


def _named(node: ast.expr | None) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _is_text(value: ast.expr, texts: set[str]) -> bool:
    """A constant, or a call that gives a verbatim Text."""
    if isinstance(value, ast.Constant):
        return True
    if not isinstance(value, ast.Call):
        return False
    if isinstance(value.func, ast.Attribute):
        return value.func.attr in texts or _named(value.func.value) == "Text"
    return _named(value.func) == "Text"


def test_no_module_of_the_app_has_a_door() -> None:
    names = [path.relative_to(APP) for path in APP.rglob("*.py")]
    looked = [n for n in names if n.parts[0] not in ELSEWHERE and str(n) not in AT_THE_EDGE]
    found = {str(n): list(doors((APP / n).read_text(encoding="utf-8"))) for n in looked}
    assert len(found) > 40
    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from rich.text import Text",
        "import rich.table",
        "from textual.widgets import Input, Static",
        "from textual.widgets import Markdown",
        "from textual.content import Content",
        "self.border_title = f'Run {name}'",
        "box.border_subtitle = run.run_id",
        "self.sub_title = str(path)",
        "Input(tooltip=problem)",
        "Text.from_markup(name)",
        "log.write(text, markup=True)",
        "class A(Widget):\n    def render(self) -> str: return self.name",
        "class Log(RichLog):\n    pass",
    ],
)
def test_a_door_is_noticed(source: str) -> None:
    assert list(doors(source))


def test_every_message_goes_through_the_host() -> None:
    assert CalisrApp.notify is Host.notify
    assert CalisrApp.get_line_filters is Host.get_line_filters
