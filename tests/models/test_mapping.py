"""Components by rule, by setting, and what is said where neither tells."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from calisr_engine.config.load import load as load_config
from calisr_engine.errors import ConfigError
from calisr_engine.models.architectures import (
    ARCHITECTURES,
    Place,
    located,
    parse_places,
    write_places,
)
from calisr_engine.models.component_names import COMPONENTS, SIX
from calisr_engine.models.components import (
    find_targets,
    linear_shapes,
    places_of,
    take_apart,
)
from calisr_engine.models.load import empty_model
from calisr_engine.models.mapping import beside, by_rule
from calisr_engine.models.settings import ModelSettings
from tests.models.folders import config_of, edit, load, save, set_config

BY_RULE = ("ernie", "rembert", "roformer", "megatron-bert", "nystromformer", "data2vec-text")


def built(kind: str, **more: Any) -> nn.Module:
    with torch.device("meta"):
        auto = transformers.AutoModelForSequenceClassification
        return auto.from_config(config_of(kind, **more))  # type: ignore[no-any-return]


def shapes(layers: int = 2, **matrices: tuple[int, int]) -> dict[str, tuple[int, int]]:
    return {
        f"net.blocks.{n}.{name.replace('__', '.')}": shape
        for n in range(layers)
        for name, shape in matrices.items()
    }


PLAIN = {
    "attn__q_proj": (8, 8),
    "attn__k_proj": (8, 8),
    "attn__v_proj": (8, 8),
    "attn__o_proj": (8, 8),
    "mlp__fc1": (12, 8),
    "mlp__fc2": (8, 12),
}


@pytest.mark.parametrize("kind", sorted(set(ARCHITECTURES) - {"albert", "mpnet"}))
def test_the_rule_finds_what_the_table_says(kind: str) -> None:
    """Where the table knows better than names can tell, the model is left out."""
    model = built(kind)
    found = by_rule(linear_shapes(model), kind)
    ours = located(linear_shapes(model), found)
    theirs = located(linear_shapes(model), ARCHITECTURES[kind])
    what = [(each.layer, each.component, each.name, each.place.block) for each in ours]
    assert what == [(each.layer, each.component, each.name, each.place.block) for each in theirs]
    assert what


@pytest.mark.parametrize("kind", BY_RULE)
def test_an_encoder_of_no_table_loads_by_rule(kind: str, tmp_path: Path) -> None:
    folder = save(kind, tmp_path / "model")
    loaded = load(folder)
    assert places_of(loaded.model)[1] == "rule"
    targets = find_targets(loaded.model)
    assert [(t.layer, t.component) for t in targets] == [(n, c) for n in (0, 1) for c in SIX]
    name = targets[3].name
    edit(folder, lambda tensors: tensors.pop(f"{name}.weight"))
    with pytest.raises(ConfigError, match=name):
        load(folder)


def test_one_matrix_for_three_is_taken_in_thirds() -> None:
    plain = {k: v for k, v in PLAIN.items() if k[-6:] not in ("q_proj", "k_proj", "v_proj")}
    places = by_rule(shapes(**plain, attn__Wqkv=(24, 8)), "x")
    assert str(places["key"]) == "net.blocks.*.attn.Wqkv[2/3]"
    assert tuple(places) == SIX


def test_a_first_matrix_of_twice_the_height_has_a_gate() -> None:
    places = by_rule(shapes(**PLAIN | {"mlp__fc1": (24, 8)}), "x")
    assert str(places["intermediate"]) == "net.blocks.*.mlp.fc1[1/2]"
    assert str(places["gate"]) == "net.blocks.*.mlp.fc1[2/2]"


@pytest.mark.parametrize(
    ("matrices", "says"),
    [
        ({k: v for k, v in PLAIN.items() if "fc2" not in k}, "output cannot be told"),
        (
            {k: v for k, v in PLAIN.items() if "k_proj" not in k},
            "names of its matrices key cannot be told",
        ),
        (
            {k: v for k, v in PLAIN.items() if k[-6:] not in ("k_proj", "v_proj")}
            | {"attn__kv": (16, 8)},
            "key and value cannot be told",
        ),
        (
            PLAIN | {"attn__self__query": (8, 8)},
            r"query could be attn\.q_proj or attn\.self\.query",
        ),
        (PLAIN | {"mlp__fc2": (8, 13)}, "the shape of intermediate does not fit"),
        (PLAIN | {"attn__k_proj": (8, 7)}, "the shape of key does not fit"),
        ({}, "no list of layers"),
    ],
)
def test_what_cannot_be_told_is_refused_with_what_there_is(
    matrices: dict[str, tuple[int, int]], says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        by_rule(shapes(**matrices), "odd")
    for name, (rows, columns) in matrices.items():
        assert f"{name.replace('__', '.')} ({rows} x {columns})" in caught.value.message
    assert "[model.components]" in caught.value.hint


def test_a_layer_of_a_known_architecture_with_a_query_and_no_key_is_refused() -> None:
    model = built("bert")
    attention = model.get_submodule("bert.encoder.layer.1.attention.self")
    attention.key = nn.Identity()
    with pytest.raises(ConfigError, match=r"layer 1 has no key \(encoder\.layer"):
        find_targets(model)


def test_matrices_of_no_component_are_told() -> None:
    model = built("longformer")
    told = beside(linear_shapes(model), places_of(model)[0])
    assert [each.rpartition(".")[2] for each in told] == [
        "query_global (16 x 16)",
        "key_global (16 x 16)",
        "value_global (16 x 16)",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("query: layers.*.q", "key and value and .* are missing"),
        ("querry: layers.*.q", "names none of the components"),
        ("query layers.*.q", "names none of the components"),
        ("query: layers.0.q", r"no \* in the place"),
        ("query: layers.*.q[4/3]", "asks for block 4 of 3"),
        ("query: layers.*.q[1/2", "no name of a module"),
        ("query: layers.*.q, query: layers.*.k", "query is there twice"),
    ],
)
def test_places_that_are_written_wrong_say_why(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_places(text)
    with pytest.raises(ConfigError) as caught:
        load_config(None, [f"model.components={text}"])
    assert any(problem.keys == ("model.components",) for problem in caught.value.problems)


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_places_come_back_as_they_were_written(kind: str) -> None:
    assert parse_places(write_places(ARCHITECTURES[kind])) == ARCHITECTURES[kind]


def test_a_section_of_a_file_and_an_option_say_the_same(tmp_path: Path) -> None:
    places = ARCHITECTURES["modernbert"]
    lines = [f'{component} = "{place}"' for component, place in places.items()]
    file = tmp_path / "run.toml"
    file.write_text("[model.components]\n" + "\n".join(reversed(lines)) + "\n")
    text = write_places(places)
    assert load_config(file).config.model.components == text
    resolved = load_config(None, [f"model.components={text}"])
    assert resolved.config.model.components == text
    again = tmp_path / "again.toml"
    again.write_text(resolved.to_toml())
    assert load_config(again).config.model.components == text


def test_places_of_the_settings_go_before_the_table_and_into_the_export(tmp_path: Path) -> None:
    folder = save("bert", tmp_path / "model")
    places = dict(ARCHITECTURES["bert"])
    places["query"], places["key"] = places["key"], places["query"]
    loaded = load(folder, components=write_places(places))
    first = find_targets(loaded.model)[0]
    assert (first.component, first.name.rpartition(".")[2]) == ("query", "key")
    exported: Any = loaded.model.config
    assert exported.to_dict()["calisr_components"] == write_places(places)


def test_a_fused_matrix_of_unknown_order_is_told_and_not_guessed(tmp_path: Path) -> None:
    """The rows of in_proj in DeBERTa's first version stand by heads."""
    with pytest.raises(ConfigError, match=r"query and key and value cannot.*in_proj \(48 x 16\)"):
        load(save("deberta", tmp_path / "model"))


