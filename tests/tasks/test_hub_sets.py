"""Which configuration and split of the hub a test set is read from."""

from __future__ import annotations

from typing import Any

import pytest

from calisr_engine.errors import UnavailableError
from calisr_engine.tasks import glue, hub


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A hub with an `ax` and an `mnli` configuration; the names that were asked for."""
    names: list[str] = []
    rows = {"premise": ["p", "q"], "hypothesis": ["h", "i"], "label": [-1, -1], "idx": [0, 1]}
    splits = {"ax": {"test"}, "mnli": {"train", "test_matched"}}

    def load(task: Any, configuration: str | None = None) -> dict[str, Any]:
        names.append(configuration or task.name)
        return dict.fromkeys(splits[names[-1]], rows)

    monkeypatch.setattr(hub, "_load", load)
    return names


def test_the_diagnostic_set_has_a_configuration_of_its_own(asked: list[str]) -> None:
    found = hub.read_test(glue.find("mnli"), "ax")
    assert asked == ["ax"]
    assert (found.text, found.text_pair, found.label, found.index) == (
        ("p", "q"),
        ("h", "i"),
        None,
        (0, 1),
    )
    hub.read_test(glue.find("mnli"), "matched")
    assert asked == ["ax", "mnli"]


def test_a_split_that_is_not_there_is_told(asked: list[str]) -> None:
    with pytest.raises(UnavailableError, match="no split test_mismatched"):
        hub.read_test(glue.find("mnli"), "mismatched")
