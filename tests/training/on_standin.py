"""Runs on a stand-in accelerator (`standin.py`): nothing is on the wrong device, nothing waits.

`test_standin.py` starts these: a process that has computed gradients takes no new device.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForSequenceClassification

from calisr_engine.calibration.certified import CertifiedComparison
from calisr_engine.config.load import from_resolved
from calisr_engine.errors import RunFailedError
from calisr_engine.methods.catalog import METHODS
from calisr_engine.models.architectures import ARCHITECTURES, DECODERS
from calisr_engine.models.attention import look_at_no_mask
from calisr_engine.models.tokenizer import load_tokenizer
from calisr_engine.process.execute import execute
from calisr_engine.regularizers.catalog import REGULARIZERS
from calisr_engine.results.predictor import Predictor
from calisr_engine.runs.layout import RunPaths
from calisr_engine.tasks.data import load_task
from calisr_engine.training import step as steps
from calisr_engine.training.batching import TaskBatches
from calisr_engine.training.device import moved
from calisr_engine.training.loop import TrainingLoop
from calisr_engine.training.step import forward_loss
from tests.slow import quick_where
from tests.training import standin as far
from tests.training.golden import digest, newest_checkpoint
from tests.training.interrupt import kill_at
from tests.training.standin import standin
from tests.training.tiny_run import events, make_run, save_model

SHORT = (
    "task.max_train_examples=48",
    "task.max_validation_examples=8",
    "output.progress_every_seconds=1000",
    "training.eval_every_steps=5",
    "output.checkpoint_every_steps=5",
)
"""Three epochs of three steps."""

GROUPS = ("query", "key", "value", "attention_output", "intermediate", "output")
CALIBRATED = (
    "calibration.variant=S",
    "calibration.samples_per_epoch=1",
    "calibration.control=matched",
    "calibration.measure=true",
    "calibration.switch_steps=" + ", ".join(f"{group}:4" for group in GROUPS),
)
"""Measured at step 3, all switch after step 4."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one layer: what costs time here is each call of torch, and layers are alike."""
    torch.set_num_threads(1)
    return save_model(tmp_path_factory.mktemp("model"), layers=1)


@pytest.fixture
def device() -> Iterator[torch.device]:
    with standin() as there:
        yield there


QUICK = ("lora", "mpop", "child_tuning_d")
"""Methods of the quick tests."""
FORMS = [
    ("lora", "method.parametrisation=shadow", "method.reference=true"),
    ("lora", "calibration.log_parts=true", "calibration.keep_samples=true"),
    ("lora", "calibration.reading=since_last_sample"),
    ("lora", "calibration.prepare_first_sample=true"),
    ("lora", "calibration.reading=branches", "training.optimizer=sgd"),
    ("lora", "training.accumulate=2", "diagnostics.generalisation=true"),
    ("mask_bert", "training.activation_checkpointing=true", "training.last_layer=first_token"),
    ("mpop", "method.parametrisation=at_switch"),
    ("mpop", "method.embeddings=mpo", "method.bond=6"),
    ("mpop", "calibration.variant=off", "method.squeeze_gap=0.5"),
    ("child_tuning_d", "method.refresh_at_switch=true"),
    ("child_tuning_d", "method.reference=true"),
    ("child_tuning_f", "method.reference=true"),
]


def settings(method: str) -> tuple[str, ...]:
    refused = METHODS[method].calibration_refused
    pruned = ("method.fixed_mask_share=0.6",) if method == "diff_pruning" else ()  # after step 4
    return (f"method.name={method}", *SHORT, *(() if refused else CALIBRATED), *pruned)


def weights(run: Path) -> str:
    return digest(newest_checkpoint(run) / "model.safetensors")


