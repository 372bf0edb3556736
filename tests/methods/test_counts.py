"""Parameter counts: the published ones on full-size models without weights, and closed formulas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from calisr_engine.methods import registry
from calisr_engine.methods.adapter.settings import bottleneck_count
from calisr_engine.methods.catalog import METHODS
from calisr_engine.methods.child_tuning_d.method import ChildForm
from calisr_engine.methods.compacter.settings import compacter_count
from calisr_engine.methods.diff_pruning.form import DiffForm
from calisr_engine.methods.mpop.shapes import factorise_matrix, parameter_counts
from calisr_engine.methods.prefix_settings import prefix_count
from calisr_engine.methods.unipelt.settings import layer_count
from calisr_engine.models.catalog import CATALOG
from calisr_engine.models.components import find_targets, groups
from calisr_engine.models.grouping import Grouping
from calisr_engine.training.switch import Phases
from tests.methods.tiny import ARCHITECTURES, UNSUITED, Run, context, make_apart, make_model
from tests.models.full_size import from_entry

# Full size ----------------------------------------------------------------------------------------


def full_size(name: str) -> nn.Module:
    """The catalogue's model of that name with 2 labels, on the meta device: shapes, no numbers."""
    entry = next(entry for entry in CATALOG if entry.name == name)
    with torch.device("meta"):
        return from_entry(entry)


def size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def attached(method: str, calibrated: bool = False, **settings: Any) -> Phases:
    """BERT-base under `method`, as a run would attach it."""
    model, found = full_size("bert-base-uncased"), registry.get(method)
    targets, own = find_targets(model), METHODS[method](**settings)
    covered = [target for target in targets if target.component in own.covered(calibrated)]
    attachment = found.attach(model, covered, own, replace(context(), calibrated=calibrated))
    with_form = [target for target in covered if target.name in attachment.forms]
    forms = {
        name: [attachment.forms[t.name] for t in members]
        for name, members in groups(with_form, Grouping("D")).items()
    }
    return Phases(model, attachment, targets, forms, own)


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("bert-base-uncased", 109_483_778),
        ("bert-large-uncased", 335_143_938),
        ("roberta-base", 124_647_170),
    ],
)
def test_totals(name: str, total: int) -> None:
    assert size(full_size(name)) == total
    assert next(entry for entry in CATALOG if entry.name == name).parameters == total


def test_bitfit_trains_the_biases_and_the_head_of_bert_base() -> None:
    phases = attached("bitfit")
    assert phases.trainable_when_complete() == 104_450
    assert phases.trainable() == 109_483_778


def test_lora_of_rank_8_on_query_and_value_and_the_head() -> None:
    phases = attached("lora", rank=8, reference=True)
    assert len(phases.attachment.forms) == 24
    assert phases.trainable_when_complete() == 296_450


def test_mpo_trains_the_published_share_of_the_targets() -> None:
    forms = attached("mpop", parametrisation="at_switch").attachment.forms.values()
    auxiliary = sum(form.trainable_count("lft") for form in forms)
    targets = sum(form.trainable_count("fft") for form in forms)
    assert (len(forms), auxiliary, targets) == (72, 7_986_048, 84_934_656)
    assert round(100 * auxiliary / targets, 2) == 9.40


def test_houlsby_adapters_in_bert_base() -> None:
    model = attached("adapter").model
    added = size(model) - size(full_size("bert-base-uncased"))
    assert added == 24 * bottleneck_count(768, 64) == 24 * 99_136


def test_compacters_in_bert_base() -> None:
    model = attached("compacter").model
    added = size(model) - size(full_size("bert-base-uncased"))
    assert added == 64 + 24 * compacter_count(768, 24, 1) == 64 + 24 * 2_376


def test_twenty_prefixes_in_bert_base() -> None:
    phases = attached("prefix", length=20, reference=True)
    assert phases.trainable_when_complete() == 370_178


def test_the_parts_of_unipelt_in_bert_base_are_its_papers() -> None:
    """0.81 % adapters, 0.27 % updates and 0.17 % prefixes once the MLP is gone; and the gates."""
    model = attached("unipelt", projection=None).model
    added = size(model) - size(full_size("bert-base-uncased"))
    assert added == 12 * layer_count(768, 48, 8) + prefix_count(12, 10, 768) == 1_410_672
    assert layer_count(768, 48, 8) == 74_544 + 24_576 + 4 * 769


