"""Deliberate faults in a Python file: those of cosmic-ray, and statements left out.

A fault is an operator, a number, a comparison, a condition, a keyword or a decorator changed.
Annotations, texts, and calls that carry little but texts are left alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WORDS = {"Field", "description", "RunFailedError", "ConfigError", "CalisrError", "Warned"}
WORDS |= {"ValueError", "NotImplementedError", "RuntimeError", "TypeError", "KeyError"}
WORDS |= {"notes", "warn", "hint", "message", "__all__", "ClassVar", "NamedTuple"}
Fault = tuple[str, int, str, int]
"""File, line, name of the change, and which of the file's places for it."""


def spans(tree: ast.Module) -> Iterator[tuple[ast.stmt, int, int]]:
    """Statements with first and last line; of compound ones the head."""
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = node.end_lineno or node.lineno
            yield node, node.lineno, max(node.lineno, body[0].lineno - 1) if body else last


def left_alone(tree: ast.Module) -> set[tuple[int, int]]:
    """(line, column) of everything inside annotations, texts, and calls that only carry texts."""
    found: set[tuple[int, int]] = set()
    for node in ast.walk(tree):
        parts: list[Any] = []
        if isinstance(node, ast.AnnAssign | ast.arg):
            parts = [node.annotation]
        elif isinstance(node, ast.FunctionDef):
            parts = [node.returns]
        elif isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str)
        ):
            parts = [node]
        elif isinstance(node, ast.Call | ast.keyword):
            name = node.func if isinstance(node, ast.Call) else node
            words = {getattr(name, key, None) for key in ("id", "attr", "arg")}
            parts = [node] if words & WORDS else []
        elif isinstance(node, ast.Assert | ast.Import | ast.ImportFrom):
            parts = [node]
        for part in parts:
            if part is not None:
                for line in range(part.lineno, part.end_lineno + 1):
                    first = part.col_offset if line == part.lineno else 0
                    last = part.end_col_offset if line == part.end_lineno else 400
                    found |= {(line, column) for column in range(first, last)}
    return found


def faults(root: Path, file: str) -> list[Fault]:
    """All faults of one file."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    text = (root / file).read_text()
    tree = ast.parse(text)
    alone = left_alone(tree)
    nodes = list(ast_nodes(get_ast(text)))
    found: list[Fault] = []
    for name in operator_names():
        if absurd(name):
            continue
        try:
            operator = get_operator(name)()
        except TypeError:  # takes arguments: a variable to replace
            continue
        places = (first for node in nodes for first, _ in operator.mutation_positions(node))
        for number, (line, column) in enumerate(places):
            if (line, column) not in alone:
                found.append((file, line, name, number))
    for number, (node, first, _) in enumerate(spans(tree)):
        simple = isinstance(node, ast.Expr | ast.Assign | ast.AugAssign | ast.Return | ast.Raise)
        inside = node.col_offset > 0 and not isinstance(getattr(node, "value", None), ast.Constant)
        if simple and inside and (first, node.col_offset) not in alone:
            found.append((file, first, "LeftOut", number))
    return found


def absurd(name: str) -> bool:
    """Changes that mostly raise TypeError, or say the same: shifts of floats, `is` for `==`."""
    before, _, after = name.partition("_")[2].partition("_")
    bits = {"BitOr", "BitAnd", "BitXor", "LShift", "RShift"}
    return (after in bits and before not in bits) or (after.startswith("Is") and before[:2] != "Is")


def faulty(root: Path, fault: Fault) -> str:
    """The file's text with the fault in it; empty if that is no Python, or no change."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    file, _, name, number = fault
    text = (root / file).read_text()
    if name != "LeftOut":
        changed = mutate_code(text, get_operator(name)(), number) or ""
    else:
        node, first, last = list(spans(ast.parse(text)))[number]
        rows = text.splitlines(keepends=True)
        changed = "".join([*rows[: first - 1], " " * node.col_offset, "pass\n", *rows[last:]])
    return changed if changed != text and parses(changed) else ""


def parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True
