"""The format of a submission, judged by a reader that shares no code with the writer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import ConfigError, DataError, RunFailedError, UnavailableError
from calisr_engine.submission import files
from calisr_engine.submission.build import Entry, build, read_test
from calisr_engine.submission.choose import Candidate, Choice, choose
from calisr_engine.submission.files import FILES
from calisr_engine.tasks import glue
from calisr_engine.tasks.examples import Examples
from tests.submission.reader import ALLOWED, ROWS, read_submission, read_table


def candidate(task: str, name: str = "run", value: float | None = 0.5, **more: object) -> Candidate:
    config = RunConfig.model_validate({"task": {"name": task}})
    facts = {"validation_rows": None, "created": 1.0} | more
    metric = glue.find(task).metrics[0]
    return Candidate(Path(name), config, task, metric, value, **facts)  # type: ignore[arg-type]


class Cycling:
    """Predicts the task's classes in turn by row number, or scores that leave [0, 5]."""

    def __init__(self, run: Candidate) -> None:
        self.task = glue.find(run.task)

    def cells(
        self, examples: Examples, progress: Callable[[int, int], None] | None = None
    ) -> list[str]:
        index = [int(each) for each in examples.index or ()]
        if not self.task.label_names:
            return files.score_cells([-1.0 + number % 8 for number in index])
        names = [self.task.label_names[n % len(self.task.label_names)] for n in index]
        return files.class_cells(self.task, names)


def planned(
    *titles: str, rows: dict[str, int] | None = None
) -> list[tuple[Entry, Examples | None]]:
    """Test sets of the official sizes in reverse order; the rest is missing."""
    found: list[tuple[Entry, Examples | None]] = []
    for file in FILES:
        if file.title not in titles:
            found.append((Entry(file, missing="no run"), None))
            continue
        count = ROWS[file.title]
        index = tuple(reversed(range(count)))
        entry = Entry(file, Choice(candidate(file.task, file.task), "named"), rows=count)
        found.append((entry, Examples(("x",) * count, None, None, index)))
    return found


def test_all_files_as_the_server_wants_them(tmp_path: Path) -> None:
    opened = []

    def predictor(run: Candidate) -> Cycling:
        opened.append(run.task)
        return Cycling(run)

    told = []
    out = tmp_path / "glue.zip"
    entries = build(planned(*ROWS), out, predictor, progress=lambda e, d, t: told.append(e))
    assert [entry.state for entry in entries] == ["predicted"] * 11
    found = read_submission(out)
    assert set(found) == set(ROWS)
    # Rows came last first, and stand in order again.
    assert found["SST-2"][:3] == ["0", "1", "0"]
    assert found["AX"][:4] == ["entailment", "neutral", "contradiction", "entailment"]
    assert found["RTE"][:2] == ["entailment", "not_entailment"]
    assert found["WNLI"][:2] == ["0", "1"]
    assert [float(cell) for cell in found["STS-B"][:8]] == [0, 0, 1, 2, 3, 4, 5, 5]
    # The model of MNLI is opened once, for its own two sets and the diagnostic one.
    assert opened.count("mnli") == 1
    again = tmp_path / "again.zip"
    build(planned(*ROWS), again, Cycling)
    assert again.read_bytes() == out.read_bytes()


def test_missing_files_are_listed_and_filled_only_when_asked(tmp_path: Path) -> None:
    entries = build(planned("RTE", "AX"), tmp_path / "some.zip", Cycling)
    assert set(read_submission(tmp_path / "some.zip")) == {"RTE", "AX"}
    assert {e.file.title: e.missing for e in entries if e.state == "missing"} == dict.fromkeys(
        set(ROWS) - {"RTE", "AX"}, "no run"
    )
    entries = build(planned("RTE", "AX"), tmp_path / "all.zip", Cycling, fill_missing=True)
    found = read_submission(tmp_path / "all.zip")
    assert set(found) == set(ROWS)
    filled = {entry.file.title for entry in entries if entry.state == "filled"}
    assert filled == set(ROWS) - {"RTE", "AX"}
    assert all(len(set(found[title])) == 1 for title in filled)
    assert all(entry.missing for entry in entries if entry.state == "filled")


