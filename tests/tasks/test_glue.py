from __future__ import annotations

import subprocess
import sys

import pytest

from calisr_engine.errors import NotFoundError
from calisr_engine.tasks import glue
from calisr_engine.tasks.metrics import METRICS, valid_names


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("sst2", "sst2"),
        ("SST-2", "sst2"),
        ("sst_2", "sst2"),
        ("STS-B", "stsb"),
        ("CoLA", "cola"),
        ("MNLI-mm", "mnli"),
        (" rte ", "rte"),
    ],
)
def test_names_are_found_however_written(written: str, name: str) -> None:
    assert glue.find(written).name == name
    assert glue.is_task(written)


@pytest.mark.parametrize(("wrong", "near"), [("sst3", "sst2"), ("mrcp", "mrpc"), ("qnil", "qnli")])
def test_unknown_name_names_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        glue.find(wrong)
    assert f"did you mean {near}?" in caught.value.hint
    assert caught.value.exit_code == 4
    assert not glue.is_task(wrong)


def test_metrics_of_the_paper_come_first() -> None:
    first = {name: glue.find(name).metrics[0] for name in glue.names()}
    assert first == {
        "cola": "matthews",
        "sst2": "accuracy",
        "mrpc": "f1",
        "qqp": "f1",
        "stsb": "spearman",
        "mnli": "accuracy",
        "qnli": "accuracy",
        "rte": "accuracy",
        "wnli": "accuracy",
    }


@pytest.mark.parametrize("name", glue.names())
def test_every_row_of_the_table_fits_together(name: str) -> None:
    task = glue.find(name)
    assert len(task.label_names) == len(task.file_labels)
    assert (task.kind == "regression") == (not task.label_names)
    assert len(task.hub_columns) == len(task.file_columns) in (1, 2)
    assert set(task.metrics) <= set(valid_names(task.kind, len(task.label_names)))
    wanted = {"train", *task.validation}
    wanted |= {"test" if key == "test" else f"test/{key}" for key in task.test}
    assert set(task.sizes) == wanted


def test_the_tables_import_nothing_heavy() -> None:
    code = (
        "import sys; from calisr_engine.tasks import glue, metrics; "
        "print([m for m in ('torch', 'datasets', 'numpy', 'transformers', 'sklearn', 'pandas')"
        " if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
    assert METRICS
