"""A step whose figures are no numbers touches no weight."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from calisr_engine.errors import RunFailedError
from calisr_engine.process.execute import execute
from calisr_engine.training import step as steps
from tests.training.tiny_run import events, make_run


@pytest.mark.parametrize(
    ("loss", "slope", "clip", "what"),
    [
        (1.0, float("inf"), 1.0, "gradient norm"),
        (1.0, float("nan"), 1.0, "gradient norm"),
        (float("inf"), 0.0, 1.0, "loss"),
        (float("nan"), 0.0, 1.0, "loss"),
        (float("nan"), 0.0, 0.0, "loss"),
    ],
)
def test_it_fails_before_the_update(
    model: Path, tmp_path: Path, loss: float, slope: float, clip: float, what: str
) -> None:
    """The loss is `loss` and its gradient `slope` in one weight, from the third step on."""
    sets = ("output.checkpoint_every_steps=2", f"training.max_grad_norm={clip}")
    run = make_run(model, tmp_path, "run", "method.name=fft", *sets)
    forward, passes, seen = steps.forward_loss, [], []

    def broken(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        passes.append(1)
        seen[:] = [model]
        if len(passes) < 3:
            return forward(model, batch)
        (bias,) = (p for n, p in model.named_parameters() if n == "classifier.bias")
        total = bias.sum()
        total.register_hook(lambda gradient: gradient * slope)
        return loss + total - total.detach()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "forward_loss", broken)
        with pytest.raises(RunFailedError, match=f"the {what} is not a number at step 3"):
            execute(run, raise_errors=True)
    saved = load_file(run / "checkpoints" / "step-2" / "model.safetensors")
    assert all(
        saved[name].equal(value) for name, value in seen[0].state_dict().items() if name in saved
    )
    assert [e["step"] for e in events(run, "progress")] == [1, 2]


def test_a_methods_penalty_adds_its_gradient_once_a_step(model: Path, tmp_path: Path) -> None:
    """Not once a micro-batch, and before the clip."""

    def bias_gradient(name: str, slope: float | None) -> Tensor:
        sets = ("training.max_steps=2", "training.accumulate=2", "training.max_grad_norm=0")
        run = make_run(model, tmp_path, name, "method.name=fft", "training.dropout=0", *sets)
        found: list[Tensor] = []
        gradients = steps.OptimizerStep.gradients

        def watched(self: steps.OptimizerStep, number: int) -> None:
            (bias,) = (p for n, p in self._model.named_parameters() if n == "classifier.bias")
            if slope is not None:
                self._attachment.penalty = lambda: slope * bias.sum()
            gradients(self, number)
            assert bias.grad is not None
            found.append(bias.grad.clone())

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(steps.OptimizerStep, "gradients", watched)
            assert execute(run, raise_errors=True) == 0
        return found[0]

    plain = bias_gradient("plain", None)
    torch.testing.assert_close(bias_gradient("more", 3.0), plain + 3, rtol=0, atol=1e-6)
