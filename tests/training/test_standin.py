"""Runs `on_standin.py` in processes of its own: torch takes no new device after a backward pass."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = Path(__file__).with_name("on_standin.py")
NAMES = [
    each.name
    for each in ast.parse(CHECKS.read_text()).body
    if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
]
PARTS = 3


@pytest.mark.parametrize("part", range(PARTS))
def test_on_a_stand_in(part: int) -> None:
    names = NAMES[part::PARTS]
    assert names
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        + [f"{CHECKS}::{name}" for name in names],
        env={each: value for each, value in os.environ.items() if not each.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