@pytest.mark.parametrize(
    ("method", "more"),
    quick_where(
        [*((name, ()) for name in METHODS), ("lora", ("training.packing=true",))],
        lambda which: which[0] in QUICK,
    ),
)
def test_a_run_stays_on_its_device_waits_for_nothing_and_resumes_to_the_same_bits(
    method: str,
    more: tuple[str, ...],
    device: torch.device,
    model: Path,
    tmp_path: Path,
    waits_of: dict[int, Counter[str]],
) -> None:
    """Measured, switched, evaluated, saved and exported on the way."""
    whole = make_run(model, tmp_path, "whole", *settings(method), *more)
    assert execute(whole, raise_errors=True) == 0
    (started,) = events(whole, "run_started")
    assert started["device"] == str(device)
    if not METHODS[method].calibration_refused:
        assert switches(whole) == {(group, 4) for group in GROUPS}
        assert len(events(whole, "stable_rank_sampled")) == 1
    # The first step makes what later ones find, and reports.
    ordinary = {step: waits_of[step] for step in (2, 6, 7, 8)}
    assert {step: dict(found) for step, found in ordinary.items() if found} == {}
    often = (*settings(method), *more, "output.progress_every_seconds=0")
    killed = make_run(model, tmp_path, "killed", *often)
    kill_at(killed, 7)
    assert execute(killed, raise_errors=True) == 0
    assert weights(killed) == weights(whole)


def switches(run: Path) -> set[tuple[str, int]]:
    return {(each["group"], each["step"]) for each in events(run, "group_switched")}


@pytest.mark.parametrize(
    "sets",
    quick_where(
        [(each,) for each in FORMS],
        lambda form: (
            {"calibration.reading=branches", "training.last_layer=first_token"} & {*form[0]}
        ),
    ),
    ids=lambda form: " ".join(form),
)
def test_every_form_of_a_method_stays_on_its_device(
    sets: tuple[str, ...], device: torch.device, model: Path, tmp_path: Path
) -> None:
    method, *more = sets
    often = ("training.eval_every_steps=2", "output.checkpoint_every_steps=2")
    run = make_run(model, tmp_path, "run", *settings(method), *often, *more)
    kill_at(run, 4, "evaluated")  # it goes on from step 2, before sample and switch
    assert execute(run, raise_errors=True) == 0
    assert events(run, "completed")


@pytest.mark.parametrize("name", quick_where(REGULARIZERS, lambda name: name == "mixout"))
def test_a_regularizer_stays_on_its_device_and_waits_for_nothing(
    name: str,
    device: torch.device,
    model: Path,
    tmp_path: Path,
    waits_of: dict[int, Counter[str]],
) -> None:
    """Before and after the switch, and once more from a checkpoint."""
    proximal = ("regularizer.smart_proximal=1",) if name == "smart" else ()
    sets = (*settings("lora"), f"regularizer.name={name}", *proximal)
    run = make_run(model, tmp_path, "run", *sets)
    assert execute(run, raise_errors=True) == 0
    ordinary = {step: waits_of[step] for step in (2, 6, 7, 8)}
    assert {step: dict(found) for step, found in ordinary.items() if found} == {}
    killed = make_run(model, tmp_path, "killed", *sets, "output.progress_every_seconds=0")
    kill_at(killed, 7)
    assert execute(killed, raise_errors=True) == 0
    assert weights(killed) == weights(run)


def test_a_run_is_asked_on_the_device(device: torch.device, model: Path, tmp_path: Path) -> None:
    run = make_run(model, tmp_path, "run", "method.name=lora", *SHORT, "training.max_steps=3")
    assert execute(run, raise_errors=True) == 0
    predictor = Predictor(run)
    assert predictor.device == device
    answers = list(predictor.predict(["the cat sat", "a dog"]))
    assert len(answers) == 2


