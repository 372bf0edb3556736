"""The components of an encoder that no table knows, by names and shapes of its matrices.

    in the list of layers that holds the most weights, of each layer:
        query, key, value        by name, such as q_proj, query, q_lin
        attention_output         the attention's other matrix, such as o_proj, out_lin, output.dense
        intermediate, output     the feed-forward pair, such as fc1 and fc2, up_proj and down_proj
        gate                     where there is one, such as gate_proj
    `Wqkv` and a `Wi` twice as high as `Wo` is wide are taken in equal blocks of rows

Shapes must agree: all but `attention_output` and `output` read the hidden state, these two write
it. Nothing is guessed beyond that; what does not fit is told, with the setting to mend it.
No torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from calisr_engine.errors import ConfigError
from calisr_engine.models.architectures import Place, Places, located, write_places
from calisr_engine.models.component_names import COMPONENTS, SIX, Component

Shapes = Mapping[str, tuple[int, int]]
"""Name of a linear layer -> (out, in) of its matrix."""

Source = Literal["table", "settings", "rule"]
"""Who says where the components are."""

_NUMBERED = re.compile(r"(?P<list>.*?)\.(?P<layer>\d+)\.(?P<rest>.+)")
_ATTENTION = r"(?=.*att).*\."
_FORWARD = r"(?!.*att)(?:.*\.)?"
_NAMES: dict[Component, str] = {
    "query": r"(?:.*\.)?(query|q|q_proj|query_proj|q_lin|q_linear|linear_q|wq)",
    "key": r"(?:.*\.)?(key|k|k_proj|key_proj|k_lin|k_linear|linear_k|wk)",
    "value": r"(?:.*\.)?(value|v|v_proj|value_proj|v_lin|v_linear|linear_v|wv)",
    "attention_output": _ATTENTION
    + r"(output\.dense|dense|o|o_proj|out_proj|out_lin|o_linear|linear_out|wo)",
    "intermediate": _FORWARD
    + r"(intermediate\.dense|intermediate_dense|up_proj|fc1|lin1|linear1|ffn|wi|wi_1)",
    "output": _FORWARD + r"(output\.dense|output_dense|down_proj|fc2|lin2|linear2|ffn_output|wo)",
    "gate": _FORWARD + r"(gate_proj|wi_0)",
}
_PATTERNS = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _NAMES.items()}
_FUSED = re.compile(_ATTENTION + "wqkv", re.IGNORECASE)


@dataclass(frozen=True)
class Layers:
    """The matrices that each layer of a list of layers has.

    Attributes:
        name: of the list, such as "bert.encoder.layer".
        count: layers in it.
        shapes: name within a layer -> (out, in), the same in all layers.
    """

    name: str
    count: int
    shapes: Shapes

    def full(self, name: str) -> str:
        return f"{self.name}.*.{name}"


def layers_of(shapes: Shapes) -> Layers | None:
    """The list of layers that holds the most weights; None where there is no list."""
    lists: dict[str, dict[str, dict[int, tuple[int, int]]]] = {}
    for name, shape in shapes.items():
        found = _NUMBERED.fullmatch(name)
        if found is not None:
            within = lists.setdefault(found["list"], {})
            within.setdefault(found["rest"], {})[int(found["layer"])] = shape
    sized = []
    for name, within in lists.items():
        count = len({layer for each in within.values() for layer in each})
        same = {
            rest: next(iter(each.values()))
            for rest, each in within.items()
            if len(each) == count and len(set(each.values())) == 1
        }
        weights = count * sum(rows * columns for rows, columns in same.values())
        sized.append((weights, Layers(name, count, same)))
    return max(sized, key=lambda each: each[0], default=(0, None))[1]


def by_rule(shapes: Shapes, kind: str) -> Places:
    """The places of the components, by the rule above.

    Args:
        kind: the architecture, for messages.

    Raises:
        ConfigError: some are not found, or more than once; the message lists what there is.
    """
    layers = layers_of(shapes)
    if layers is None:
        raise _unknown(kind, None, {}, "it has no list of layers with matrices")
    found = {
        component: [name for name in layers.shapes if pattern.fullmatch(name)]
        for component, pattern in _PATTERNS.items()
    }
    places = {
        component: Place(layers.full(names[0]))
        for component, names in found.items()
        if len(names) == 1
    }
    _take_apart(places, found, layers)
    places = {component: places[component] for component in COMPONENTS if component in places}
    several = [c for c, names in found.items() if len(names) > 1 and c not in places]
    missing = [component for component in SIX if component not in places]
    if several:
        name = several[0]
        raise _unknown(kind, layers, places, f"{name} could be {' or '.join(found[name][:3])}")
    if missing:
        raise _unknown(kind, layers, places, f"{' and '.join(missing)} cannot be told")
    odd = _odd(places, layers)
    if odd:
        raise _unknown(kind, layers, places, f"the shape of {odd} does not fit the others")
    return places


def _take_apart(
    places: dict[Component, Place], found: Mapping[Component, list[str]], layers: Layers
) -> None:
    """The blocks of one matrix for query, key and value, and of one for intermediate and gate."""
    fused = [name for name in layers.shapes if _FUSED.fullmatch(name)]
    trio: tuple[Component, ...] = ("query", "key", "value")
    if len(fused) == 1 and not any(found[component] for component in trio):
        for number, component in enumerate(trio, start=1):
            places[component] = Place(layers.full(fused[0]), number, len(trio))
    if "intermediate" in places and "output" in places and not found["gate"]:
        first, second = found["intermediate"][0], found["output"][0]
        if layers.shapes[first][0] == 2 * layers.shapes[second][1]:
            places["intermediate"] = Place(layers.full(first), 1, 2)
            places["gate"] = Place(layers.full(first), 2, 2)


def _odd(places: Places, layers: Layers) -> Component | None:
    """A component whose shape contradicts that of the query or of its partner."""
    shapes: dict[Component, tuple[int, int]] = {}
    for component, place in places.items():
        rows, columns = layers.shapes[place.name.removeprefix(layers.full(""))]
        if rows % place.blocks:
            return component
        shapes[component] = rows // place.blocks, columns
    hidden, inner = shapes["query"][1], shapes["output"][1]
    wanted: dict[Component, tuple[int | None, int | None]] = {
        "key": (shapes["value"][0], hidden) if "key" in shapes else (None, None),
        "value": (None, hidden),
        "attention_output": (hidden, None),
        "intermediate": (inner, hidden),
        "output": (hidden, None),
        "gate": (inner, hidden),
    }
    for component, sides in wanted.items():
        own = shapes.get(component, sides)
        if any(want not in (None, have) for want, have in zip(sides, own, strict=True)):
            return component
    return None


def beside(shapes: Shapes, places: Places) -> list[str]:
    """Matrices of a layer that no component covers, with their shapes; they train in both phases.

    Other lists of layers, and what lies outside of them, are not told.
    """
    layers = layers_of(shapes)
    if layers is None:
        return []
    return [
        f"{layers.full(name)} ({rows} x {columns})"
        for name, (rows, columns) in layers.shapes.items()
        if not located([f"{layers.name}.0.{name}"], places)
    ]


def _unknown(kind: str, layers: Layers | None, places: Places, why: str) -> ConfigError:
    if layers is None:
        there = "linear layers in a list of layers: none"
    else:
        there = f"each of the {layers.count} layers of {layers.name} has " + ", ".join(
            f"{name} ({rows} x {columns})" for name, (rows, columns) in layers.shapes.items()
        )
    start = write_places(places) or "query: encoder.layer.*.attention.query"
    return ConfigError(
        f"model.components: the components of the architecture {kind!r} are not known, and by the "
        f"names of its matrices {why}; {there}",
        'name each in the section [model.components], as COMPONENT = "NAME" with * for the number '
        f"of the layer and [1/3] for a block of a matrix's rows; found so far: {start}",
    )
