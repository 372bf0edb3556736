"""What a sample compares under each reading, against its definition written anew."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from calisr_engine.config.load import load
from calisr_engine.errors import ConfigError
from calisr_engine.methods.base import seeded_generator
from calisr_engine.process.execute import execute
from calisr_engine.results.audit import audit
from calisr_engine.runs.layout import RunPaths
from calisr_engine.training import checkpoint
from tests.definitions.recording import Weights, recorded
from tests.definitions.reference import Reference, Settings, contraction, fastfood
from tests.definitions.test_steps import is_embedding, is_target
from tests.slow import quick_where
from tests.training.golden import newest_checkpoint
from tests.training.interrupt import kill_at, stop_at
from tests.training.tiny_run import events, make_run

ALL = 'method.components=["query","key","value","attention_output","intermediate","output"]'
METHODS = {
    "lora": ("method.name=lora", ALL),
    "mpop": ("method.name=mpop", "method.mpo_lr=4e-3"),
    "child_tuning_d": ("method.name=child_tuning_d",),
    "mask_bert": ("method.name=mask_bert", "training.lft_learning_rate=5e-2"),
    "bitfit": ("method.name=bitfit",),
    "said": ("method.name=said", "training.lft_learning_rate=0.1"),
}
MEASURED = ("calibration.variant=S", "calibration.delta=1.0", "calibration.samples_per_epoch=2")
FIGURES = (
    "training.epochs=2",
    "training.weight_decay=0.1",
    "training.max_grad_norm=0.05",
    "training.adam_epsilon=1e-2",
)
LARGE = ("training.max_grad_norm=1", "training.adam_epsilon=1e-3")
"""Steps so large that what a branch makes of the weights is far from what the run does."""

COMPONENTS = {
    "query": ".query",
    "key": ".key",
    "value": ".value",
    "attention_output": "attention.output.dense",
    "intermediate": "intermediate.dense",
    "output": ".output.dense",
}


def component(stem: str) -> str:
    return next(name for name, end in COMPONENTS.items() if stem.endswith(end))


def stable_rank(weight: Tensor) -> float:
    values = torch.linalg.svdvals(weight.double())
    return float(values.square().sum() / values[0].square())


def light_matrix(method: str, stem: str, now: Weights, then: Weights, masks: Weights) -> Tensor:
    """The core as in `now` with the extra as in `then`, float64."""
    own = {k: v.double() for k, v in now.items()}
    old = {k: v.double() for k, v in then.items()}
    if method == "lora":
        a, b = (own[f"{stem}.lora_{x}.calisr.weight"] for x in "AB")
        return old[f"{stem}.base_layer.weight"] + 2.0 * (b @ a)
    if method == "mpop":
        return contraction([(old if k == 2 else own)[f"{stem}.calisr_mpo.{k}"] for k in range(5)])
    if method == "child_tuning_d":
        return torch.where(masks[f"{stem}::mask"], own[f"{stem}.weight"], old[f"{stem}.weight"])
    if method == "mask_bert":
        kept = own[f"{stem}.calisr_scores"] > now[f"{stem}.calisr_scores"].new_tensor(1e-2)
        return old[f"{stem}.calisr_base"] * kept
    if method == "said":
        theta, base = own["calisr_theta"], old[f"{stem}.calisr_base"]
        draws = seeded_generator(42, f"said/{stem}")
        moved = fastfood(base.numel(), len(theta), draws) @ theta
        return base + own[f"{stem}.calisr_lambda"] * moved.view(base.shape)
    return old[f"{stem}.weight"]


def stems_of(names: dict[str, Tensor]) -> list[str]:
    plain = [n.replace(".base_layer", "") for n in names if n.endswith(".weight")]
    return sorted({n.removesuffix(".weight") for n in plain if is_target(n)})


@pytest.mark.parametrize("method", METHODS)
def test_since_last_sample(model: Path, tmp_path: Path, method: str) -> None:
    """Core now and extra of the sample before (of the start, for the first), against all now."""
    reading = "calibration.reading=since_last_sample"
    found = recorded(model, tmp_path, "run", *METHODS[method], *MEASURED, *FIGURES, reading)
    path = newest_checkpoint(found.run) / "forms.safetensors"
    masks = load_file(path) if path.is_file() else {}
    at = {0: found.start, **{step: after for step, after in enumerate(found.after, start=1)}}
    sampled = events(found.run, "stable_rank_sampled")
    assert [each["step"] for each in sampled] == [3, 6, 9, 12]
    stems = stems_of(found.start)
    assert len(stems) == 12
    before = 0
    for each in sampled:
        step = each["step"]
        light: dict[str, float] = {}
        full: dict[str, float] = {}
        for stem in stems:
            group = component(stem)
            for sums, then in ((light, before), (full, step)):
                matrix = light_matrix(method, stem, at[step], at[then], masks)
                sums[group] = sums.get(group, 0.0) + stable_rank(matrix)
        for group, said in each["groups"].items():
            assert said["sr_lft"] == pytest.approx(light[group], rel=1e-9)
            assert said["sr_fft"] == pytest.approx(full[group], rel=1e-9)
            assert said["hit"] == (light[group] < full[group])
        before = step


def light_leaves(method: str, leaves: set[str]) -> set[str]:
    frozen = {
        "lora": lambda n: n.endswith(".base_layer.weight"),
        "bitfit": lambda n: not ("bias" in n or n.startswith("classifier.")),
        "child_tuning_d": lambda n: False,
    }[method]
    return {n for n in leaves if not frozen(n) and not is_embedding(n)}


@pytest.mark.parametrize("method", ["lora", "child_tuning_d", "bitfit"])
def test_branches(model: Path, tmp_path: Path, method: str) -> None:
    """W_LFT is what the light method alone makes of the run as it was at the sample before."""
    sets = (*METHODS[method], *MEASURED, *FIGURES[:2], *LARGE, "calibration.reading=branches")
    found = recorded(model, tmp_path, "run", *sets)
    assert len(found.batches) == 24  # a step of the run, then one of its branch
    for own, others in zip(found.batches[::2], found.batches[1::2], strict=True):
        assert all(torch.equal(o[k], b[k]) for o, b in zip(own, others, strict=True) for k in o)
    path = newest_checkpoint(found.run) / "forms.safetensors"
    masks = load_file(path) if path.is_file() else {}
    phase = {"light": False}

    def dense(leaves: dict[str, Tensor]) -> dict[str, Tensor]:
        weights = {}
        for name, value in leaves.items():
            if name.endswith(".base_layer.weight"):
                stem = name.removesuffix(".base_layer.weight")
                a, b = (leaves[f"{stem}.lora_{x}.calisr.weight"] for x in "AB")
                value = value + 2.0 * (b @ a)
            if ".lora_" not in name:
                weights[name.replace(".base_layer", "")] = value
        return weights

    def masked(name: str) -> Tensor | None:
        own = masks.get(f"{name.removesuffix('.weight')}::mask")
        return own if phase["light"] and name.endswith(".weight") else None

    def mask(name: str, gradient: Tensor) -> Tensor:
        return gradient if masked(name) is None else gradient * masked(name)

    def kept(name: str, new: Tensor, old: Tensor) -> Tensor:
        own = masked(name)
        return new if own is None else torch.where(own, new, old)

    run = Reference(
        model, found.start, Settings(total_steps=12, clip=1.0, epsilon=1e-3), dense, mask, kept
    )
    everything = set(found.start)
    light = light_leaves(method, everything)
    said = {each["step"]: each["groups"] for each in events(found.run, "stable_rank_sampled")}
    branch, clear = copy.deepcopy(run), 0
    for number, batches in enumerate(found.batches[::2], start=1):
        phase["light"] = False
        run.step(batches, everything)
        phase["light"] = True
        branch.step(batches, light)
        if number not in said:
            continue
        for group, sample in said[number].items():
            names = [s for s in stems_of(found.start) if component(s) == group]
            ours = sum(stable_rank(dense(branch.leaves)[f"{s}.weight"]) for s in names)
            full = sum(stable_rank(dense(run.leaves)[f"{s}.weight"]) for s in names)
            assert sample["sr_lft"] == pytest.approx(ours, rel=2e-7)
            assert sample["sr_fft"] == pytest.approx(full, rel=2e-7)
            if abs(ours - full) > 5e-7 * full:  # far more than what float32 leaves open
                clear += 1
                assert sample["hit"] == (ours < full)
        branch = copy.deepcopy(run)
    assert clear >= 20  # of 24


@pytest.mark.parametrize(
    "method", quick_where(METHODS, lambda name: name in ("lora", "mpop", "child_tuning_d"))
)
def test_with_a_sample_each_step_the_readings_are_one(
    model: Path, tmp_path: Path, method: str
) -> None:
    """One step after the copy the branch has the run's dropout and gradient, and so its core; it is
    the global clip alone that would tell them apart. Measuring changes no weight in any reading."""
    often = ("calibration.variant=S", "calibration.delta=1.0", "calibration.every_steps=1")
    plain = ("training.max_grad_norm=0", "training.epochs=1", "training.dropout=0.1")
    sampled, weights = {}, {}
    for reading in ("step", "since_last_sample", "branches"):
        run = make_run(
            model, tmp_path, reading, *METHODS[method], *often, *plain,
            f"calibration.reading={reading}",
        )  # fmt: skip
        assert execute(run, raise_errors=True) == 0
        sampled[reading] = [each["groups"] for each in events(run, "stable_rank_sampled")]
        state, _ = checkpoint.newest(RunPaths(run))
        assert state is not None
        weights[reading] = state.model
    assert sampled["step"] == sampled["since_last_sample"]
    assert weights["step"].keys() == weights["branches"].keys()
    for name, value in weights["step"].items():
        assert torch.equal(value, weights["since_last_sample"][name]), name
        assert torch.equal(value, weights["branches"][name]), name
    for one, other in zip(sampled["step"], sampled["branches"], strict=True):
        for group in one:
            assert one[group]["sr_fft"] == other[group]["sr_fft"]
            assert one[group]["sr_lft"] == pytest.approx(other[group]["sr_lft"], rel=1e-7)


@pytest.mark.parametrize(
    ("method", "reading"),
    [
        ("lora", "since_last_sample"),
        ("mpop", "since_last_sample"),
        ("lora", "branches"),
        ("mpop", "branches"),
        ("child_tuning_d", "branches"),
        ("said", "branches"),
    ],
)
@pytest.mark.slow
def test_a_run_resumes_to_the_same_samples(
    model: Path, tmp_path: Path, method: str, reading: str
) -> None:
    """Stopped between two samples, and killed later in mid-window; groups switch."""
    sets = (
        *METHODS[method], "calibration.variant=S", "calibration.samples_per_epoch=2",
        f"calibration.reading={reading}", "calibration.delta=0.4", "training.dropout=0.1",
        "output.checkpoint_every_steps=2",
    )  # fmt: skip
    whole = make_run(model, tmp_path, "whole", *sets)
    assert execute(whole, raise_errors=True) == 0
    run = make_run(model, tmp_path, "stopped", *sets)
    stop_at(run, 4)
    kill_at(run, 11)
    assert execute(run, raise_errors=True) == 0
    one, other = (checkpoint.newest(RunPaths(each))[0] for each in (run, whole))
    assert one is not None
    assert other is not None
    assert all(torch.equal(value, other.model[name]) for name, value in one.model.items())
    assert one.switches == other.switches

    def samples(folder: Path) -> dict[int, object]:
        return {e["step"]: e["groups"] for e in events(folder, "stable_rank_sampled")}

    assert samples(run) == samples(whole)


@pytest.mark.parametrize(
    ("method", "reading"),
    quick_where(
        [
            *((each, r) for each in ("lora", "said") for r in ("since_last_sample", "branches")),
            ("said", "step"),
        ],
        lambda case: case[0] == "lora" or case[1] == "step",
    ),
)
def test_the_audit_agrees_with_each_reading(
    model: Path, tmp_path: Path, method: str, reading: str
) -> None:
    kept = ("calibration.keep_samples=true", f"calibration.reading={reading}")
    run = make_run(model, tmp_path, "run", *METHODS[method], *MEASURED, *kept)
    assert execute(run, raise_errors=True) == 0
    report = audit(run)
    assert report.clean, report.disagreements
    assert report.samples == 6


def test_a_branch_that_is_lost_leaves_out_its_sample_and_nothing_else(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from calisr_engine.errors import RunFailedError
    from calisr_engine.training import branches

    class Doomed(branches.OptimizerStep):
        def gradients(self, step: int) -> None:
            if step == 4:
                raise RunFailedError("the loss is not a number at step 4")
            super().gradients(step)

    monkeypatch.setattr(branches, "OptimizerStep", Doomed)
    sets = (*METHODS["lora"], *MEASURED, "calibration.reading=branches", "training.epochs=2")
    run = make_run(model, tmp_path, "run", *sets)
    stop_at(run, 5)  # it stays lost over a resume
    assert execute(run, raise_errors=True) == 0
    assert [each["step"] for each in events(run, "stable_rank_sampled")] == [3, 9, 12]
    assert any("is lost" in each["message"] for each in events(run, "warning"))


@pytest.mark.parametrize(
    ("sets", "why"),
    [
        (("method.name=lora", "method.parametrisation=shadow"), "tried out"),
        (("method.name=mpop", "method.parametrisation=at_switch"), "tried out"),
        (("method.name=child_tuning_f",), "random mask"),
    ],
)
def test_what_has_no_part_from_sample_to_sample_is_refused(sets: tuple[str, ...], why: str) -> None:
    reading = ("calibration.variant=S", "calibration.reading=since_last_sample")
    with pytest.raises(ConfigError) as caught:
        load(None, [*sets, *reading])
    (problem,) = caught.value.problems
    assert why in str(problem)
    assert "calibration.reading" in problem.keys
    assert load(None, [*sets, "calibration.variant=S", "calibration.reading=branches"])


@pytest.mark.parametrize("method", METHODS)
def test_the_parts_of_a_step_alone(model: Path, tmp_path: Path, method: str) -> None:
    """light: SR(c_t, e_t-1) - SR(c_t-1, e_t-1). extra: what e_t - e_t-1 does to the old weight."""
    often = ("calibration.variant=S", "calibration.delta=1.0", "calibration.every_steps=2")
    parts = "calibration.log_parts=true"
    found = recorded(model, tmp_path, "run", *METHODS[method], *often, *FIGURES, parts)
    path = newest_checkpoint(found.run) / "forms.safetensors"
    masks = load_file(path) if path.is_file() else {}
    logged = events(found.run, "step_parts_measured")
    sampled = events(found.run, "stable_rank_sampled")
    assert [each["step"] for each in logged] == [each["step"] for each in sampled] != []
    stems = stems_of(found.start)
    for each in logged:
        step = each["step"]
        now, then = found.after[step - 1], found.after[step - 2]
        for group, said in each["groups"].items():
            light = extra = 0.0
            for stem in (s for s in stems if component(s) == group):
                before = light_matrix(method, stem, then, then, masks)
                core_stepped = light_matrix(method, stem, now, then, masks)
                both = light_matrix(method, stem, now, now, masks)
                light += stable_rank(core_stepped) - stable_rank(before)
                extra += stable_rank(before + (both - core_stepped)) - stable_rank(before)
            assert said["light_change"] == pytest.approx(light, rel=1e-3, abs=1e-9)
            assert said["extra_change"] == pytest.approx(extra, rel=1e-3, abs=1e-9)


def test_parts_change_nothing_and_resume(model: Path, tmp_path: Path) -> None:
    sets = (*METHODS["lora"], *MEASURED, "calibration.log_parts=true", "training.epochs=2")
    whole = make_run(model, tmp_path, "whole", *sets)
    assert execute(whole, raise_errors=True) == 0
    run = make_run(model, tmp_path, "stopped", *sets)
    stop_at(run, 4)
    assert execute(run, raise_errors=True) == 0
    for kind in ("step_parts_measured", "stable_rank_sampled"):
        one, other = ([e["groups"] for e in events(each, kind)] for each in (run, whole))
        assert one == other
    plain = make_run(model, tmp_path, "plain", *METHODS["lora"], *MEASURED, "training.epochs=2")
    assert execute(plain, raise_errors=True) == 0
    one, other = ([e["groups"] for e in events(r, "stable_rank_sampled")] for r in (plain, whole))
    assert one == other


def test_branches_need_one_process() -> None:
    from types import SimpleNamespace
    from typing import Any, cast

    from calisr_engine.training.branches import Branches

    nothing = cast(Any, None)
    two = cast(Any, SimpleNamespace(ranks=SimpleNamespace(size=2)))
    with pytest.raises(ConfigError, match="one process"):
        Branches(two, nothing, nothing, nothing, nothing, nothing)


def test_parts_are_refused_for_other_readings() -> None:
    sets = ("method.name=lora", "calibration.variant=S", "calibration.log_parts=true")
    with pytest.raises(ConfigError) as caught:
        load(None, [*sets, "calibration.reading=branches"])
    assert "two parts of one step" in str(caught.value.problems[0])


def test_a_dry_run_says_what_a_reading_holds(model: Path, tmp_path: Path) -> None:
    from calisr_engine.config.load import from_resolved
    from calisr_engine.forecast.dry_run import plan_run

    held = {}
    for reading in ("step", "since_last_sample", "branches"):
        run = make_run(
            model, tmp_path, reading, *METHODS["lora"], *MEASURED, f"calibration.reading={reading}"
        )
        shown = plan_run(from_resolved(run / "config.toml"))
        held[reading] = shown["reading_memory_bytes"]
    matrices = 2 * (4 * 16 * 16 + 2 * 16 * 24)
    assert held["step"] == 0
    assert held["since_last_sample"] == 4 * matrices
    assert held["branches"] > 4 * shown["parameters"]
