"""The settings of [model]."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from calisr_engine.models.architectures import parse_places, write_places
from calisr_engine.settings import Broken, Reading, Section, Words


def _local_folder(name: str, info: ValidationInfo) -> str:
    """A name that is plainly a path, made absolute from the file that names it."""
    if not isinstance(info.context, Reading) or not name.startswith(("./", "../", "~")):
        return name
    return str((info.context.folder / os.path.expanduser(name)).absolute())


def _table_as_text(value: Any) -> Any:
    """The section [model.components] in one line, as `--set` takes it."""
    if isinstance(value, Mapping) and all(isinstance(each, str) for each in value.values()):
        return ", ".join(f"{component}: {place}" for component, place in value.items())
    return value


def _places(text: str) -> str:
    try:
        return write_places(parse_places(text))
    except ValueError as error:
        raise Broken(
            f"expected COMPONENT: NAME with commas between, but {error}",
            'write it like "query: encoder.layer.*.attention.self.query, key: ..." or as the '
            "section [model.components]",
            (),
        ).error() from error


class ModelSettings(Section):
    """Which encoder is fine-tuned."""

    name: Annotated[Words, AfterValidator(_local_folder)] = Field(
        "demo-bert",
        description="A name of the catalogue (`calisr models`), a hub name, or a local folder with "
        "config.json, weights in safetensors and a tokenizer.",
    )
    revision: str | None = Field(
        None, description="Branch, tag or commit of a hub model; none takes its main branch."
    )
    head: Literal["fresh", "by_name"] = Field(
        "fresh",
        description="The classification head at the start. fresh: drawn from the seed, whatever "
        "the checkpoint was fine-tuned for. by_name: the checkpoint's own, its classes matched by "
        "name (for a regression, the one number as it is).",
    )
    components: Annotated[str, BeforeValidator(_table_as_text), AfterValidator(_places)] | None = (
        Field(
            None,
            json_schema_extra={"expects": "COMPONENT: NAME for each component, with commas"},
            description="Where the components are in an architecture that is not known or mapped "
            "otherwise than you want: for each the name of its linear layer, with * for the number "
            "of the layer and [1/3] for a block of its rows; also as the section "
            "[model.components]. `calisr models NAME` shows what there is.",
        )
    )
    random_weights: bool = Field(
        False,
        description="Start from random instead of pretrained weights (for timing and tests; "
        "scores mean nothing).",
    )
