"""Checkpoints: written whole or not at all, verified before they are read, no pickle.

A checkpoint is a sealed folder `step-N` with one safetensors file a group of tensors and
`state.json`; `TrainState` says what they hold. It counts on the best model that it names, so it is
whole only together with that.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import load_file, save_file

from calisr_engine.errors import CalisrError, DamagedError
from calisr_engine.runs.layout import RunPaths
from calisr_engine.storage.plain import read_json
from calisr_engine.storage.sealed import sealed_folder, verified
from calisr_engine.storage.whole import remove, sweep, tensor_bytes
from calisr_engine.training import best
from calisr_engine.training.ranks import Ranks
from calisr_engine.training.state import Stateful, TrainState

STATE = "state.json"
_STEP = re.compile(r"^step-(\d+)$")
_SUFFIX = ".safetensors"


def save(folder: Path, state: TrainState) -> Path:
    """Write `folder`/step-N and return its path.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    plain, groups = state.state_dict()
    final = folder / f"step-{state.step}"
    what, hint = f"the checkpoint of step {state.step}", "then `calisr resume` the run"
    needs = sum(map(tensor_bytes, groups.values()))
    with sealed_folder(final, {"step": state.step}, what, hint, needs) as part:
        for name, tensors in groups.items():
            if tensors:
                moved = {key: t.detach().cpu().contiguous() for key, t in tensors.items()}
                save_file(moved, part / f"{name}{_SUFFIX}")
        (part / STATE).write_text(json.dumps(plain))
    return final


def load(path: Path) -> TrainState:
    """Read a checkpoint after checking it against its manifest.

    Raises:
        DamagedError: something is missing or damaged; the message says what.
        CalisrError: another version wrote it in another form.
    """
    manifest = verified(path)
    try:
        plain = read_json(path / STATE)
        groups = {
            name.removesuffix(_SUFFIX): load_file(path / name)
            for name in manifest["files"]
            if name.endswith(_SUFFIX)
        }
        return TrainState.load_state_dict(plain, groups)
    except CalisrError:
        raise
    except Exception as error:  # the library of the tensors has no common base class of its errors
        said = str(error).partition("\n")[0][:200]
        raise DamagedError(f"it cannot be read: {type(error).__name__}: {said}") from error


def newest(paths: RunPaths) -> tuple[TrainState | None, list[str]]:
    """The newest checkpoint of a run that is whole, and a line for each that was skipped."""
    skipped: list[str] = []
    for path in reversed(steps(paths.checkpoints)):
        try:
            _check(path)
            return load(path), skipped
        except DamagedError as error:
            skipped.append(f"{path.name}: {error.message}")
    return None, skipped


def steps(folder: Path) -> list[Path]:
    """Checkpoint folders in order of steps."""
    if not folder.is_dir():
        return []
    found = [(int(m[1]), p) for p in folder.iterdir() if (m := _STEP.match(p.name))]
    return [path for _, path in sorted(found)]


@dataclass
class Checkpoints:
    """The checkpoints of one run: writes them and keeps the newest that are whole.

    Attributes:
        saved_at: step of the newest one written or resumed from; -1 before that.
    """

    paths: RunPaths
    keep: int
    ranks: Ranks
    saved_at: int = -1
    _whole: set[Path] = field(default_factory=set)
    """Those that this process wrote or has verified, so that none is read again and again."""

    def save(self, run: Stateful, step: int) -> tuple[str, int] | None:
        """Write the state of `run` unless that is done; all ranks must call it.

        Returns:
            (path relative to the run directory, bytes) on the rank that wrote one.
        """
        if self.saved_at == step:
            return None
        self.ranks.check_equal(run.optimizer.parameters(), step)
        state = run.capture(step)
        self.saved_at = step
        if not self.ranks.is_first:
            return None
        path = save(self.paths.checkpoints, state)
        self._whole.add(path)
        self._prune()
        size = sum(file.stat().st_size for file in path.iterdir())
        return str(path.relative_to(self.paths.root)), size

    def outdated(self) -> None:
        """The run has changed since, without a step: the next save writes this step anew."""
        self.saved_at = -1

    def _prune(self) -> None:
        """Delete all but the newest `keep` whole checkpoints, and best models that none names.

        One that is damaged does not count, so a good older one is kept in its place.
        """
        sweep(self.paths.checkpoints)
        kept: list[int | None] = []
        for path in reversed(steps(self.paths.checkpoints)):
            if len(kept) < self.keep and self._is_whole(path):
                kept.append(_steps(path)[1])
            else:
                remove(path)
        best.prune(self.paths.best, [step for step in kept if step is not None])

    def _is_whole(self, path: Path) -> bool:
        if path not in self._whole:
            try:
                _check(path)
            except DamagedError:
                return False
            self._whole.add(path)
        return True


def _check(path: Path) -> None:
    """Raise DamagedError unless a checkpoint is whole, with the best model it counts on."""
    if STATE not in verified(path)["files"]:
        raise DamagedError(f"the manifest does not name {STATE}")
    own, step = _steps(path)
    if path.name != f"step-{own}":
        raise DamagedError(f"it holds step {own}")
    if step is not None:
        try:
            best.verify(path.parent.parent / "best", step)
        except DamagedError as error:
            raise DamagedError(f"its best model (best/step-{step}): {error.message}") from error


def _steps(path: Path) -> tuple[int, int | None]:
    """Step of a checkpoint, and of the best model it names; None before the first evaluation."""
    try:
        plain = read_json(path / STATE)
        score = plain["score"] if "score" in plain else plain["counters"]
        best_step = None if score["best"] is None else int(score["best_step"])
        return int(plain["step"]), best_step
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DamagedError(f"{STATE} cannot be read: {type(error).__name__}") from error
