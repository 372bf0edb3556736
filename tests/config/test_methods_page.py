"""docs/methods.md names every method, setting and count as the code has them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from calisr_engine.calibration.score import should_switch
from calisr_engine.config import preset_files
from calisr_engine.config.calibration_section import CalibrationSettings
from calisr_engine.methods.catalog import METHODS
from calisr_engine.methods.counts import counts
from calisr_engine.methods.diff_pruning.settings import DiffPruning
from calisr_engine.methods.lora.settings import Lora
from calisr_engine.methods.settings import MethodBase
from calisr_engine.models.catalog import find
from calisr_engine.models.parts import parts

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
SECTIONS = {
    part.partition("\n")[0].strip(): part.partition("\n")[2]
    for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
}


def names(section: str) -> set[str]:
    return set(re.findall(r"`([a-z_0-9]+)", SECTIONS[section]))


@pytest.mark.parametrize("method", METHODS)
def test_each_method_has_a_section_that_names_its_settings(method: str) -> None:
    assert f"| `{method}` |" in SECTIONS["At a glance"]
    own = set(METHODS[method].model_fields) - set(MethodBase.model_fields)
    assert own <= names(method)


def test_the_settings_of_all_methods_are_named() -> None:
    assert set(MethodBase.model_fields) - {"name"} <= names("Settings of every method")


def test_the_settings_of_calibration_are_named() -> None:
    assert set(CalibrationSettings.model_fields) <= names("Calibration")
    assert "`schedule.switch_at`" in SECTIONS["Calibration"]
    for rule in CalibrationSettings.model_fields["score"].annotation.__args__:  # type: ignore[union-attr]
        assert f"`{rule}`" in SECTIONS["Calibration"]


def test_nothing_is_named_that_is_not_there() -> None:
    known = {name for model in METHODS.values() for name in model.model_fields}
    for method in METHODS:
        listed = set(re.findall(r"^- `([a-z_]+)`", SECTIONS[method], flags=re.MULTILINE))
        assert listed <= known, method
    for name in re.findall(r"`(published/[a-z0-9-]+)`", PAGE):
        assert name in preset_files.names()


def test_what_can_be_calibrated() -> None:
    for method, model in METHODS.items():
        said = re.search(rf"^\| `{method}` \| (\w*) ?\|", SECTIONS["At a glance"], re.MULTILINE)
        assert said is not None
        refused = "no" if model.has_light_phase else ""
        expected = refused if model.calibration_refused else "yes"
        assert said[1] == expected


def test_the_counts_are_those_of_bert_base() -> None:
    entry, seen = find("bert-base-uncased"), set()
    assert entry is not None
    for line in SECTIONS["At a glance"].splitlines():
        row = re.match(r"\| `(\w+)` \| \w* ?\| ([\d,]*) ?\| ([\d.]*)[ %]*\| ([\d,]*) ?\|", line)
        if row is None:
            continue
        counted = counts(entry, METHODS[row[1]](), 2, False)
        assert row[2] == ("" if counted.lft is None else f"{counted.lft:,}"), row[1]
        assert row[3] == ("" if counted.lft is None else f"{100 * counted.lft / counted.total:.2f}")
        assert row[4] == ("" if counted.fft is None else f"{counted.fft:,}"), row[1]
        seen.add(row[1])
    assert seen == set(METHODS)
    gated = counts(entry, DiffPruning(), 2, False).before_pruning
    assert gated is not None
    assert f"{gated:,} ({100 * gated / counted.total:.2f} %)" in SECTIONS["At a glance"]
    assert f"{parts(entry).always:,}" in SECTIONS["At a glance"]
    calibrated = counts(entry, Lora(), 2, True).lft
    assert calibrated is not None
    assert f"{calibrated:,}, {100 * calibrated / counted.total:.2f} %" in SECTIONS["At a glance"]


def test_what_is_said_of_delta_is_so() -> None:
    def needed(samples: int, delta: float) -> int:
        return next(hits for hits in range(9) if should_switch(hits, samples, delta))

    assert [needed(3, delta / 100) for delta in range(40, 61)] == [2] * 21
    assert [needed(5, delta) for delta in (0.4, 0.5, 0.59, 0.6)] == [3, 3, 3, 4]


def test_the_readme_leads_to_the_page() -> None:
    assert "docs/methods.md" in (ROOT / "README.md").read_text(encoding="utf-8")
