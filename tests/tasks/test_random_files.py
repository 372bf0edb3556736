"""Random files of every format, good and broken; `campaign` runs as many as one likes by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.tasks.campaign import Outcome, one_file

FILES = 300


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    return [one_file(seed, tmp_path_factory.mktemp("files")) for seed in range(FILES)]


def test_files_load_to_the_cell_or_are_refused_by_name(outcomes: list[Outcome]) -> None:
    failed = [each for each in outcomes if each.failed]
    assert not failed, "\n".join(f"{e.seed} {e.form} {e.did}: {e.end} {e.message}" for e in failed)


def test_the_files_are_of_all_kinds(outcomes: list[Outcome]) -> None:
    ends = Counter(each.end for each in outcomes)
    assert min(ends["loaded"], ends["refused"]) > FILES // 5
    assert {each.form for each in outcomes} >= {"csv", "tsv", "jsonl", "parquet"}
    assert len({each.did for each in outcomes}) > 25


def test_the_judge_notices_a_changed_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts cut at their last character, as a reader with a fault would."""
    from calisr_engine.tasks import own_files

    texts = own_files.cells.texts
    monkeypatch.setattr(
        own_files.cells, "texts", lambda *given: tuple(each[:-1] for each in texts(*given))
    )
    ends = []
    for seed in range(20):
        (tmp_path / str(seed)).mkdir()
        ends.append(one_file(seed, tmp_path / str(seed)).end)
    assert "loaded" not in ends
    assert ends.count("cell changed") > 5
