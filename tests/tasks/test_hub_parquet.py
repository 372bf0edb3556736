"""Data sets of the hub by their Parquet files: from a cache made here, never from the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from huggingface_hub import constants
from pyarrow import parquet as pq

from calisr_engine.errors import DataError, UnavailableError
from calisr_engine.tasks import hub_parquet
from calisr_engine.tasks.data import load_task
from calisr_engine.tasks.settings import TaskSettings


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a hub that is off."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def stored(cache: Path, name: str, files: dict[str, Any], revision: str = "main") -> None:
    """A snapshot as huggingface_hub lays it down; a range stands for rows of text and label."""
    folder = cache / f"datasets--{name.replace('/', '--')}"
    ref = folder / "refs" / revision
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text("c0ffee")
    for path, content in files.items():
        file = folder / "snapshots" / "c0ffee" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            file.write_text(content)
        else:
            texts = [f"{path.split('-')[0]} {n}" for n in content]
            pq.write_table(pa.table({"text": texts, "label": [n % 2 for n in content]}), file)


def load(dataset: str, **more: Any) -> Any:
    keys = {"text_column": "text", "label_column": "label", "kind": "classification"}
    return load_task(TaskSettings(name="mine", dataset=dataset, **(keys | more)))


def test_splits_by_their_names_and_shards_joined(cache: Path) -> None:
    stored(
        cache,
        "owner/reviews",
        {
            "data/train-00000-of-00002.parquet": range(6),
            "data/train-00001-of-00002.parquet": range(4),
            "data/dev-00000-of-00001.parquet": range(2),
            "data/test-00000-of-00001.parquet": range(3),
        },
    )
    data = load("owner/reviews", test_split="test")
    assert len(data.train) == 10
    assert data.validation["validation"].text == ("data/dev 0", "data/dev 1")
    assert len(data.test["test"]) == 3
    assert len(load("owner/reviews", train_split="dev", validation_split="test").train) == 2


def test_a_card_and_configurations(cache: Path) -> None:
    card = (
        "---\nconfigs:\n- config_name: small\n  data_files:\n  - split: train\n"
        "    path: s/part-*\n- config_name: large\n  data_files:\n  - split: train\n"
        "    path: [l/*.parquet]\n---\n# Reviews\n"
    )
    stored(
        cache,
        "reviews",
        {"README.md": card, "s/part-0.parquet": range(20), "l/x.parquet": range(40)},
    )
    assert len(load("reviews:small").train) == 18
    assert len(load("reviews:large").train) == 36
    with pytest.raises(DataError, match="has 2 configurations") as caught:
        load("reviews")
    assert "reviews:small" in caught.value.hint
    with pytest.raises(DataError, match="no configuration 'smal'") as caught:
        load("reviews:smal")
    assert "did you mean reviews:small?" in caught.value.hint
    with pytest.raises(DataError, match="no split 'tran'") as caught:
        load("reviews:small", train_split="tran")
    assert "splits: train" in caught.value.hint


def test_the_hubs_conversion_serves_where_main_has_no_parquet(cache: Path) -> None:
    stored(cache, "owner/scripted", {"scripted.py": "raise SystemExit('run')"})
    with pytest.raises(UnavailableError, match="not in the cache"):
        load("owner/scripted")
    stored(
        cache,
        "owner/scripted",
        {"plain/train/0000.parquet": range(8), "plain/partial-validation/0000.parquet": range(4)},
        "refs/convert/parquet",
    )
    data = load("owner/scripted:plain")
    assert (len(data.train), len(data.validation["validation"])) == (8, 4)


def test_what_is_not_there_is_told_at_once(cache: Path) -> None:
    with pytest.raises(UnavailableError) as caught:
        load("owner/nowhere")
    assert "HF_HUB_OFFLINE" in caught.value.message
    assert "--train FILE" in caught.value.hint
    with pytest.raises(DataError, match="no name of a data set"):
        load("../up:x")


def test_a_card_that_is_nonsense_is_passed_over(cache: Path) -> None:
    files = {"README.md": "---\nconfigs: [1, {data_files: 3}, {data_files: [{split: 1}]}]\n---\n"}
    stored(cache, "odd", {**files, "train.parquet": range(20)})
    assert len(load("odd").train) == 18
    assert hub_parquet.configurations(["train.parquet"], {"configs": {"a": 1}}) == {
        "default": {"train": ["train.parquet"]}
    }
