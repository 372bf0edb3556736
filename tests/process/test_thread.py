"""A run in a thread of the app: what it took of the process it gives back."""

from __future__ import annotations

import builtins
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from calisr_engine.process.thread import EngineThread, preload
from calisr_engine.training.loop import TrainingLoop
from tests.training.tiny_run import make_run, save_model


@pytest.mark.parametrize("how", ["done", "failed", "stopped"])
def test_what_a_run_kept_from_the_collector_goes_when_it_ends(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    run = make_run(save_model(tmp_path / "model"), tmp_path, "run", "training.max_steps=2")
    thread = EngineThread(run)
    frozen, models = [], []
    train_step = TrainingLoop._train_step

    def looked_at(self: TrainingLoop) -> Any:
        frozen.append(gc.get_freeze_count())
        models.append(weakref.ref(self.prepared.model))
        if how == "failed":
            raise OSError("no more")
        if how == "stopped":
            thread.stop_and_save()
        return train_step(self)

    gc.unfreeze()
    monkeypatch.setattr(TrainingLoop, "_train_step", looked_at)
    thread.start()
    assert thread.join(120) == {"done": 0, "failed": 1, "stopped": 75}[how]
    assert frozen[0] > 1000
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert [model() for model in models] == [None] * len(models)


def test_the_collector_rests_while_torch_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would stop the screen, longer each time; also a failed import leaves it at work."""
    seen = []

    def imported(name: str, *more: Any) -> Any:
        if name == "calisr_engine.process.execute":
            seen.append(gc.isenabled())
            raise ImportError("gone")
        return found(name, *more)

    found = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", imported)
    monkeypatch.setattr(threading, "excepthook", lambda what: None)
    preload().join(60)
    assert seen == [False]
    assert gc.isenabled()
