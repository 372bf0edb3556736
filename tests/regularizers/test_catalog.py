"""The light half: which regularisers there are, their settings, and what is refused with them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from calisr_engine.config.describe import by_key
from calisr_engine.config.load import from_resolved, load
from calisr_engine.errors import ConfigError
from calisr_engine.grid.labels import METHOD, label
from calisr_engine.methods.catalog import METHODS
from calisr_engine.regularizers import registry
from calisr_engine.regularizers.base import Regularizer
from calisr_engine.regularizers.catalog import REGULARIZERS, owner

every = pytest.mark.parametrize("name", REGULARIZERS)


@every
def test_a_regularizer_has_words_settings_and_a_torch_half(name: str) -> None:
    settings = REGULARIZERS[name]
    assert settings.title
    assert settings.label
    assert settings.summary.endswith(".")
    assert any(year in settings.source for year in ("2019", "2020"))
    for key, field in settings.model_fields.items():
        assert field.description, key
        assert by_key("fft")[f"regularizer.{key}"].default == field.default
        assert owner(key) == name
    assert isinstance(registry.get(name), Regularizer)


@every
def test_its_settings_travel_through_a_file(name: str, tmp_path: object) -> None:
    number = next(
        key
        for key, field in REGULARIZERS[name].model_fields.items()
        if field.annotation is float and field.default
    )
    resolved = load(None, [f"regularizer.name={name}", f"regularizer.{number}=0.25"])
    file = tmp_path / "config.toml"  # type: ignore[operator]
    file.write_text(resolved.to_toml())
    chosen = from_resolved(file).regularizer.chosen
    assert chosen == resolved.config.regularizer.chosen
    assert getattr(chosen, number) == 0.25


def refused(*sets: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(None, list(sets))
    return " ".join(each.message for each in caught.value.problems)


FULL = {
    "fft": ("method.name=fft",),
    "calibrated": ("method.name=lora", "calibration.variant=S"),
    "scheduled": ("method.name=lora", "schedule.switch_at=0.5"),
    "elsewhere": ("method.name=adapter", "method.elsewhere=fft"),
}


@every
@pytest.mark.parametrize("how", FULL)
def test_it_combines_with_whatever_has_a_full_phase(name: str, how: str) -> None:
    assert load(None, [*FULL[how], f"regularizer.name={name}"]).config.regularizer.name == name


@pytest.mark.parametrize("name", ["mixout", "stable_rank"])
@pytest.mark.parametrize("method", [each for each in METHODS if each != "fft"])
def test_without_a_full_phase_there_is_nothing_for_it(name: str, method: str) -> None:
    said = refused(f"method.name={method}", f"regularizer.name={name}")
    assert "without a full phase" in said


@pytest.mark.parametrize(
    ("sets", "why"),
    [
        (("method.name=mpop", "regularizer.name=stable_rank"), "trains the tensors"),
        (("method.name=mask_bert", "regularizer.name=stable_rank"), "behind a mask"),
        (
            ("method.name=lora", "method.parametrisation=shadow", "regularizer.name=mixout"),
            "tries the light part out",
        ),
        (
            ("method.name=mpop", "method.parametrisation=at_switch", "regularizer.name=mixout"),
            "tries the light part out",
        ),
        (("regularizer.name=smart", "training.precision=bf16"), "lost in the rounding"),
        (("regularizer.name=smart", "regularizer.smart_weight=0"), "both terms"),
        (("regularizer.name=stable_rank", "regularizer.stable_rank_target=2"), "presses nothing"),
        (("regularizer.name=stable_rank", "regularizer.stable_rank_of=one"), "at least 1"),
        (
            (
                "method.name=lora",
                "calibration.variant=off",
                "regularizer.name=smart",
                "regularizer.smart_light_phase=false",
            ),
            "without a full phase",
        ),
    ],
)
def test_what_has_no_meaning_is_refused_with_the_reason(sets: tuple[str, ...], why: str) -> None:
    assert why in refused("calibration.variant=S", "method.name=lora", *sets)


def test_settings_of_another_regularizer_are_told_to_do_nothing() -> None:
    resolved = load(None, ["regularizer.name=mixout", "regularizer.smart_weight=3"])
    (told,) = [each for each in resolved.warnings if "smart_weight" in each]
    assert 'regularizer.name = "mixout"' in told


def test_the_command_line_lists_them() -> None:
    def listed(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "calisr_tui", "regularizers", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert [each["name"] for each in json.loads(listed("--json").stdout)] == list(REGULARIZERS)
    shown = listed("mixout").stdout
    assert "mixout_probability" in shown
    wrong = listed("mixuot")
    assert wrong.returncode == 4
    assert "mixout" in wrong.stderr


def test_it_makes_rows_of_a_report() -> None:
    run = {"method.name": "lora", "calibration.variant": "S", "regularizer.name": "mixout"}
    assert label(run, METHOD) == "LoRA+CaliSr-S+Mixout"
    assert label(run | {"regularizer.name": "off"}, METHOD) == "LoRA+CaliSr-S"


def test_what_a_step_costs_is_foretold() -> None:
    assert {name: model().passes for name, model in REGULARIZERS.items()} == {
        "stable_rank": 1,
        "mixout": 1,
        "smart": 3,
    }
