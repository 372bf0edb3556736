"""The closed formulas against the attached model: full-size encoders of shapes without numbers."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from calisr_engine.config.load import load
from calisr_engine.errors import ConfigError
from calisr_engine.methods import registry
from calisr_engine.methods.catalog import METHODS
from calisr_engine.methods.child_tuning_d.fisher import fisher_threshold
from calisr_engine.methods.child_tuning_d.settings import ChildTuningD, fisher_kept
from calisr_engine.methods.counts import counts
from calisr_engine.methods.fft.settings import FullFineTuning
from calisr_engine.methods.mpop.method import MpoForm
from calisr_engine.methods.said.method import SaidForm
from calisr_engine.methods.settings import MethodBase
from calisr_engine.models.catalog import CATALOG, ModelEntry, find, parameter_total
from calisr_engine.models.components import find_targets, groups
from calisr_engine.models.grouping import Grouping
from calisr_engine.models.parts import parts
from calisr_engine.training.switch import Phases
from tests.methods.tiny import Run, context
from tests.models.full_size import from_entry
from tests.slow import quick_where

MODELS = ("demo-bert", "bert-base-uncased", "roberta-base")

TABLE_4 = {"components": ("query", "output"), "elsewhere": "fft"}
EVERY_METHOD: list[dict[str, Any]] = [
    {},
    {"reference": True},
    {"components": ("intermediate", "query")},
    TABLE_4,
    {"elsewhere": "fft"},
    {"embeddings": "train"},
    TABLE_4 | {"reference": True, "embeddings": "train"},
]
OWN: dict[str, list[dict[str, Any]]] = {
    "lora": [{"rank": 3}, {"parametrisation": "shadow"}, {"parametrisation": "shadow"} | TABLE_4],
    "mpop": [
        {"bond": 7},
        {"parametrisation": "at_switch"},
        {"parametrisation": "at_switch", "bond": 100, "embeddings": "mpo"},
        {"embeddings": "mpo"},
        {"embeddings": "mpo", "bond": 20} | TABLE_4,
        {"squeeze_gap": 0.1},
    ],
    "child_tuning_d": [{"p": 0.123}, {"refresh_at_switch": True}],
    "child_tuning_f": [{"p": 0.123}],
    "said": [{"dimension": 500}, {"structure_aware": False}, {"structure_aware": False} | TABLE_4],
    "adapter": [{"bottleneck": 7}, {"components": ("output", "query")}],
    "compacter": [{"bottleneck": 6, "division": 2, "rank": 3}, {"components": ("output", "query")}],
    "prefix": [{"length": 3}, {"components": ("key", "value", "query"), "elsewhere": "fft"}],
    "unipelt": [{"projection": None}, {"bottleneck": 5, "length": 3, "rank": 2, "projection": 7}],
    "diff_pruning": [
        {"structured": False},
        {"structured": False} | TABLE_4,
        {"target_share": 1e-9},
    ],
}
"""Settings that change counts."""


PRETEND = ("mpop", "mask_bert")
"""The meta device has no numbers to decompose or to compare with a threshold, `Shapes` pretends."""


class Shapes(FakeTensorMode):
    """Tensors have shapes and no numbers; what code asks for as a number is 0."""

    def dispatch(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            return 0
        return super().dispatch(func, types, args, kwargs)


def attached(
    model: nn.Module, name: str, settings: MethodBase, calibrated: bool
) -> tuple[int, int]:
    """What trains before and after all switches of `model`, attached to as a run would."""
    targets = find_targets(model)
    covered = [target for target in targets if target.component in settings.covered(calibrated)]
    attachment = registry.get(name).attach(
        model, covered, settings, replace(context(resuming=True), calibrated=calibrated)
    )
    with_form = [target for target in covered if target.name in attachment.forms]
    forms = {
        group: [attachment.forms[t.name] for t in members]
        for group, members in groups(with_form, Grouping("S" if calibrated else "D")).items()
    }
    phases = Phases(model, attachment, targets, forms, settings)
    return phases.trainable(), phases.trainable_when_complete()


def is_refused(name: str, settings: dict[str, Any]) -> bool:
    """Adapters and prefixes go with some components only."""
    try:
        METHODS[name](**settings)
    except ValidationError:
        return True
    return False


CASES = [
    (model, name, settings, calibrated)
    for model in MODELS
    for name, settings_type in METHODS.items()
    if settings_type.has_light_phase
    for settings in [*EVERY_METHOD, *OWN.get(name, [])]
    for calibrated in (False, True)
    if not (calibrated and settings_type.calibration_refused)
    if not is_refused(name, settings)
    # Plain and calibrated differ in the default components only: all pairs for the smallest.
    if calibrated or settings_type.calibration_refused or not settings or model == "demo-bert"
]


def is_quick(case: tuple[str, str, dict[str, Any], bool]) -> bool:
    """Settings in calibrated runs alone, where there are such; of a large model the method plain,
    if it does not have to pretend, which takes long."""
    model, name, settings, calibrated = case
    if model != "demo-bert":
        return not (settings or calibrated) and name not in PRETEND
    return calibrated or not settings or METHODS[name].calibration_refused


@pytest.mark.parametrize(
    ("model", "name", "settings", "calibrated"),
    quick_where(CASES, is_quick),
    ids=lambda value: str(value).replace("'", ""),
)
def test_the_formula_counts_what_the_attached_model_trains(
    model: str, name: str, settings: dict[str, Any], calibrated: bool
) -> None:
    entry, own = find(model), METHODS[name](**settings)
    assert entry is not None
    pretend = name in PRETEND
    if pretend and settings:
        entry = replace(entry, layers=2)  # it is slow, and the other cases go through all layers
    found = counts(entry, own, 3, calibrated)
    with Shapes() if pretend else nullcontext():
        with torch.device("cpu" if pretend else "meta"):
            built = from_entry(entry, 3)
        assert found.total == sum(p.numel() for p in built.parameters())
        before, after = attached(built, name, own, calibrated)
    if name == "diff_pruning":
        assert (found.fft, found.before_pruning) == (None, after)
        return
    assert (found.lft, found.before_pruning) == (after, None)
    assert found.fft == (None if own.calibration_refused else before)


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.name)
@pytest.mark.parametrize("labels", [1, 2, 3])
def test_full_fine_tuning_trains_the_sum_of_the_parts(entry: ModelEntry, labels: int) -> None:
    found = counts(entry, FullFineTuning(), labels, False)
    total = parameter_total(entry, labels)
    assert (found.total, found.fft, found.lft) == (total, total, None)
    assert parts(entry, labels).total == total


@pytest.mark.parametrize(
    ("name", "components"),
    [("adapter", ("query",)), ("prefix", ("key", "query")), ("prefix", ("value",))],
)
def test_components_that_a_method_cannot_use_are_refused(
    name: str, components: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, [f"method.name={name}", f"method.components={','.join(components)}"])
    assert str(caught.value.problems[0]).startswith("--set method.components=")
    assert "leave components out" in str(caught.value.problems[0])


def test_other_architectures_are_not_counted() -> None:
    with pytest.raises(ValueError, match="distilbert"):
        counts(replace(CATALOG[0], model_type="distilbert"), FullFineTuning(), 2, False)


# What only a real pass over data tells ------------------------------------------------------------


@pytest.mark.parametrize("p", [0.3, 0.123, 0.5, 0.999])
def test_fisher_kept_is_what_the_threshold_keeps(p: float) -> None:
    for size in (2, 10, 1001, 4096):
        values = torch.randperm(size).float()
        assert int((values >= fisher_threshold(values, p)).sum()) == fisher_kept(p, size)


TINY = replace(
    CATALOG[0], layers=2, hidden=32, intermediate=48, heads=4, vocabulary=99, positions=40
)
"""The sizes of `tests.methods.tiny`."""


def test_child_tuning_d_keeps_what_is_said_beforehand() -> None:
    found = counts(TINY, ChildTuningD(), 2, True)
    assert found.certainty == "ties"
    assert Run("child_tuning_d").phases.trainable_when_complete() == found.lft
    assert Run("child_tuning_d", resuming=True).phases.trainable_when_complete() == found.lft


@pytest.mark.parametrize("reference", [False, True])
def test_diff_pruning_ends_at_the_formula(reference: bool) -> None:
    run = Run("diff_pruning", variant="D", target_share=0.01, reference=reference)
    found = counts(TINY, run.settings, 2, False)
    run.switch_all()
    assert run.phases.trainable() == found.before_pruning
    for seed in range(14):  # of 20 steps, 0.3 are left to the pruned mask
        run.step(seed)
    assert run.phases.trainable() == found.lft


def test_a_squeezed_count_is_a_ceiling() -> None:
    run = Run("mpop", squeeze_gap=0.5)
    found = counts(TINY, run.settings, 2, True)
    run.switch_all()
    assert (found.certainty, run.phases.trainable()) == ("ceiling", found.lft)
    for form in run.attachment.forms.values():
        assert isinstance(form, MpoForm)
        form.squeeze([1, 1, 1, 1])
    assert found.lft is not None
    assert run.phases.trainable() < found.lft


def test_what_said_holds_and_never_trains() -> None:
    run = Run("said")
    held = 0
    for form in run.attachment.forms.values():
        assert isinstance(form, SaidForm)
        maps = (form.projection._order, form.projection._back, form.projection._scale)
        held += form.weight.numel() + sum(each.numel() for each in maps)
    assert counts(TINY, run.settings, 2, True).fixed == held
