"""The catalogue: which methods it finds, in which order, and what it says of a wrong folder."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import calisr_engine
import calisr_tui
from calisr_engine import methods
from calisr_engine.errors import ConfigError, NotFoundError
from calisr_engine.methods import catalog, registry
from calisr_engine.methods.base import Method

PACKAGES = [Path(str(package.__file__)).parent for package in (calisr_engine, calisr_tui)]
LIGHT = """
from typing import ClassVar, Literal
from calisr_engine.methods.settings import MethodBase

class Own(MethodBase):
    title: ClassVar[str] = "Own"
    label: ClassVar[str] = "Own"
    summary: ClassVar[str] = "Does nothing."
    name: Literal["own"] = "own"

    def count_core(self, model, covered):
        return 0
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which methods are looked for, with an empty method `own`."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "__init__.py").touch()
    monkeypatch.setattr(methods, "HOMES", [str(tmp_path)])
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    yield tmp_path
    for name in [each for each in sys.modules if each.startswith("calisr_engine.methods.own")]:
        del sys.modules[name]


def test_the_folders_are_the_methods() -> None:
    folder = Path(str(methods.__file__)).parent
    assert set(catalog.METHODS) >= {each.parent.name for each in folder.glob("*/settings.py")}
    orders = [(each.order, name) for name, each in catalog.METHODS.items()]
    assert orders == sorted(orders)
    assert next(iter(catalog.METHODS)) == "fft"


@pytest.mark.parametrize("name", catalog.METHODS)
def test_each_has_both_halves(name: str) -> None:
    assert isinstance(registry.get(name), Method)
    settings = catalog.METHODS[name]()
    assert settings.name == name
    assert catalog.label(name) == settings.label
    assert settings.title
    assert settings.summary.endswith(".")


def test_a_name_that_is_not_known() -> None:
    with pytest.raises(NotFoundError, match="lora"):
        registry.get("loro")
    assert catalog.label("loro") == "loro"
    assert catalog.has_light_phase("loro")


def test_the_light_halves_need_no_torch() -> None:
    code = (
        "import sys, calisr_engine.methods.catalog, calisr_engine.methods.counts;"
        "print([each for each in ('torch', 'transformers', 'peft') if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_folder_of_your_own_is_found_last(home: Path) -> None:
    (home / "own" / "settings.py").write_text(LIGHT)
    assert [*catalog.METHODS, "own"] == list(catalog.find_methods())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "settings"),
        ("x = (", "never closed"),
        ("import nothing_of_this_name", "nothing_of_this_name"),
        ("", "0 subclasses of MethodBase"),
        (LIGHT + LIGHT.replace("class Own", "class Two"), "2 subclasses of MethodBase"),
        (LIGHT.replace("def count_core", "def other"), "does not define count_core"),
        (LIGHT.replace('    label: ClassVar[str] = "Own"\n', ""), "does not define label"),
        (LIGHT.replace('"own"', '"another"'), 'name: Literal["own"] = "own"'),
    ],
)
def test_a_folder_that_is_no_method_is_named(home: Path, text: str | None, said: str) -> None:
    if text is not None:
        (home / "own" / "settings.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        catalog.find_methods()
    assert str(home / "own") in caught.value.message
    assert said in caught.value.message
    assert "CALISR_METHODS" in caught.value.hint


def test_a_name_that_is_taken_and_a_folder_that_is_missing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "own").rename(home / "lora")
    with pytest.raises(ConfigError, match="another method lora"):
        catalog.find_methods()
    monkeypatch.setattr(methods, "HOMES", [str(home / "nowhere")])
    with pytest.raises(ConfigError, match="nowhere, which is no folder"):
        catalog.find_methods()


# What a method is, only its folder knows ----------------------------------------------------------

NAMED = re.compile(r"""(method(\.name)?|\['method\.name'\]) (==|!=|in|not in) """)
STILL: set[str] = set()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_no_code_outside_a_folder_asks_which_method_it_is(package: Path) -> None:
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if path.parent.parent != package / "methods"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare)
        and NAMED.search(ast.unparse(node))
        and any(isinstance(each, ast.Constant) for each in [node.left, *node.comparators])
    }
    assert found <= STILL
