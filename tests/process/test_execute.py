"""A run leaves the process as it found it."""

from __future__ import annotations

from pathlib import Path

import torch

from calisr_engine.process.execute import execute
from tests.training.tiny_run import make_run, save_model


def test_threads_of_a_run_do_not_reach_the_next(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    torch.set_num_threads(1)
    seen = []
    run = make_run(model, tmp_path, "two", "method.name=fft", "training.threads=2")
    from tests.training.interrupt import after_event

    with after_event(lambda step, event: seen.append(torch.get_num_threads())):
        assert execute(run, raise_errors=True) == 0
    assert set(seen) == {2}
    assert torch.get_num_threads() == 1
