"""Runs whose training batches are packed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from calisr_engine.config.load import load
from calisr_engine.errors import ConfigError
from calisr_engine.forecast.before_start import check
from calisr_engine.methods.catalog import METHODS
from calisr_engine.models import packing
from calisr_engine.process.execute import execute
from tests.models.folders import save
from tests.slow import quick_where
from tests.training.alike import CALIBRATED, assert_alike, assert_same_bits
from tests.training.interrupt import kill_at
from tests.training.tiny_run import make_run

PACKED = "training.packing=true"
CHECKPOINTS = "output.checkpoint_every_steps=4"
TAKE_IT = [name for name, method in METHODS.items() if not method.packing_refused]


@pytest.mark.parametrize("method", quick_where(TAKE_IT, lambda name: name == "lora"))
def test_decisions_are_the_same_and_weights_but_for_rounding(
    method: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without dropout; the packed run also killed and resumed, and with its steps divided."""
    torch.set_num_threads(1)
    calibrated = () if METHODS[method].calibration_refused else CALIBRATED
    # What is drawn or chosen by size would follow the last bit.
    rate = "training.learning_rate=1e-4"
    sets = (f"method.name={method}", *calibrated, "training.dropout=0", rate, CHECKPOINTS)
    packed_batches = []
    as_it_is = packing._Packing.packed
    monkeypatch.setattr(
        packing._Packing,
        "packed",
        lambda self, each: packed_batches.append(each.shape) or as_it_is(self, each),
    )
    padded = make_run(model, tmp_path, "padded", *sets)
    packed, killed = (make_run(model, tmp_path, name, *sets, PACKED) for name in ("packed", "cut"))
    assert execute(padded, raise_errors=True) == 0
    assert not packed_batches
    assert execute(packed, raise_errors=True) == 0
    assert packed_batches
    kill_at(killed, 10)
    assert execute(killed, raise_errors=True) == 0
    assert_alike(padded, packed, losses=1e-3, weights=(1e-2, 1e-3))
    assert_same_bits(packed, killed)


@pytest.mark.parametrize(
    "more",
    quick_where(
        [
            (("calibration.reading=branches",),),
            (("regularizer.name=smart", "calibration.variant=off"),),
            (("training.activation_checkpointing=true", "training.accumulate=2"),),
        ],
        lambda more: "regularizer.name=smart" in more[0],
    ),
    ids=lambda more: more[0],
)
def test_it_goes_with(more: tuple[str, ...], model: Path, tmp_path: Path) -> None:
    """And a stopped run goes on to the same bits."""
    torch.set_num_threads(1)
    sets = ("method.name=lora", *CALIBRATED, CHECKPOINTS, PACKED)
    whole, killed = (make_run(model, tmp_path, name, *sets, *more) for name in "wk")
    assert execute(whole, raise_errors=True) == 0
    kill_at(killed, 5)
    assert execute(killed, raise_errors=True) == 0
    assert_same_bits(whole, killed)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ("training.compile=true", "counts on texts in rows of their own"),
        ("training.last_layer=first_token", "counts on texts in rows of their own"),
        ("method.name=prefix", "takes no packed texts"),
        ("method.name=unipelt", "takes no packed texts"),
    ],
)
def test_it_does_not_go_with(other: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        load(None, [PACKED, other])
    assert "training.packing" in str(caught.value)


def test_a_model_that_cannot_is_told_before_there_is_a_run(tmp_path: Path) -> None:
    folder = save("deberta-v2", tmp_path / "model")
    config = load("demo", [f"model.name={folder}", PACKED], {"output.dir": tmp_path / "r"}).config
    (problem,) = check(config)
    assert problem.keys == ("training.packing",)
    assert "have an attention of their own" in problem.message