SCALAR, COPY = "aten._local_scalar_dense", "copy of memory that is not pinned"
NONZERO, INDEX = "aten.nonzero", "aten.index_put_"
WAITS_OF_TRANSFORMERS = {
    ("big_bird", False): {SCALAR: 1, COPY: 1},
    ("deberta-v2", True): {COPY: 1, NONZERO: 1},
    ("deberta-v2", False): {SCALAR: 1, COPY: 2, NONZERO: 1},
    ("longformer", True): {SCALAR: 15, NONZERO: 3, INDEX: 1},
    ("longformer", False): {SCALAR: 16, COPY: 1, NONZERO: 3, INDEX: 1},
    # Without a mask they look whether positions begin anew; these two build two masks.
    **{(kind, False): {SCALAR: 1} for kind in DECODERS},
    **{(kind, False): {SCALAR: 2} for kind in ("gemma2", "gemma3_text")},
}
"""(architecture, whether there is a mask) -> how often the code of transformers itself waits for
the device in one pass of one layer, to the number: one more would be ours."""


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_a_forward_and_backward_pass_waits_for_nothing(kind: str, device: torch.device) -> None:
    """Of every architecture, with a mask and without."""
    common = {"vocab_size": 40, "max_position_embeddings": 40, "pad_token_id": 0}
    common |= dict.fromkeys(("bos_token_id", "cls_token_id"), 1)
    common |= dict.fromkeys(("eos_token_id", "sep_token_id"), 2)
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 24,
    }
    if kind == "distilbert":
        sizes = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 24}
    elif kind in ("albert", "electra"):
        sizes["embedding_size"] = 16
    elif kind == "big_bird":  # as it is loaded
        sizes["attention_type"] = "original_full"
    elif kind == "deberta-v2":
        sizes |= {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c"]}
    elif kind in DECODERS:  # as they are loaded
        sizes |= {"head_dim": 8, "num_key_value_heads": 1, "use_cache": False}
    config = CONFIG_MAPPING[kind](**sizes, **common)
    model = AutoModelForSequenceClassification.from_config(config).to(device)
    look_at_no_mask()
    mask = torch.ones(3, 7, dtype=torch.int64)
    mask[0, 5:] = 0
    for shown in (mask, torch.ones_like(mask)):
        ids = torch.randint(5, 40, (3, 7))
        batch = {"input_ids": ids, "attention_mask": shown, "labels": torch.tensor([0, 1, 0])}
        far.waits.clear()
        batch = moved(batch, device)
        assert ("attention_mask" in batch) == (shown is mask)
        forward_loss(model, batch).backward()
        assert dict(far.waits) == WAITS_OF_TRANSFORMERS.get((kind, shown is mask), {})


def test_batches_prepared_ahead_are_those_of_the_cpu(
    device: torch.device, model: Path, tmp_path: Path
) -> None:
    """Over epochs, after a jump as of a resume, and for each of two ranks."""
    run = make_run(model, tmp_path, "run", "method.name=fft", *SHORT)
    config = from_resolved(RunPaths(run).config)
    data, rows = load_task(config.task), load_tokenizer(model)[0]
    for rank in range(2):
        here, there = (TaskBatches(data, rows, config) for _ in range(2))
        for epoch, index in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (3, 2), (4, 0), (4, 1)]:
            mine = there.train_part(epoch, index, device, rank, 2)
            plain = here.train_part(epoch, index, torch.device("cpu"), rank, 2)
            assert mine[1] == plain[1]
            assert mine[0] is not None
            assert plain[0] is not None
            for name, value in mine[0].items():
                assert value.device == device
                assert value.cpu().equal(plain[0][name])


@torch.no_grad()
def test_a_sample_on_the_device_decides_as_on_the_cpu(device: torch.device) -> None:
    """Matrices of two shapes, batched by shape; anchors are made, used, saved and taken back."""
    draw = torch.Generator("cpu").manual_seed(0)
    old = {
        f"{rows}x{columns}/{number}": torch.randn(rows, columns, generator=draw)
        for rows, columns in ((24, 16), (16, 40))
        for number in range(2)
    }
    there, here = CertifiedComparison(small=4), CertifiedComparison(small=4)
    for _ in range(3):
        pairs = {}
        for name, weight in old.items():
            core, extra = (1e-4 * torch.randn(weight.shape, generator=draw) for _ in range(2))
            pairs[name], old[name] = (weight + core, weight + core + extra), weight + core + extra
        expected = here.compare(pairs)
        far.waits.clear()
        found = there.compare({k: (a.to(device), b.to(device)) for k, (a, b) in pairs.items()})
        assert (found.hit, found.fallbacks) == (expected.hit, expected.fallbacks)
        for name, matrix in found.matrices.items():
            assert matrix.sr_lft == pytest.approx(expected.matrices[name].sr_lft, rel=1e-10)
        kept, there = there.state_dict(), CertifiedComparison(small=4)
        there.load_state_dict(kept)