class ReadsItsRows(nn.Module):
    """Uses the weight of its fused matrix without calling it."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.ModuleDict({name: nn.Linear(8, 8) for name in ("out", "up", "down")})
        layer["fused"] = nn.Linear(8, 24)
        self.layers = nn.ModuleList([layer])
        self.config = types.SimpleNamespace(
            calisr_components="query: layers.*.fused[1/3], key: layers.*.fused[2/3], "
            "value: layers.*.fused[3/3], attention_output: layers.*.out, "
            "intermediate: layers.*.up, output: layers.*.down"
        )

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        fused: Any = self.layers[0]["fused"]  # type: ignore[index]
        return fused.weight.sum() * input_ids


def test_a_matrix_that_the_model_reads_itself_cannot_be_taken_apart() -> None:
    with pytest.raises(ConfigError, match=r"uses layers\.0\.fused otherwise than as"):
        take_apart(ReadsItsRows())


def test_blocks_without_a_component_are_refused(tmp_path: Path) -> None:
    folder = save("modernbert", tmp_path / "model")
    places = {c: str(p) for c, p in ARCHITECTURES["modernbert"].items()}
    del places["gate"]
    text = ", ".join(f"{component}: {place}" for component, place in places.items())
    with pytest.raises(ConfigError, match="not all of equal blocks"):
        load(folder, components=text)


def test_names_of_the_settings_that_are_not_there_are_refused(tmp_path: Path) -> None:
    folder = save("bert", tmp_path / "model")
    text = write_places({c: Place(f"encoder.layer.*.{c}") for c in SIX})
    with pytest.raises(ConfigError, match=r"model\.components: .*0 target matrices"):
        load(folder, components=text)


@pytest.mark.parametrize("kind", ["t5", "gpt2", "bart", "vit", "nonsense"])
def test_what_is_no_encoder_is_refused(kind: str, tmp_path: Path) -> None:
    folder = save("bert", tmp_path / "model")
    set_config(folder, model_type=kind, vocab_size=80, d_model=16)
    with pytest.raises(ConfigError, match=r"not supported|decoder"):
        load(folder)


def test_a_head_of_unknown_parts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"part that is not known: sequence_summary"):
        load(save("flaubert", tmp_path / "model"))


def test_matrices_that_are_no_linear_layers_are_refused_as_unknown_components(
    tmp_path: Path,
) -> None:
    """I-BERT's are of its own, its table of words too."""
    with pytest.raises(ConfigError, match=r"model\.components: .*linear layers .*: none"):
        load(save("ibert", tmp_path / "model"))


def test_a_model_is_looked_at_without_its_weights(tmp_path: Path) -> None:
    folder = save("modernbert", tmp_path / "model")
    (folder / "model.safetensors").unlink()
    model = empty_model(ModelSettings(name=str(folder)))
    assert linear_shapes(model)["model.layers.0.attn.Wqkv"] == (48, 16)
    take_apart(model)
    assert {target.component for target in find_targets(model)} == set(COMPONENTS)


def test_the_page_on_encoders_names_each_that_is_known() -> None:
    page = (Path(__file__).parents[2] / "docs/models.md").read_text(encoding="utf-8")
    table = page[page.index("## Known by name") : page.index("**The seventh")]
    rows = re.findall(r"^\| (`.*`) \| (six|seven) \|", table, re.MULTILINE)
    said = {kind: count for kinds, count in rows for kind in re.findall(r"`([\w-]+)`", kinds)}
    assert said == {k: "seven" if "gate" in p else "six" for k, p in ARCHITECTURES.items()}
