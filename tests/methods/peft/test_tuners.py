"""Tuners of peft as light methods: all of the installed peft, each through the same checks."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from calisr_engine.errors import ConfigError, UnavailableError
from calisr_engine.methods import registry
from calisr_engine.methods.catalog import METHODS
from calisr_engine.methods.counts import CountRefusedError
from calisr_engine.methods.peft import counting, layers, probe, tuners
from calisr_engine.methods.peft import settings as peft_settings
from calisr_engine.methods.peft.counting import trained
from calisr_engine.methods.peft.method import PeftForm
from calisr_engine.methods.peft.probe import try_out
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts
from tests.methods.peft.cases import CASES, Case
from tests.methods.peft.passing import CHECKS, PAGE, assert_equal, row, why_not
from tests.methods.tiny import Run, context, evaluate, make_batch, make_model

FEW = ["lora", "DoRA", "PiSSA", "ia3", "hra", "vblora", "pvera"]
"""Additive, with a norm, changing the base at the start, multiplicative, with a gradient past
`weight.data`, with a shared bank, drawing while it trains."""

ROWS = {
    found[1]: line
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if (found := re.match(r"\| `?([^`(|]+?)`? (?:\(`\w+`\) )?\|", line))
}


def each_case(names: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [CASES[name] for name in names], ids=names)


@pytest.mark.parametrize("check", list(CHECKS))
@each_case(FEW)
def test_a_tuner_is_a_light_method(case: Case, check: str) -> None:
    CHECKS[check](case)


@pytest.mark.slow
@each_case(list(CASES))
def test_the_page_says_what_each_tuner_does(case: Case) -> None:
    """All of them, by name of the installed peft, against the table that users read."""
    assert row(case) == ROWS[case.name]


def test_the_page_has_every_tuner_of_the_installed_peft() -> None:
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    known = {str(each.value).lower() for each in PEFT_TYPE_TO_TUNER_MAPPING}
    assert known == set(tuners.registered())
    assert set(CASES) <= set(ROWS)
    assert not [line for line in ROWS.values() if "**no**" in line]


@each_case(["adalora", "beft", "lily", "trainable_tokens", "frod", "prefix_tuning", "xlora"])
def test_a_refusal_says_why(case: Case) -> None:
    assert ROWS[case.name].endswith(f"| {why_not(case)} |")
    assert len(why_not(case)) > 20


def test_what_cannot_be_calibrated_trains_alone() -> None:
    assert try_out("frod", (), (("a", (8, 8)),)).not_calibrated
    run = Run("fft")  # for the targets
    settings = METHODS["peft"](tuner="frod")
    alone = replace(context(), calibrated=False)
    found = registry.get("peft").attach(run.model, run.targets[:2], settings, alone)
    assert len(found.forms) == 2


def test_it_is_lora_where_it_begins_alike() -> None:
    """The tuner `lora` and the method `lora`: the same effective weights after the same steps."""
    ours, theirs = Run("lora"), Run("peft", options={"lora_alpha": 16})
    for name, form in ours.attachment.forms.items():
        other = theirs.attachment.forms[name]
        assert isinstance(other, PeftForm)
        with torch.no_grad():
            for mine, its in zip(form.core(), other.core(), strict=True):
                its.copy_(mine)
    for seed in range(3):
        assert ours.step(seed) == theirs.step(seed)
    ours.switch_all()
    theirs.switch_all()
    assert ours.phases.trainable() == theirs.phases.trainable()
    for seed in range(3):
        assert ours.step(seed) == theirs.step(seed)
    assert_equal(ours, theirs)
    for name, form in ours.attachment.forms.items():
        assert torch.equal(form.effective(), theirs.attachment.forms[name].effective())


@each_case(["loha", "DoRA"])
def test_a_tuner_computes_what_peft_computes(case: Case) -> None:
    """The same tuner put into a model by peft itself, stepped by torch's own AdamW, light alone."""
    from peft import inject_adapter_in_model

    run = Run("peft", variant="D", reference=True, **case.settings)
    plain = make_model("Bert")
    config = layers.make_config(case.tuner, case.options)
    config.target_modules = [target.name for target in run.targets]
    inject_adapter_in_model(config, plain, adapter_name=layers.ADAPTER)
    state = {n: t for n, t in run.model.state_dict().items() if "calisr_" not in n}
    plain.load_state_dict(state)
    head = [p for n, p in plain.named_parameters() if n.startswith("classifier")]
    trained = [p for p in plain.parameters() if p.requires_grad and p not in set(head)]
    run.switch_all()
    assert run.phases.trainable() == sum(p.numel() for p in [*trained, *head])
    for parameter in head:
        parameter.requires_grad_(True)
    decayed = {p for n, p in plain.named_parameters() if p.requires_grad and not n.endswith("bias")}
    groups = [
        {"params": [p for p in plain.parameters() if p in decayed], "weight_decay": 0.1},
        {"params": [p for p in head if p not in decayed], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-2)
    for seed in range(3):
        run.step(seed)
        plain.train()
        plain(**make_batch(seed)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.testing.assert_close(run.logits(), evaluate(plain), rtol=1e-4, atol=1e-5)


def two_layers(shapes: dict[Component, tuple[int, int]]) -> Parts:
    none = dict.fromkeys(("tables", "norms", "pooler", "head", "all_biases"), 0)
    return Parts(layers=2, hidden=32, shapes=shapes, word_table=(99, 32), **none)


@each_case([*FEW, "OLoRA", "adamss", "randlora"])
def test_what_is_counted_before_is_what_trains(case: Case) -> None:
    """On the meta device; `adamss` must see numbers, so from one layer and two."""
    run = Run("peft", **case.settings)
    shapes = {t.component: (t.weight.shape[0], t.weight.shape[1]) for t in run.targets}
    sizes = two_layers(shapes)
    core = {p for form in run.attachment.forms.values() for p in form.core()}
    covered = run.settings.covered(True)
    count = run.settings.count_core(sizes, sizes.has(covered))
    assert count == sum(p.numel() for p in core)
    assert run.settings.is_counted(sizes, sizes.has(covered))


def test_trying_and_counting_leave_the_random_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app asks while a run may train in another thread."""
    monkeypatch.setattr(probe, "_KNOWN", {})
    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert try_out("hra", (("r", 2),), (("query", (12, 8)),)).through_data
    assert trained("hra", (("r", 2),), (("query", (12, 8)),), 3) == 3 * 2 * 8
    assert torch.equal(before, torch.get_rng_state())


def test_a_count_that_peft_refuses_says_why_and_is_asked_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The width of 10 is no multiple of vblora's vectors."""
    monkeypatch.setattr(peft_settings, "_COUNTED", {})
    sizes = two_layers({"query": (10, 10)})
    settings = METHODS["peft"](tuner="vblora")
    with pytest.raises(CountRefusedError, match="divisible"):
        settings.count_core(sizes, ("query",))
    assert settings.is_counted(sizes, ("query",))
    monkeypatch.setattr(counting, "trained", pytest.fail)
    with pytest.raises(CountRefusedError, match="divisible"):
        settings.count_core(sizes, ("query",))


def test_where_the_meta_device_is_in_the_way_two_layers_stand_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And what fails with numbers, too, is told."""
    asked = ("lora", (), (("query", (12, 8)),), 5)
    plain = counting._trained
    too_many = [5]

    def fails_at(*args: Any) -> int:
        if args[-1] in too_many:
            raise RuntimeError(f"{args[-1]} layers are too many")
        return plain(*args)

    monkeypatch.setattr(counting, "_trained", fails_at)
    assert trained(*asked) == plain(*asked)
    too_many.append(2)
    with pytest.raises(ValueError, match="peft refuses it: 2 layers are too many"):
        trained(*asked)


def test_slices_of_a_fused_matrix_get_layers_of_their_own() -> None:
    run = Run("peft", "ModernBert", tuner="loha", components=("query", "value"))
    assert {form.weight.shape for form in run.attachment.forms.values()} == {torch.Size([32, 32])}
    before = evaluate(make_model("ModernBert"))
    torch.testing.assert_close(run.logits(), before, rtol=1e-4, atol=1e-5)


def test_a_start_comes_from_the_seed_alone() -> None:
    one, two = (Run("peft", tuner="vera") for _ in range(2))
    assert_equal(one, two)


def test_a_start_off_the_pretrained_weights_is_told() -> None:
    (note,) = Run("peft", tuner="fourierft").attachment.notes
    assert "does not begin at the pretrained weights" in note
    assert Run("peft", tuner="fourierft", options={"init_weights": True}).attachment.notes == []


def test_options_that_peft_reads_for_other_things_are_told_to_have_no_effect() -> None:
    (note,) = Run("peft", options={"use_qalora": True, "r": 4}).attachment.notes
    assert "use_qalora has no effect" in note
    assert set.union(*(set(tuners.options(name)) for name in tuners.names())) >= tuners.IDLE


@pytest.mark.parametrize("what", ["lacks one", "has one more"])
def test_weights_of_other_layers_than_the_installed_peft_makes_are_refused(what: str) -> None:
    run = Run("peft", tuner="loha")
    stored = {name: value.clone() for name, value in run.model.state_dict().items()}
    name = next(each for each in stored if ".hada_w1_a" in each)
    if what == "lacks one":
        del stored[name]
    else:
        stored[name.replace("hada_w1_a", "hada_w3_a")] = stored[name]
    with pytest.raises(UnavailableError, match=r"peft [\d.]+ makes for loha .*hada_w"):
        registry.get("peft").dense_matrices(stored, run.settings)


def test_everything_is_float64_where_a_tuner_asks_for_less() -> None:
    """DEFT projects in float32 whatever it is given; what is measured must not be rounded so."""
    run = Run("peft", tuner="deft")
    run.step(0)
    form = next(iter(run.attachment.forms.values()))
    assert isinstance(form, PeftForm)
    once = form.effective()
    rough = copy.deepcopy(form.layer).double()
    with torch.no_grad():
        rough.merge()  # type: ignore[operator]
    off = (once - rough.get_base_layer().weight).abs().max()  # type: ignore[operator]
    assert 0 < off < 1e-5


def test_options_that_do_not_fit_a_matrix_are_refused_with_their_key() -> None:
    with pytest.raises(ConfigError, match=r"method\.\w+, method\.\w+: vblora cannot .*divisible"):
        Run("peft", tuner="vblora")


def test_starts_that_read_data_are_refused() -> None:
    with pytest.raises(ValidationError, match="passes over the data"):
        Run("peft", options={"init_lora_weights": "eva"})
