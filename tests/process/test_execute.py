"""A run leaves the process as it found it, and goes on whatever became of its log."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from calisr_engine.events.decode import parse
from calisr_engine.process.execute import execute
from calisr_engine.runs import load_view
from tests.training.golden import digest, newest_checkpoint
from tests.training.interrupt import after_event, kill_at
from tests.training.tiny_run import make_run

CALIBRATED = ("method.name=lora", "calibration.variant=S", "calibration.delta=0.3")


@pytest.fixture(scope="module")
def calm(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(model, tmp_path_factory.mktemp("calm"), "calm", *CALIBRATED)
    assert execute(run, raise_errors=True) == 0
    return run


def test_threads_of_a_run_do_not_reach_the_next(model: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    seen = []
    sets = ("method.name=fft", "training.threads=2", "training.max_steps=2")
    run = make_run(model, tmp_path, "two", *sets)
    with after_event(lambda step, event: seen.append(torch.get_num_threads())):
        assert execute(run, raise_errors=True) == 0
    assert set(seen) == {2}
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("what", ["lost", "emptied", "garbled"])
def test_a_lost_log_never_makes_a_run_start_anew(
    what: str, calm: Path, model: Path, tmp_path: Path
) -> None:
    hurt = make_run(model, tmp_path, "hurt", *CALIBRATED)
    kill_at(hurt, 14)
    log = hurt / "events.jsonl"
    if what == "lost":
        log.unlink()
    else:
        log.write_text("" if what == "emptied" else '{"what": is this\n\x00\x00 junk\n')
    assert execute(hurt, raise_errors=True) == 0
    said = [r for r in map(parse, log.read_bytes().splitlines()) if r is not None]
    started = [r for r in said if r["type"] == "run_started"]
    assert [each["resumed_from"] for each in started] == [12]
    warned = next(r for r in said if r["type"] == "warning")
    assert "log of this run was lost" in warned["message"]
    one, two = load_view(calm), load_view(hurt)
    assert one.summary is not None
    assert two.summary is not None
    for key in ("best", "best_step", "last", "switched", "steps", "trainable", "samples"):
        assert two.summary[key] == one.summary[key], key
    assert two.method == "lora"
    weights = [digest(newest_checkpoint(run) / "model.safetensors") for run in (calm, hurt)]
    assert weights[0] == weights[1]
