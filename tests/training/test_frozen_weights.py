"""Matrices that train no more, kept in 16 bits: half the memory, and the same training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import Qwen2Config, Qwen2ForSequenceClassification

from calisr_engine.analysis.weights import run_weights
from calisr_engine.config.load import from_resolved, load
from calisr_engine.errors import ConfigError
from calisr_engine.events.log import EventWriter
from calisr_engine.forecast.before_start import require
from calisr_engine.methods.catalog import METHODS
from calisr_engine.process.execute import execute
from calisr_engine.results.best_model import best_logits, open_exported
from calisr_engine.runs.layout import RunPaths
from calisr_engine.training.build import prepare
from tests.slow import quick_where
from tests.training.golden import CALIBRATED, newest_checkpoint
from tests.training.interrupt import kill_at
from tests.training.tiny_run import events, make_run

BF16 = ("training.precision=bf16", "output.checkpoint_every_steps=4")
ROUNDED = "training.frozen_weights=bf16"
TAKE_IT = [name for name, method in METHODS.items() if not method.rounding_refused]


PAGES = {
    name: (Path(__file__).parents[2] / "docs" / name).read_text()
    for name in ("gpu.md", "models.md")
}


def test_the_pages_name_the_methods_and_what_a_decoder_saves() -> None:
    assert TAKE_IT == ["lora", "bitfit", "adapter", "compacter", "prefix", "unipelt"]
    assert "LoRA, BitFit, adapters, prefixes, Compacter and UniPELT" in PAGES["gpu.md"]
    shapes = {"hidden_size": 896, "intermediate_size": 4864, "vocab_size": 151936}
    heads = {"num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2}
    with torch.device("meta"):
        decoder = Qwen2ForSequenceClassification(Qwen2Config(**shapes, **heads))
    linear = [m.weight.numel() for m in decoder.modules() if type(m) is nn.Linear]
    total = sum(each.numel() for each in decoder.parameters())
    said = " ".join(PAGES["models.md"].split())
    assert f"{total / 1e6:.0f} million numbers, {sum(linear) / 1e6:.0f} of them" in said
    sizes = (4 * total - 2 * sum(linear), 4 * total)
    assert "{:.2f} GB of weights in the place of {:.2f}".format(*(s / 1e9 for s in sizes)) in said


def story(run: Path) -> list[Any]:
    """All that a log tells of training: losses, samples, switches and evaluations."""
    told = {
        "progress": ("loss", "gradient_norm"),
        "stable_rank_sampled": ("groups",),
        "group_switched": ("group", "trainable"),
        "evaluated": ("metrics", "loss"),
    }
    return [
        [kind, each["step"], *(each[key] for key in keys)]
        for kind, keys in told.items()
        for each in events(run, kind)
    ]


BRANCHES = (*CALIBRATED, "calibration.reading=branches")
CASES = [
    (method, more)
    for method in TAKE_IT
    for more in ((), CALIBRATED, BRANCHES)
    if not (more and METHODS[method].calibration_refused)
]


@pytest.mark.parametrize(
    ("method", "more"),
    quick_where(CASES, lambda case: case[0] == ("lora" if case[1] else "unipelt")),
)
def test_the_same_training_to_the_bit(
    method: str, more: tuple[str, ...], model: Path, tmp_path: Path
) -> None:
    sets = (f"method.name={method}", *BF16, *more)
    whole = make_run(model, tmp_path, "whole", *sets)
    rounded = make_run(model, tmp_path, "rounded", *sets, ROUNDED)
    assert execute(whole, raise_errors=True) == 0
    kill_at(rounded, 11)
    assert execute(rounded, raise_errors=True) == 0
    own = load_file(newest_checkpoint(rounded) / "model.safetensors")
    other = load_file(newest_checkpoint(whole) / "model.safetensors")
    narrow = {name for name, value in own.items() if value.dtype == torch.bfloat16}
    assert any("encoder.layer.0" in name and name.endswith("weight") for name in narrow)
    for name, value in other.items():
        kept = value.bfloat16() if name in narrow else value
        assert torch.equal(own[name], kept), name
    once = {str(line) for line in story(rounded)}  # steps after the kill are told twice
    assert once == {str(line) for line in story(whole)}


def test_results_are_in_fp32_and_answer_as_the_run(model: Path, tmp_path: Path) -> None:
    run = make_run(model, tmp_path, "run", "method.name=lora", *BF16, ROUNDED)
    assert execute(run, raise_errors=True) == 0
    exported = load_file(run / "model" / "model.safetensors")
    assert {value.dtype for value in exported.values()} == {torch.float32}
    opened, _ = open_exported(run / "model")
    assert {value.dtype for value in opened.parameters()} == {torch.float32}
    matrices = run_weights(run).matrices
    assert matrices
    assert all(torch.isfinite(each).all() for each in matrices.values())
    assert best_logits(run)[1]


@pytest.mark.parametrize("method", quick_where(TAKE_IT, lambda name: name in ("lora", "unipelt")))
def test_what_never_trains_is_rounded_before_it_goes_to_the_device(
    method: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no other weight, as the next to move are what is frozen at the first step."""
    run = make_run(model, tmp_path, "run", f"method.name={method}", *BF16, ROUNDED)
    moved, as_it_is = [], nn.Module.to

    def to(self: nn.Module, *given: Any, **named: Any) -> nn.Module:
        moved.append({name: p.dtype for name, p in self.named_parameters()})
        return as_it_is(self, *given, **named)

    monkeypatch.setattr(nn.Module, "to", to)
    paths = RunPaths(run)
    with EventWriter(paths.events, 1) as writer:
        prepared = prepare(from_resolved(paths.config), paths, writer, resume=False)
        narrow = {name for name, dtype in moved[-1].items() if dtype == torch.bfloat16}
        assert any("encoder.layer.0" in name for name in narrow)
        prepared.calibrator.switch_on_schedule(0)
    known = dict(prepared.model.named_parameters())
    assert narrow == {name for name, p in known.items() if p.dtype == torch.bfloat16}


def test_what_is_given_back_is_told(model: Path, tmp_path: Path) -> None:
    freed = []
    for sets in ((), (ROUNDED,)):
        run = make_run(
            model, tmp_path, f"run{len(sets)}", "method.name=lora", *BF16, *CALIBRATED, *sets
        )
        assert execute(run, raise_errors=True) == 0
        freed.append([each["freed_bytes"] for each in events(run, "group_switched")])
    assert len(freed[0]) == len(freed[1]) > 0
    assert all(more > less > 0 for less, more in zip(*freed, strict=True))


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(TAKE_IT)))
def test_a_method_that_calculates_with_what_it_froze_is_refused(method: str) -> None:
    with pytest.raises(ConfigError, match=f"{method} cannot keep frozen weights in bf16: .+"):
        load(None, [f"method.name={method}", ROUNDED])


@pytest.mark.parametrize(
    "sets",
    [
        ("training.precision=fp32",),
        ("training.precision=auto", "training.device=cpu"),
        ("training.precision=auto", "regularizer.name=smart", "calibration.variant=S"),
    ],
)
def test_it_needs_a_pass_in_bf16_and_says_so_before_the_start(
    sets: tuple[str, ...], model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="frozen_weights"):  # noqa: PT012
        config = load(None, [f"model.name={model}", "task.name=demo", *sets, ROUNDED]).config
        require(config, tmp_path)
