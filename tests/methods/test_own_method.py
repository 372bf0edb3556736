"""One folder is all that a method needs: `own/toy` is named nowhere, and everything knows it.

In processes of their own, as the methods are found when the package is first imported.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parent / "own"
ROOT = Path(__file__).parents[2]


def python(*arguments: str, methods: Path = HOME) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"CALISR_METHODS": str(methods), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def calisr(*arguments: str, methods: Path = HOME) -> subprocess.CompletedProcess[str]:
    return python("-m", "calisr_tui", *arguments, methods=methods)


def test_it_is_listed_with_its_settings() -> None:
    listed = json.loads(calisr("methods", "--json").stdout)
    assert listed[-1]["name"] == "toy"
    assert listed[-1]["title"] == "Row scaling"
    assert "decay" in [each["key"] for each in listed[-1]["settings"]]


def test_its_settings_are_validated_and_told(tmp_path: Path) -> None:
    wrong = calisr("run", "demo", "--set", "method.name=toy", "--set", "method.decay=-1")
    assert wrong.returncode == 2
    assert "method.decay" in wrong.stderr
    file = tmp_path / "toy.toml"
    file.write_text('[method]\nname = "toy"\ndekay = 1\n')
    wrong = calisr("run", str(file))
    assert wrong.returncode == 2
    assert "did you mean decay?" in wrong.stderr


def test_counts_labels_and_the_words_of_the_setup_screen_know_it() -> None:
    code = """
from calisr_engine.config.load import load
from calisr_engine.methods.catalog import label
from calisr_tui import estimates
config = load("demo", ["method.name=toy", "calibration.variant=S"]).config
print(label("toy"), estimates.counts(config).core, estimates.meaning(config))
"""
    said = python("-c", code).stdout
    assert said.startswith(f"Rows {2 * (5 * 128 + 512)} ")
    assert "Row scaling takes over, which trains one factor for each row of a matrix" in said


def test_the_setup_form_offers_it(tmp_path: Path) -> None:
    code = f"""
import asyncio
from pathlib import Path
from textual.widgets import OptionList
from calisr_tui.app import CalisrApp
from calisr_tui.screens import setup_checks
setup_checks.PAUSE = 1000.0  # nothing is checked or counted
async def main():
    folder = Path({str(tmp_path)!r})
    app = CalisrApp(output_dir=folder, config=folder / "keys", preload=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        for _ in range(2):
            await pilot.press("ctrl+n")  # without a check of what comes before
            await pilot.pause()
        print([option.id for option in app.screen.query_one(OptionList).options])
asyncio.run(main())
"""
    done = python("-c", code)
    assert "'lora'" in done.stdout, done.stderr
    assert "'toy'" in done.stdout


@pytest.mark.parametrize(
    ("files", "least"),
    [
        (("tests/methods/test_matrix.py", "tests/methods/test_formulas.py"), 60),
        (("tests/training/test_runs.py", "tests/analysis/test_weights.py"), 6),
    ],
)
@pytest.mark.slow
def test_the_shared_tests_take_it_without_its_name(files: tuple[str, ...], least: int) -> None:
    """Forward pass, freezing, pairs, counts; calibrated runs, kills and resumes, export, audit."""
    options = ["-q", "-o", "addopts=", "--import-mode=importlib", "-k", "toy"]
    done = python("-m", "pytest", *options, *files)
    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= least


def test_a_broken_folder_ends_a_command_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "__init__.py").touch()
    done = calisr("methods", methods=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"calisr: the method in {tmp_path / 'own'} cannot be used")
    assert "Traceback" not in done.stderr