@pytest.mark.parametrize(
    "last_layer", quick_where(["full", "first_token"], lambda which: which == "full")
)
def test_the_device_decides_as_the_cpu(last_layer: str, model: Path, tmp_path: Path) -> None:
    """Where both draw the same, here nothing: samples, decisions and losses agree."""
    sets = (
        *settings("lora"),
        f"training.last_layer={last_layer}",
        "training.dropout=0",
        "calibration.control=off",
        "calibration.delta=0",
        "output.progress_every_seconds=0",
    )
    on_cpu, on_device = (make_run(model, tmp_path, name, *sets) for name in ("cpu", "device"))
    assert execute(on_cpu, raise_errors=True) == 0
    with standin():
        assert execute(on_device, raise_errors=True) == 0
    assert switches(on_device) == switches(on_cpu) != set()
    for kind in ("progress", "evaluated"):
        there, here = ([each["loss"] for each in events(r, kind)] for r in (on_device, on_cpu))
        assert there == pytest.approx(here, rel=1e-4)


@pytest.fixture
def waits_of(monkeypatch: pytest.MonkeyPatch) -> dict[int, Counter[str]]:
    """Step -> what the host waited for in it."""
    found: dict[int, Counter[str]] = {}
    train_step: Callable[[Any], None] = TrainingLoop._train_step

    def counted(self: TrainingLoop) -> None:
        far.waits.clear()
        train_step(self)
        found[self.step] = Counter(far.waits)

    monkeypatch.setattr(TrainingLoop, "_train_step", counted)
    return found


@pytest.mark.parametrize(
    ("optimizer", "loss", "slope", "clip", "what", "last"),
    [
        ("adamw", 1.0, float("inf"), 1.0, "gradient norm", 6),
        ("sgd", float("nan"), 0.0, 0.0, "loss", 6),
        ("adamw", float("nan"), 0.0, 1.0, "loss", 5),
    ],
)
def test_no_bad_step_reaches_the_weights_though_nobody_looks(
    optimizer: str,
    loss: float,
    slope: float,
    clip: float,
    what: str,
    last: int,
    device: torch.device,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Step 3 is bad, the steps after it are not; what is wrong is read at the evaluation of step 6,
    or when the run is asked to stop and save after step 5."""
    sets = (
        f"training.optimizer={optimizer}",
        f"training.max_grad_norm={clip}",
        "training.eval_every_steps=6",
        "output.checkpoint_every_steps=2",
    )
    run = make_run(model, tmp_path, "run", "method.name=fft", *SHORT, *sets)
    forward, passes, seen, stop = steps.forward_loss, [], {}, threading.Event()

    def broken(model: Any, batch: Any) -> torch.Tensor:
        passes.append(1)
        seen[len(passes)] = {name: p.detach().cpu() for name, p in model.named_parameters()}
        if len(passes) == last == 5:
            stop.set()
        if len(passes) != 3:
            return forward(model, batch)
        total = dict(model.named_parameters())["classifier.bias"].sum()
        total.register_hook(lambda gradient: gradient * slope)
        return loss + total - total.detach()

    monkeypatch.setattr(steps, "forward_loss", broken)
    monkeypatch.setattr(
        "calisr_engine.training.schedule.StepPlan.is_checkpoint", lambda self, step: step in (2, 6)
    )
    with pytest.raises(RunFailedError, match=f"the {what} is not a number at step 3"):
        execute(run, stop, raise_errors=True)
    assert max(seen) == last
    assert any(not seen[2][name].equal(value) for name, value in seen[3].items())
    for later in range(4, last + 1):
        assert all(seen[later][name].equal(value) for name, value in seen[3].items())
    assert newest_checkpoint(run).name == "step-2"
