"""Checkpoints: whole or not at all, verified with the best model they count on, pruned by what is
whole."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from calisr_engine.calibration.score import ScoreBoard
from calisr_engine.errors import CalisrError, DamagedError, StorageError
from calisr_engine.runs.layout import RunPaths
from calisr_engine.training import best, checkpoint
from calisr_engine.training.calibrator import Measured
from calisr_engine.training.checkpoint import Checkpoints
from calisr_engine.training.evaluation import Score
from calisr_engine.training.ranks import Ranks
from calisr_engine.training.reporter import Tally
from calisr_engine.training.state import TrainState
from calisr_engine.training.switch import PhaseChange


def state(step: int, value: float = 1.0, best_step: int | None = None) -> TrainState:
    return TrainState(
        step=step,
        fingerprint="data/model",
        switches=(PhaseChange("query", 1, "calibration", "2 of 3"),),
        board=ScoreBoard.start(("query", "key"), 0.5).record("key", hit=1),
        measured=Measured(samples=3, seconds=0.5, compared=12, fallbacks=1),
        score=Score(
            best=None if best_step is None else 0.75,
            best_step=best_step or 0,
            last=0.5,
            without_gain=2,
            evaluated_at=step,
            ended_early=True,
        ),
        tally=Tally(trainable_steps=77, wall_seconds=1.25),
        rng={"python": [3, [1, 2], None], "numpy": ["MT19937", [1], 0, 0, 0.0]},
        streams=({"torch": torch.arange(4, dtype=torch.uint8)}, {"torch": torch.zeros(2)}),
        model={"w": torch.full((3, 2), value)},
        optimizer={"w::exp_avg": torch.ones(3, 2)},
        forms={"layer::mask": torch.ones(2)},
        comparison={"layer::start": torch.ones(5, dtype=torch.float64)},
        reading={"layer": torch.full((2, 2), 3.0)},
        regularizer={"layer::vector": torch.ones(3, dtype=torch.float64)},
    )


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "run")


def write(paths: RunPaths, step: int, value: float = 1.0, best_step: int | None = None) -> Path:
    if best_step is not None and not (paths.best / f"step-{best_step}").exists():
        best.save(paths.best, best_step, {"w": torch.ones(2)}, {"validation": torch.ones(2, 2)})
    return checkpoint.save(paths.checkpoints, state(step, value, best_step))


def equal(one: TrainState, two: TrainState) -> bool:
    for field in dataclasses.fields(TrainState):
        left, right = getattr(one, field.name), getattr(two, field.name)
        if field.name == "streams":
            left = {f"{i}/{k}": v for i, each in enumerate(left) for k, v in each.items()}
            right = {f"{i}/{k}": v for i, each in enumerate(right) for k, v in each.items()}
        if isinstance(left, dict) and field.name != "rng":
            if left.keys() != right.keys() or any(not left[k].equal(right[k]) for k in left):
                return False
        elif left != right:
            return False
    return True


def test_every_field_comes_back(paths: RunPaths) -> None:
    """No field of the state equals its default here, so one that is not read back is seen."""
    assert equal(checkpoint.load(write(paths, 7, 2.5, best_step=4)), state(7, 2.5, best_step=4))


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(TrainState)])
def test_the_comparison_of_states_sees_each_field(field: str) -> None:
    other = state(8, 3.0, best_step=2)
    changed = {
        "fingerprint": "other",
        "switches": (),
        "board": ScoreBoard.start(("query", "key"), 0.5),
        "measured": Measured(),
        "tally": Tally(),
        "rng": {},
        "streams": (),
        "optimizer": {},
        "forms": {},
        "comparison": {},
        "reading": {},
        "regularizer": {},
    }
    value = changed.get(field, getattr(other, field))
    assert not equal(state(7), dataclasses.replace(state(7), **{field: value}))


@pytest.mark.parametrize("where", ["", "score", "tally", "measured"])
@pytest.mark.parametrize("how", ["unknown", "missing"])
def test_a_field_that_is_unknown_or_missing_names_the_version_that_wrote_it(
    where: str, how: str
) -> None:
    plain, groups = state(7).state_dict()
    part = plain[where] if where else plain
    if how == "unknown":
        part["later"] = 1
    else:
        part.pop(next(key for key in part if key not in ("format", "written_by")))
    with pytest.raises(CalisrError, match=r"was written by calisr \d.*(unknown later|lacks)"):
        TrainState.load_state_dict(plain, groups)


def test_a_later_format_is_refused_not_passed_over(paths: RunPaths) -> None:
    plain, groups = state(7).state_dict()
    with pytest.raises(CalisrError, match=r"calisr 9.9 \(format 3\).*reads format 2") as caught:
        TrainState.load_state_dict({**plain, "format": 3, "written_by": "9.9"}, groups)
    assert not isinstance(caught.value, DamagedError)


def test_newest_takes_the_highest_step_not_the_name_order(paths: RunPaths) -> None:
    for step in (9, 10, 100):
        write(paths, step)
    found, skipped = checkpoint.newest(paths)
    assert found is not None
    assert found.step == 100
    assert skipped == []


def flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda p: (p / "model.safetensors").write_bytes(b"short"), "bytes"),
        (lambda p: (p / "model.safetensors").unlink(), "missing"),
        (lambda p: (p / "manifest.json").unlink(), "manifest.json"),
        (lambda p: (p / "manifest.json").write_text("{"), "manifest.json"),
        (lambda p: flip(p / "manifest.json", 3), "manifest"),
        (lambda p: flip(p / "optimizer.safetensors"), "checksum"),
        (lambda p: flip(p / "state.json", 40), "checksum"),
    ],
)
def test_a_damaged_checkpoint_is_skipped_and_said_why(
    paths: RunPaths, damage: Callable[[Path], None], says: str
) -> None:
    write(paths, 1)
    damage(write(paths, 2))
    found, skipped = checkpoint.newest(paths)
    assert found is not None
    assert found.step == 1
    assert len(skipped) == 1
    assert "step-2" in skipped[0]
    assert says in skipped[0]


def test_a_checkpoint_is_whole_only_with_its_best_model(paths: RunPaths) -> None:
    write(paths, 4, best_step=3)
    write(paths, 8, best_step=7)
    flip(paths.best / "step-7" / "weights.safetensors")
    found, skipped = checkpoint.newest(paths)
    assert found is not None
    assert found.step == 4
    assert "best/step-7" in skipped[0]


def test_a_checkpoint_under_another_name_is_not_taken_for_that_step(paths: RunPaths) -> None:
    shutil.copytree(write(paths, 3), paths.checkpoint(9))
    found, skipped = checkpoint.newest(paths)
    assert found is not None
    assert (found.step, skipped) == (3, ["step-9: it holds step 3"])


@pytest.mark.parametrize("content", [b"", b"x" * 64, struct.pack("<Q", 1 << 62), b"\xff" * 20])
def test_tensors_that_do_not_open_under_a_right_checksum(paths: RunPaths, content: bytes) -> None:
    write(paths, 2)
    path = write(paths, 4)
    (path / "model.safetensors").write_bytes(content)
    manifest = json.loads((path / "manifest.json").read_text())
    sha256 = hashlib.sha256(content).hexdigest()
    manifest["files"]["model.safetensors"] = {"bytes": len(content), "sha256": sha256}
    (path / "manifest.json").write_text(json.dumps(manifest))
    found, skipped = checkpoint.newest(paths)
    assert found is not None
    assert found.step == 2
    assert "step-4: it cannot be read: " in skipped[0]


def test_stray_files_are_passed_over(paths: RunPaths) -> None:
    path = write(paths, 4)
    (path / "notes.txt").write_text("mine")
    (path / "extra.safetensors").write_bytes(b"none")
    found, skipped = checkpoint.newest(paths)
    assert found is not None
    assert skipped == []


class Saver:
    """Writes states as a run does, without one."""

    def __init__(self, paths: RunPaths, keep: int) -> None:
        self.checkpoints = Checkpoints(paths, keep, Ranks())
        self.optimizer = self
        self.best_step: int | None = None

    def parameters(self) -> list[torch.nn.Parameter]:
        return []

    def capture(self, step: int) -> TrainState:
        return state(step, best_step=self.best_step)

    def save(self, step: int, best_step: int | None = None) -> None:
        self.best_step = best_step
        if best_step is not None:
            paths = self.checkpoints.paths
            if not (paths.best / f"step-{best_step}").exists():
                weights = {"w": torch.ones(2)}
                best.save(paths.best, best_step, weights, {"validation": torch.ones(2, 2)})
        self.checkpoints.save(self, step)  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_are_kept_and_written_once_a_step(paths: RunPaths) -> None:
    saver = Saver(paths, keep=2)
    for step in (1, 2, 3, 10):
        saver.save(step)
    assert saver.checkpoints.save(saver, 10) is None  # type: ignore[arg-type]
    assert names(paths.checkpoints) == ["step-10", "step-3"]


def test_pruning_does_not_count_what_is_damaged(paths: RunPaths) -> None:
    write(paths, 4)
    flip(write(paths, 8) / "model.safetensors")
    Saver(paths, keep=1).save(6)  # resumed from 4, since 8 is damaged
    assert names(paths.checkpoints) == ["step-6"]
    found, skipped = checkpoint.newest(paths)
    assert found is not None
    assert (found.step, skipped) == (6, [])


def test_a_damaged_older_one_does_not_cost_a_whole_one(paths: RunPaths) -> None:
    write(paths, 2)
    flip(write(paths, 4) / "model.safetensors")
    Saver(paths, keep=2).save(6)
    assert names(paths.checkpoints) == ["step-2", "step-6"]


def test_a_best_model_stays_while_a_kept_checkpoint_names_it(paths: RunPaths) -> None:
    saver = Saver(paths, keep=2)
    saver.save(2, best_step=1)
    saver.save(4, best_step=3)
    assert names(paths.best) == ["step-1", "step-3"]
    saver.save(6, best_step=3)
    assert names(paths.best) == ["step-3"]


def test_a_write_that_was_cut_off_is_never_read_and_goes(paths: RunPaths) -> None:
    path = write(paths, 3)
    path.rename(path.with_name(f"step-3.tmp-{os.getpid()}"))
    assert checkpoint.newest(paths) == (None, [])
    Saver(paths, keep=1).save(5)
    assert names(paths.checkpoints) == ["step-5"]


def test_no_pickle_is_written(paths: RunPaths) -> None:
    path = write(paths, 1, best_step=1)
    for folder in (path, paths.best / "step-1"):
        assert {p.suffix for p in folder.iterdir()} <= {".json", ".safetensors"}
    assert json.loads((path / "manifest.json").read_text())["step"] == 1


def test_a_full_disk_is_a_clear_failure(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(StorageError, match=r"checkpoint of step 1 .* the disk is full"):
        write(paths, 1)
    assert not paths.checkpoints.exists()


def test_the_best_model_of_version_0_1_has_no_manifest(paths: RunPaths) -> None:
    write(paths, 4, best_step=3)
    (paths.best / "step-3" / "manifest.json").unlink()
    assert best.weights(paths.best, 3)["w"].equal(torch.ones(2))
    (paths.best / "step-3" / "weights.safetensors").write_bytes(b"cut")
    with pytest.raises(DamagedError, match=r"weights\.safetensors"):
        best.weights(paths.best, 3)
    shutil.rmtree(paths.best)
    with pytest.raises(DamagedError):
        best.weights(paths.best, 3)
