"""What an encoder is made of for us: its components, what lies beside them, what cannot be used."""

from __future__ import annotations

from dataclasses import dataclass

from calisr_engine.errors import ConfigError
from calisr_engine.methods.catalog import METHODS
from calisr_engine.models.architectures import architecture_of
from calisr_engine.models.component_names import Component
from calisr_engine.models.mapping import Source, beside
from calisr_engine.models.settings import ModelSettings

WHO: dict[Source, str] = {
    "table": "known by its architecture",
    "settings": "named in [model.components]",
    "rule": "found by the names and shapes of its matrices; check them",
}
"""Who says where the components are, in words."""


@dataclass(frozen=True)
class ComponentLook:
    """One component: where it is, the shape of its matrix (out, in), and how many there are."""

    component: Component
    place: str
    rows: int
    columns: int
    matrices: int


@dataclass(frozen=True)
class EncoderLook:
    """What `calisr models NAME` shows.

    Attributes:
        architecture: transformers' `model_type`.
        parameters: of the sequence classifier with 2 labels.
        source: who says where the components are.
        beside: matrices of a layer that are no component; they train in both phases.
        refused: method -> why it cannot be used.
    """

    name: str
    architecture: str
    parameters: int
    source: Source
    components: tuple[ComponentLook, ...]
    beside: tuple[str, ...]
    refused: dict[str, str]


def look_at(settings: ModelSettings) -> EncoderLook:
    """The encoder of these settings, of which only config.json is read.

    Raises:
        UnavailableError: it is not here and cannot be had.
        ConfigError: it cannot be used, or its components are not known; the message lists its
            matrices.
    """
    from calisr_engine.methods import registry
    from calisr_engine.models.components import find_targets, linear_shapes, places_of, take_apart
    from calisr_engine.models.load import empty_model

    model = empty_model(settings)
    places, source = places_of(model)
    others = beside(linear_shapes(model), places)
    take_apart(model)
    targets = find_targets(model)
    found = []
    for component, place in places.items():
        own = [target for target in targets if target.component == component]
        rows, columns = own[0].weight.shape
        found.append(ComponentLook(component, str(place), rows, columns, len(own)))
    refused = {}
    for name in METHODS:
        try:
            registry.get(name).check_model(model)
        except ConfigError as error:
            refused[name] = error.message.removeprefix("method.name: ")
    return EncoderLook(
        name=settings.name,
        architecture=architecture_of(model),
        parameters=sum(p.numel() for p in model.parameters()),
        source=source,
        components=tuple(found),
        beside=tuple(others),
        refused=refused,
    )
