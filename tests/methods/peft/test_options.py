"""`method.options`: how it is written, and what is refused, held against peft's own configs."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from pydantic import ValidationError

from calisr_engine.config.describe import entries
from calisr_engine.config.load import load
from calisr_engine.errors import ConfigError
from calisr_engine.methods.peft import options, tuners
from calisr_engine.methods.peft.settings import Peft

PEFT = "method.name=peft"


@pytest.mark.parametrize("tuner", tuners.names())
def test_options_are_the_fields_of_the_config_in_peft(tuner: str) -> None:
    """Read from the source text without torch, and the same as of the class itself."""
    from peft import PeftConfig

    from calisr_engine.methods.peft.layers import classes_of

    config: Any = classes_of(tuner).config
    ours = {field.name for field in dataclasses.fields(PeftConfig)} | tuners.OURS
    fields = {field.name: field for field in dataclasses.fields(config) if field.init}
    found = tuners.options(tuner)
    assert set(found) == set(fields) - ours
    for name, option in found.items():
        if option.default not in (tuners.UNKNOWN, []):
            assert option.default == fields[name].default, name
            if option.can_be_written and option.default is not None:
                assert options.takes(option, option.default), name


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("r=8", {"r": 8}),
        (" r = 8 ,use_dora=true", {"r": 8, "use_dora": True}),
        ("init_lora_weights=pissa_niter_4", {"init_lora_weights": "pissa_niter_4"}),
        ('x="a, b", y=[1, 2]', {"x": "a, b", "y": [1, 2]}),
        ('x="two\\nlines"', {"x": "two\nlines"}),
        ("x=1e-3, y='true'", {"x": 1e-3, "y": "true"}),
    ],
)
def test_text_is_read_and_written(text: str, read: dict[str, Any]) -> None:
    assert options.parse(text) == read
    assert options.parse(options.write(read)) == read


@pytest.mark.parametrize(
    "text", ["r", "r=", "=3", "r=1, r=2", "r=[1", 'r="x', "r={a=1}", "r=2020-01-01"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="OPTION=VALUE"):
        Peft(options=text)


def problem(*sets: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(None, sets=[PEFT, *sets])
    (found,) = caught.value.problems
    return str(found)


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["method.options.use_dorra=true"], r"method.options.use_dorra.* did you mean use_dora"),
        (["method.options.r=four"], r"method.options.r.* expects a whole number, not four"),
        (["method.options.r=true"], r"expects a whole number, not true"),
        (["method.options.lora_dropout=nan"], r"lora_dropout.* expects a number, not nan"),
        (["method.options=0"], r"method.options.*OPTION=VALUE"),
        (["method.options.init_lora_weights=pizza"], r"one of gaussian, .*pissa"),
        (["method.options.rank_pattern=3"], r"no text can say"),
        (["method.options.target_modules=query"], r"method.components"),
        (["method.tuner=dora"], r"tuner = lora with the option use_dora = true"),
        (["method.tuner=pissa"], r"tuner = lora with the option init_lora_weights = pissa"),
        (["method.tuner=lohaa"], r"did you mean loha"),
        (["method.tuner=prompt_tuning"], r"changes no weight: none of its layers has a merge"),
        (["method.tuner=loha", "method.options.use_dora=true"], r"loha has no option"),
    ],
)
def test_a_mistake_is_told_with_key_and_mend(sets: list[str], said: str) -> None:
    import re

    assert re.search(said, problem(*sets)), problem(*sets)


def test_layers_add_options_one_by_one(tmp_path: Any) -> None:
    path = tmp_path / "a.toml"
    path.write_text(
        '[method]\nname = "peft"\ntuner = "LoHa"\n[method.options]\nr = 4\nrank_dropout = 0.1\n'
    )
    config = load(path).config.method
    assert isinstance(config, Peft)
    assert (config.tuner, config.given) == ("loha", {"r": 4, "rank_dropout": 0.1})
    found = load(path, sets=["method.options.r=2", "method.options.rank_dropout=none"])
    again = load(None, overrides={"method.name": "peft", "method.tuner": "loha"})
    assert found.config.method.given == {"r": 2}  # type: ignore[attr-defined]
    assert found.origins["method.options"] == "--set"
    assert again.config.method.given == {}  # type: ignore[attr-defined]
    written = tmp_path / "b.toml"
    written.write_text(found.to_toml())
    assert load(written, recorded=True).config == found.config


def test_a_grid_varies_an_option() -> None:
    each = [load(None, overrides={"method.name": "peft", "method.options.r": r}) for r in (2, 4)]
    assert [found.config.method.given for found in each] == [{"r": 2}, {"r": 4}]  # type: ignore[attr-defined]


def test_a_form_gets_a_field_for_each_option() -> None:
    found = {info.name: info for info in entries("peft", {"tuner": "lora"})}
    assert (found["r"].kind, found["r"].default) == ("int", 8)
    assert (found["use_dora"].kind, found["lora_dropout"].kind) == ("flag", "float")
    assert found["init_lora_weights"].kind == "text"
    assert all(info.key.startswith("method.options.") for info in found.values())
    assert entries("peft", {"tuner": "nonsense"}) == []
    assert entries("lora", {}) == []
