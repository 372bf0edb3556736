from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from calisr_engine.errors import CalisrError, RunFailedError
from calisr_engine.training import checkpoint


def write(folder: Path, step: int, value: float = 1.0) -> Path:
    tensors = {"model": {"w": torch.full((3, 2), value)}, "empty": {}}
    return checkpoint.save(folder, step, tensors, {"step": step, "note": "x"})[0]


def test_round_trip(tmp_path: Path) -> None:
    path = write(tmp_path, 7, 2.5)
    loaded = checkpoint.load(path)
    assert loaded.step == 7
    assert loaded.state["note"] == "x"
    assert torch.equal(loaded.tensors["model"]["w"], torch.full((3, 2), 2.5))
    assert not list(tmp_path.glob("*.tmp-*"))


def test_newest_takes_the_highest_step_not_the_name_order(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        write(tmp_path, step)
    found, skipped = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.step == 100
    assert skipped == []


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda p: (p / "model.safetensors").write_bytes(b"short"), "bytes"),
        (lambda p: (p / "model.safetensors").unlink(), "missing"),
        (lambda p: (p / "manifest.json").unlink(), "manifest.json"),
        (lambda p: (p / "manifest.json").write_text("{"), "manifest.json"),
        (
            lambda p: (p / "state.json").write_text(
                (p / "state.json").read_text().replace('"x"', '"y"')
            ),
            "checksum",
        ),
    ],
)
def test_a_damaged_checkpoint_is_skipped_and_said_why(tmp_path, damage, says) -> None:
    write(tmp_path, 1)
    damage(write(tmp_path, 2))
    found, skipped = checkpoint.newest(tmp_path)
    assert found is not None
    assert found.step == 1
    assert len(skipped) == 1
    assert "step-2" in skipped[0]
    assert says in skipped[0]


def test_a_write_that_was_cut_off_is_never_read(tmp_path: Path) -> None:
    path = write(tmp_path, 3)
    path.rename(tmp_path / f"step-3.tmp-{os.getpid()}")
    assert checkpoint.newest(tmp_path) == (None, [])
    checkpoint.prune(tmp_path, keep=1)
    assert list(tmp_path.iterdir()) == []


def test_prune_keeps_the_newest(tmp_path: Path) -> None:
    for step in (1, 2, 3, 10):
        write(tmp_path, step)
    checkpoint.prune(tmp_path, keep=2)
    assert [p.name for p in checkpoint.steps(tmp_path)] == ["step-3", "step-10"]


def test_no_pickle_is_written(tmp_path: Path) -> None:
    path = write(tmp_path, 1)
    assert {p.suffix for p in path.iterdir()} <= {".json", ".safetensors"}
    assert json.loads((path / "manifest.json").read_text())["step"] == 1


def test_an_unwritable_folder_is_a_clear_failure(tmp_path: Path, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(RunFailedError, match="No space left"):
        write(tmp_path, 1)
    assert checkpoint.newest(tmp_path) == (None, [])


def test_load_of_a_folder_without_manifest_raises(tmp_path: Path) -> None:
    with pytest.raises(CalisrError, match="manifest"):
        checkpoint.load(tmp_path)
