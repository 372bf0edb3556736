"""Every setting has words for people, and they say what the models accept."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from calisr_engine.config.check import clean, problems
from calisr_engine.config.describe import (
    SECTIONS,
    FieldInfo,
    all_fields,
    by_key,
    fields,
)
from calisr_engine.config.schema import RunConfig
from calisr_engine.methods.catalog import METHODS

EVERY = sorted({info for name in METHODS for info in all_fields(name)}, key=lambda i: i.key)
MODELS: list[type[BaseModel]] = [RunConfig, *SECTIONS.values(), *METHODS.values()]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_is_described(model: type[BaseModel]) -> None:
    found = fields(model)
    assert found
    for info in found:
        assert info.help[-1:] in (".", ")"), f"{info.key} has no help sentence"
        assert info.expects
        assert "^" not in info.expects, f"{info.key} shows a regular expression"
    if model is not RunConfig:
        assert {info.name for info in found} == set(model.model_fields)


def test_words_of_some_fields() -> None:
    known = by_key("lora")
    assert known["training.epochs"].expects == "a whole number from 1 to 1000"
    assert known["training.max_steps"].expects == "a whole number from 1 to 1000000000, or none"
    assert known["training.warmup_ratio"].expects == "a number of at least 0 and below 1"
    assert known["training.learning_rate"].expects == "a number above 0"
    assert known["calibration.variant"].expects == "one of off, D, S, S3, L, LC, own"
    assert known["method.name"].choices == tuple(METHODS)
    assert known["method.components"].kind == "list"
    assert known["output.dir"].kind == "path"


def test_defaults_are_those_of_a_run() -> None:
    config = RunConfig.model_validate({})
    for info in all_fields("fft"):
        section, _, name = info.key.rpartition(".")
        assert getattr(getattr(config, section) if section else config, name) == info.default


def test_strangers_are_refused() -> None:
    with pytest.raises(KeyError):
        fields(BaseModel)


@pytest.mark.parametrize("info", EVERY, ids=lambda info: info.key)
def test_what_is_refused_is_told_in_words(info: FieldInfo) -> None:
    """A value of no kind at all is refused by each setting, in the words that describe it."""
    value, found = ({"a": 1}, "a section") if info.table is None else ([1], "a list of 1")
    with pytest.raises(ValidationError) as caught:
        clean(info, value)
    (problem,) = problems(caught.value, info, value)
    assert str(problem) == f"{info.key}: expected {info.expects}, found {found}"


def test_a_number_in_words_has_the_bounds_of_its_model() -> None:
    warmup = by_key("lora")["training.warmup_ratio"]
    assert clean(warmup, 0) == 0.0
    for value in (-1e-9, 1, "0.5", True, float("nan"), 10**400):
        with pytest.raises(ValidationError):
            clean(warmup, value)
