"""The filter language: what each term takes, and where a mistake in one stands."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path

import pytest

from calisr_engine.runs.columns import COLUMNS, all_columns, column
from calisr_engine.runs.filter import FilterError, parse, usable
from tests.runs.summaries import summary

RUN = summary(
    "rte-lora-1", {"method.components": ["query", "key"]}, tags=("x", "Good"), notes="odd loss"
)
CHOOSES = [
    "",
    "  ",
    "lora",
    "LORA rte",
    "odd",
    '"odd loss"',
    "best>0.6 best>=0.7 best<=0.7 best<0.8 best=0.70",
    "lr=3e-4",
    "lr=0.0003",
    "training.learning_rate<1e-3",
    "learning_rate=3e-4",
    "rank=8 r=8",
    "method=lora",
    "method=mpop,LoRA",
    "method!=mpop,bitfit",
    "model:base model:bert",
    "tag:x tags=good",
    "-tag:y",
    "-mpop",
    "trains=20% share<0.3",
    "time=90 time=90s time=1m30s time>1m",
    "created<2026-01-01",
    "delta=0.5 δ=0.5",
    "name=none control=off",
    "pinned=no cumulative=false",
    "components=query+key components:key",
    "seed=1,42",
]
LEAVES = [
    "mpop",
    '"loss odd"',
    "best>0.7",
    "lr=3e-5",
    "method!=lora",
    "method=lor",
    "tag:good-",
    "tag:goo",
    "-lora",
    "time>90",
    "created>-1d",
    "lft_lr=none lft_lr>0",
    "lft_learning_rate>0",
    "rank!=8",
    "pinned=true",
    "seed=4",
]


@pytest.mark.parametrize("text", CHOOSES)
def test_a_filter_takes_a_run(text: str) -> None:
    assert parse(text)(RUN)


@pytest.mark.parametrize("text", LEAVES)
def test_a_filter_leaves_a_run_out(text: str) -> None:
    assert not parse(text)(RUN)


def test_a_threshold_that_decides_nothing_is_none() -> None:
    for run in (summary(variant="off"), summary(control="matched")):
        assert parse("delta=none")(run)
        assert not parse("delta=0.5")(run)
        assert not parse("delta>0")(run)


def test_a_date_is_its_whole_day() -> None:
    noon = datetime(2026, 11, 20, 12, 30).timestamp()
    run = summary(created=noon)
    for text in ("created=2026-11-20", "created=2026-11-20T12:30", "created>2026-11-20"):
        assert parse(text)(run), text
    assert not parse("created=2026-11-21")(run)
    assert parse("created>-1h")(summary(created=time.time() - 60))


@pytest.mark.parametrize(
    ("text", "wrong", "said"),
    [
        ("lora bset>1", "bset>1", "did you mean best"),
        ("best>", "best>", "a value is missing after best>"),
        ("best>high rte", "best>high", "best takes a number"),
        ("best>1,2", "best>1,2", "one value"),
        ("method>3", "method>3", "method has no order"),
        ("created>soon", "created>soon", "a date"),
        ("trains<20%% lora", "trains<20%%", "a share"),
        ("pinned=perhaps", "pinned=perhaps", "true or false"),
        ('rte "two words', '"two', "double quote"),
        ("best=nan", "best=nan", "best takes a number"),
        ("method=a,,b", "method=a,,b", "a value is missing"),
        ("max_length=1 fraction:x", "fraction:x", "no column or setting"),
    ],
)
def test_a_mistake_is_named_and_its_place_told(text: str, wrong: str, said: str) -> None:
    with pytest.raises(FilterError) as raised:
        parse(text)
    error = raised.value
    assert text[error.start : error.end] == wrong
    assert said in str(error)


def test_settings_of_odd_types_are_no_mistake() -> None:
    for odd in (None, "text", [1, [2]], {"a": 1}, True, 1e90):
        run = summary(settings={"training.learning_rate": odd, "method.components": odd})
        for text in ("lr>0", "lr=3", "components=x", "components:x", "lr=none"):
            parse(text)(run)
    assert not parse("lr>0")(summary(settings={"training.learning_rate": True}))


def test_every_column_can_be_asked_of_and_found_by_its_name() -> None:
    for each in all_columns():
        assert column(each.name).name == each.name
        each.value(RUN)
    assert column("LR") is COLUMNS["lr"]
    assert len({each.name for each in all_columns()}) == len(all_columns())


def test_the_filters_of_the_manual_can_be_used() -> None:
    page = (Path(__file__).parents[2] / "docs" / "runs.md").read_text(encoding="utf-8")
    examples = page.split("```")[1].strip().splitlines()
    assert len(examples) > 5
    for each in examples:
        parse(each)(RUN)
    named = {name for line in page.splitlines() for name in re.findall(r"`(\w+)`", line)}
    assert set(COLUMNS) <= named


@pytest.mark.parametrize(
    ("text", "kept", "mistake"),
    [
        ("best>0.8 lora", "best>0.8 lora", ""),
        ("best>", "", "best>"),
        ("mpop bset>1 -lora", "mpop  -lora", "bset>1"),
        ('bset>1 lr> "odd', "", "bset>1"),
        ('seed=42 "odd loss', "seed=42  loss", '"odd'),
    ],
)
def test_a_mistake_leaves_the_other_terms_as_they_are(text: str, kept: str, mistake: str) -> None:
    found, error = usable(text)
    assert found.text.strip() == kept
    assert found(RUN) == parse(kept)(RUN)
    assert (error.told(text).partition(": ")[0] if error else "") == mistake
