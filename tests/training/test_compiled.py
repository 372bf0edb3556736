"""A compiled training pass: few graphs, told in the log, anew after a switch, resumed to the bit.

By torch's tracing backends, which compile nothing and so are quick; inductor itself is slow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from calisr_engine.config.load import load
from calisr_engine.errors import CalisrError, RunFailedError
from calisr_engine.process.execute import execute
from calisr_engine.training import compiled
from calisr_engine.training.batching import wide_enough
from tests.training.alike import assert_alike, assert_same_bits, last_weights, story
from tests.training.interrupt import kill_at
from tests.training.tiny_run import events, make_run

SWITCHED = ("method.name=lora", "calibration.variant=S", "calibration.delta=0.3")
SHORT = ("calibration.decide_every_steps=4", "training.max_steps=10")


def told(run: Path) -> list[str]:
    said = [each["message"] for each in events(run, "noted")]
    return [message for message in said if message.startswith("training.compile")]


def lines_without_seconds(lines: list[str]) -> list[str]:
    """Shape, and how many graphs came before the last switch."""
    return [line.partition(", for ")[2] for line in lines]


@pytest.mark.slow
def test_a_compiled_run_decides_as_any_and_resumes_to_the_same_bits(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    sets = (*SWITCHED, *SHORT, "training.dropout=0", "output.checkpoint_every_steps=3")
    plain = make_run(model, tmp_path, "plain", *sets)
    run, killed = (make_run(model, tmp_path, n, *sets, "training.compile=true") for n in "ab")
    for each in (plain, run):
        assert execute(each, raise_errors=True) == 0
    kill_at(killed, 7)
    assert execute(killed, raise_errors=True) == 0
    assert_same_bits(run, killed)
    assert_alike(plain, run, losses=1e-3, weights=(1e-3, 1e-4))
    assert story(run)[1], "the run has no switch, so it shows nothing of one"
    lines = told(run)
    assert lines[0].startswith("training.compile: graph 1 of at most 12 compiled in ")
    assert "before the last switch" in lines[-1]
    assert len(set(lines_without_seconds(lines))) == len(lines), "a shape was compiled twice"
    assert not told(plain)


def test_more_shapes_than_foreseen_are_computed_uncompiled(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    monkeypatch.setattr(compiled, "most_graphs", lambda *_: 1)
    sets = ("method.name=fft", "training.compile=true", "task.max_train_examples=40")
    run = make_run(model, tmp_path, "run", *sets)  # batches of 16, 16 and 8
    assert execute(run, raise_errors=True) == 0
    assert len(told(run)) == 1
    said = [each["message"] for each in events(run, "warning")]
    assert sum("in more shapes than 1" in message for message in said) == 1


def test_widths_are_few_and_never_above_the_longest() -> None:
    widths = [wide_enough(tokens, 100) for tokens in range(1, 101)]
    assert sorted(set(widths)) == [8, 16, 24, 32, 48, 64, 96, 100]
    assert all(width >= tokens for tokens, width in enumerate(widths, start=1))
    assert compiled.most_graphs(100, torch.device("cpu")) == 16
    assert compiled.most_graphs(100, torch.device("cuda")) == 32


def test_what_torch_cannot_compile_is_told(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str) -> Any:
        def compile_fx(graph: Any, inputs: Any) -> Any:
            raise RuntimeError("no compiler here")

        return compile_fx

    monkeypatch.setattr("torch._dynamo.backends.registry.lookup_backend", broken)
    run = make_run(model, tmp_path, "run", "method.name=fft", "training.compile=true")
    with pytest.raises(RunFailedError, match=r"training\.compile: .*no compiler here") as caught:
        execute(run, raise_errors=True)
    assert "training.compile = false" in caught.value.hint


@pytest.mark.parametrize(
    "sets",
    [
        ("training.activation_checkpointing=true",),
        ("method.name=lora", "calibration.variant=S", "calibration.reading=branches"),
    ],
)
def test_what_it_does_not_go_with_is_refused(sets: tuple[str, ...]) -> None:
    with pytest.raises(CalisrError, match="compile"):
        load("demo", ["training.compile=true", *sets], {})


@pytest.mark.slow
@pytest.mark.timeout(900)
# torch's inductor still uses what torch.jit has for it.
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_inductor_trains_as_nobody_compiles(model: Path, tmp_path: Path) -> None:
    """One shape: two steps over the same sixteen rows."""
    sets = ("method.name=fft", "training.dropout=0", "task.max_train_examples=16")
    sets += ("training.max_steps=2",)
    plain, run = (
        make_run(model, tmp_path, f"compile-{on}", *sets, f"training.compile={on}")
        for on in ("false", "true")
    )
    for each in (plain, run):
        assert execute(each, raise_errors=True) == 0
    weights, other = (load_file(last_weights(r)) for r in (plain, run))
    assert weights.keys() == other.keys()
    for name, value in weights.items():
        torch.testing.assert_close(other[name], value, rtol=1e-3, atol=1e-4, msg=name)
    assert len(told(run)) == 1
