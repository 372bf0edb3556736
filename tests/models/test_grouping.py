"""Which matrices share a counter and a switch, and what is said of groups that do not fit."""

from __future__ import annotations

import re
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calisr_engine.config.load import load
from calisr_engine.errors import ConfigError
from calisr_engine.models.component_names import COMPONENTS, SIX, Component
from calisr_engine.models.grouping import (
    Cell,
    Grouping,
    Variant,
    by_layer_and_component,
    cell_of,
    parse_groups,
    write_groups,
)


def cells(layers: int, components: tuple[Component, ...] = SIX) -> list[Cell]:
    return [(layer, component) for layer in range(layers) for component in components]


def divided(variant: Variant, text: str | None = None, layers: int = 12) -> dict[str, list[Cell]]:
    there = cells(layers)
    found = Grouping(variant, text).divide(there, SIX)
    return {name: [there[n] for n in members] for name, members in found.items()}


@pytest.mark.parametrize(
    ("variant", "count", "first"),
    [
        ("off", 1, "model"),
        ("D", 1, "model"),
        ("S", 6, "query"),
        ("S3", 3, "att"),
        ("L", 12, "layer0"),
        ("LC", 72, "layer0.query"),
    ],
)
def test_every_matrix_is_in_one_group_of_a_variant(
    variant: Variant, count: int, first: str
) -> None:
    found = divided(variant)
    assert len(found) == count
    assert next(iter(found)) == first
    assert sorted(chain(*found.values())) == sorted(cells(12))
    assert all(Grouping(variant).could_be(name) for name in found)


def test_gated_encoders_have_a_group_more_a_layer() -> None:
    found = Grouping("LC").divide(cells(2, COMPONENTS), COMPONENTS)
    assert len(found) == 14
    assert "layer1.gate" in found


def test_what_the_method_does_not_cover_is_in_no_group() -> None:
    assert list(Grouping("S").divide(cells(2), ("query", "value"))) == ["query", "value"]
    assert len(Grouping("LC").divide(cells(2), ("query", "value"))) == 4


def test_own_groups_go_by_layer_and_component() -> None:
    found = divided("own", "early: 0-5.*, late_att: 6-.query+key 6-11.value, others: rest")
    assert list(found) == ["early", "late_att", "others"]
    assert found["early"] == cells(6)
    assert {component for _, component in found["late_att"]} == {"query", "key", "value"}
    assert sorted(chain(*found.values())) == sorted(cells(12))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 0-11.*, b: 3.query", r"layer3\.query is in a and in b"),
        ("a: 0-5.*, b: 6-.query", r"layer6\.key, layer6\.value and 28 more .* in no group"),
        ("a: 0-12.*", r'"0-12\.\*" of the group a names layer 12, but the layers are 0 to 11'),
        ("a: *.gate, b: rest", "names gate, which the model does not have"),
        ("a: *.*, b: rest", "group b has no matrix"),
    ],
)
def test_groups_that_do_not_fit_a_model_are_refused_with_the_matrix(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        divided("own", text)
    assert caught.value.message.startswith("calibration.groups: ")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["calibration.groups=a: query"], "'query' is no pattern"),
        (["calibration.groups=a: *.querry"], "'querry', which is none of the components"),
        (["calibration.groups=a: *.*, a: rest"], "a is there twice"),
        (["calibration.groups=a: rest, b: rest"], "two groups are"),
        (["calibration.groups=a b: *.*"], "'a b' is no name"),
        (["calibration.groups=a: 5-3.*"], "layers 5 to 3"),
        (["calibration.groups=a: *.* rest"], "beside other patterns"),
        ([], "variant own needs groups"),
        (["calibration.groups=a: 0-2.*, b: 2-.*"], "layer2.query.* are in a and in b"),
        (["calibration.groups=a: *.query"], "layer0.key, .* are in no group"),
        (["calibration.groups=a: *.*", "calibration.control=shuffled"], "has one group"),
        (
            [
                "calibration.groups=a: *.query, b: rest",
                "calibration.control=matched",
                "calibration.switch_steps=a:3",
            ],
            "groups of variant own are a, b, but the steps lack b",
        ),
    ],
)
def test_mistakes_are_told_when_settings_are_read(sets: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, ["method.name=lora", "calibration.variant=own", *sets])
    problems = caught.value.problems
    assert any(re.search(said, problem.message) for problem in problems), problems
    assert all(problem.mend for problem in problems)


def test_uncovered_components_need_no_group() -> None:
    sets = ["method.name=lora", "method.components=query,value", "calibration.variant=own"]
    assert load(None, [*sets, "calibration.groups=a: *.query, b: *.value"]).config


def test_steps_are_for_the_groups_that_there_are() -> None:
    sets = ["method.name=lora", "calibration.control=matched", "calibration.switch_steps=layer3:2"]
    load(None, [*sets, "calibration.variant=L"])
    with pytest.raises(ConfigError) as caught:
        load(None, [*sets, "calibration.variant=LC"])
    assert "layer0.query, layer0.key, ..., but the steps name layer3" in str(caught.value.problems)


def test_a_section_a_line_and_a_run_file_say_the_same(tmp_path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(
        '[method]\nname = "lora"\n[calibration]\nvariant = "own"\n[calibration.groups]\n'
        'early = "0-5.*"\nlate = ["6-.query+key", "6-.value"]\nothers = "rest"\n'
    )
    resolved = load(file)
    text = "early: 0-5.*, late: 6-.query+key 6-.value, others: rest"
    assert resolved.config.calibration.groups == text
    again = tmp_path / "again.toml"
    again.write_text(resolved.to_toml())
    assert load(again).config == resolved.config
    line = load(None, ["method.name=lora", "calibration.variant=own", f"calibration.groups={text}"])
    assert line.config.calibration == resolved.config.calibration


def test_a_section_of_something_else_is_refused(tmp_path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[calibration]\nvariant = "own"\n[calibration.groups]\nearly = 5\n')
    with pytest.raises(ConfigError) as caught:
        load(file)
    (problem,) = [each for each in caught.value.problems if each.keys == ("calibration.groups",)]
    assert "expected NAME: PATTERN for each group" in problem.message


patterns = st.builds(
    lambda layers, kinds: f"{layers}.{kinds}",
    st.sampled_from(["*", "3", "0-5", "6-"]),
    st.sampled_from(["*", "query", "query+key"]),
)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_.-]{0,5}", fullmatch=True),
        st.lists(patterns, min_size=1, max_size=3).map(" ".join),
        min_size=1,
        max_size=4,
    )
)
def test_groups_are_read_as_they_were_written(groups: dict[str, str]) -> None:
    text = ", ".join(f"{name}: {given}" for name, given in groups.items())
    assert write_groups(parse_groups(text)) == text


def test_a_group_of_one_matrix_is_known_by_its_name() -> None:
    assert cell_of("layer11.attention_output") == (11, "attention_output")
    assert cell_of("layer11") is cell_of("early") is cell_of("layer1.else") is None
    found = by_layer_and_component([f"layer{n}.{c}" for n in (0, 10, 2) for c in SIX])
    assert found is not None
    assert found[0] == [0, 2, 10]
    assert by_layer_and_component(["layer0.query", "early"]) is None