# Every method on every architecture ---------------------------------------------------------------


def matrices(run: Run) -> list[torch.Size]:
    return [form.weight.shape for form in run.attachment.forms.values()]


def entries(run: Run) -> int:
    return sum(rows * columns for rows, columns in matrices(run))


def child_d(run: Run) -> int:
    forms = [form for form in run.attachment.forms.values() if isinstance(form, ChildForm)]
    assert len(forms) == len(run.targets)
    kept = sum(int(form.mask.sum()) for form in forms)
    assert kept == pytest.approx(0.3 * entries(run), rel=0.001)
    return kept


def mpop(run: Run) -> int:
    return sum(parameter_counts(*factorise_matrix(*shape))[0] for shape in matrices(run))


def diff_pruning(run: Run) -> int:
    """Before pruning: a difference and a gate for each entry, and a gate for each matrix."""
    assert all(isinstance(form, DiffForm) for form in run.attachment.forms.values())
    return 2 * entries(run) + len(run.targets)


def said_count(shapes: list[torch.Size]) -> int:
    """A scale a matrix; the largest of them has 1,536 entries, so 2,048 of 20,000 numbers count."""
    assert max(rows * columns for rows, columns in shapes) == 32 * 48
    return 2048 + len(shapes)


CORE: dict[str, Callable[[Run], int]] = {
    "lora": lambda run: sum(8 * (rows + columns) for rows, columns in matrices(run)),
    "mpop": mpop,
    "child_tuning_d": child_d,
    "child_tuning_f": lambda run: sum(round(0.3 * r * c) for r, c in matrices(run)),
    "mask_bert": entries,
    "bitfit": lambda run: 0,
    "said": lambda run: said_count(matrices(run)),
    "adapter": lambda run: 4 * bottleneck_count(32, 64),
    "compacter": lambda run: 4**3 + 4 * compacter_count(32, 24, 1),
    "prefix": lambda run: prefix_count(2, 20, 32),
    "unipelt": lambda run: 2 * layer_count(32, 48, 8) + prefix_count(2, 10, 32, 512),
    "diff_pruning": diff_pruning,
}
"""What each method trains in the targets or adds to the model, in the light phase."""


def beside(method: str, architecture: str) -> int:
    """What trains beside the core: biases, LayerNorm, pooler and head, by the method's definition.

    Embedding tables and targets never do.
    """
    model = make_apart(architecture)
    targets = find_targets(model)
    gone = {t.weight for t in targets}
    gone |= {p for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    if method == "mask_bert":
        gone |= {t.module.bias for t in targets}
    rest = {name: p for name, p in model.named_parameters() if p not in gone}
    if method == "bitfit":
        head = ("classifier", "pre_classifier")
        rest = {n: p for n, p in rest.items() if "bias" in n or n.startswith(head)}
    return sum(p.numel() for p in rest.values())


CASES = [
    (method, architecture)
    for method in CORE
    for architecture in ARCHITECTURES
    if (method, architecture) not in UNSUITED
]


@pytest.mark.parametrize(("method", "architecture"), CASES)
def test_the_light_phase_trains_what_the_closed_formula_says(
    method: str, architecture: str
) -> None:
    run = Run(method, architecture)
    expected = CORE[method](run) + beside(method, architecture)
    assert run.phases.trainable_when_complete() == expected
    run.switch_all()
    assert run.phases.trainable() == expected


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_full_fine_tuning_trains_everything(architecture: str) -> None:
    run = Run("fft", architecture)
    assert run.phases.trainable() == size(make_model(architecture))
    assert set(run.phases.stepped().values()) == set(run.model.parameters())


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_mask_bert_starts_with_a_twentieth_of_the_weights_masked(architecture: str) -> None:
    """Scores are uniform, so the masked share of N weights is off by about sqrt(0.05 0.95 / N)."""
    run = Run("mask_bert", architecture)
    forms = run.attachment.forms.values()
    masked = sum(int((~form.mask()).sum()) for form in forms)  # type: ignore[attr-defined]
    assert masked / entries(run) == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / entries(run)) ** 0.5)
    for target in run.targets:
        zeros = int((target.weight == 0).sum())
        assert zeros == int((~run.attachment.forms[target.name].mask()).sum())  # type: ignore[attr-defined]