def test_nothing_to_predict_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"RTE\.tsv: no run"):
        build(planned(), tmp_path / "none.zip", Cycling, fill_missing=True)
    assert not list(tmp_path.iterdir())


def test_a_model_that_fails_costs_its_own_files_only(tmp_path: Path) -> None:
    def predictor(run: Candidate) -> Cycling:
        if run.task == "rte":
            raise UnavailableError("its model is damaged")
        return Cycling(run)

    entries = build(planned("RTE", "WNLI"), tmp_path / "some.zip", predictor)
    assert set(read_submission(tmp_path / "some.zip")) == {"WNLI"}
    assert next(e for e in entries if e.file.title == "RTE").missing == "its model is damaged"


def test_the_official_sizes() -> None:
    assert {file.title: file.rows for file in FILES} == ROWS
    assert [file.task for file in FILES if file.title in ("MNLI-m", "MNLI-mm", "AX")] == [
        "mnli"
    ] * 3


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.title)
def test_rows_are_counted_and_numbered(file: files.SubmissionFile) -> None:
    files.check_rows(file, range(file.rows))
    with pytest.raises(DataError, match=f"{file.rows - 1:,} rows where the official one has"):
        files.check_rows(file, range(file.rows - 1))
    with pytest.raises(DataError, match="numbered"):
        files.check_rows(file, [0, *range(file.rows - 1)])
    with pytest.raises(DataError, match="numbered"):
        files.check_rows(file, [*range(file.rows - 1), "x"])


@pytest.mark.parametrize("title", ALLOWED)
def test_every_class_is_written_as_the_server_wants(title: str) -> None:
    task = next(file for file in FILES if file.title == title).glue
    assert set(files.class_cells(task, task.label_names)) == ALLOWED[title]
    with pytest.raises(ConfigError, match="'LABEL_0'"):
        files.class_cells(task, ["LABEL_0"])


def test_scores_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(RunFailedError):
        files.score_cells([1.0, float("nan")])


def test_the_reader_sees_flaws() -> None:
    good = files.sample(FILES[9]).encode()
    assert len(read_table("WNLI", good)) == 146
    flaws = [
        good.replace(b"index\t", b"idx\t"),
        good.replace(b"145\t0", b"145\t2"),
        good.replace(b"\n7\t0", b"\n8\t0"),
        good.replace(b"145\t0\n", b""),
    ]
    for flawed in flaws:
        with pytest.raises(AssertionError):
            read_table("WNLI", flawed)


def test_a_zip_that_cannot_be_written_is_told_before(tmp_path: Path) -> None:
    there = tmp_path / "there.zip"
    there.touch()
    for out in (there, tmp_path / "a.tsv", tmp_path / "no" / "a.zip"):
        with pytest.raises(ConfigError, match="--out"):
            files.check_out(out)
    files.check_out(tmp_path / "new.zip")


def test_the_best_run_of_a_task() -> None:
    low, high = candidate("rte", "low", 0.5), candidate("rte", "high", 0.6)
    part = candidate("rte", "part", 0.9, validation_rows=100)
    newer = candidate("rte", "newer", 0.6, created=2.0)
    nothing = candidate("rte", "nothing", None)
    found = choose([low, high, part, nothing], "rte")
    assert found is not None
    assert found.run is high
    assert "1 evaluated on fewer validation rows" in found.why
    assert choose([high, newer, low], "rte").run is newer  # type: ignore[union-attr]
    assert choose([part], "rte").run is part  # type: ignore[union-attr]
    assert choose([low, high], "sst2") is None
    assert choose([nothing], "rte") is None


HERE = ["CoLA", "SST-2", "MRPC", "STS-B", "RTE", "QNLI"]
"""Test sets in the folder that CALISR_GLUE_DIR names."""


@pytest.mark.parametrize("title", [*HERE, "QQP", "MNLI-m"])
def test_the_real_test_files(title: str, glue_dir: Path) -> None:
    """Read from a folder, with their official number of rows, or told missing."""
    file = next(each for each in FILES if each.title == title)
    if title not in HERE:
        with pytest.raises(UnavailableError, match="there is no test file"):
            read_test(file, candidate(file.task), glue_dir)
        return
    examples = read_test(file, candidate(file.task), glue_dir)
    files.check_rows(file, examples.index or ())
