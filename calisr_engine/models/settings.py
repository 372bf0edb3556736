"""The settings of [model]."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from calisr_engine.settings import Reading, Section, Words


def _local_folder(name: str, info: ValidationInfo) -> str:
    """A name that is plainly a path, made absolute from the file that names it."""
    if not isinstance(info.context, Reading) or not name.startswith(("./", "../", "~")):
        return name
    return str((info.context.folder / os.path.expanduser(name)).absolute())


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
    random_weights: bool = Field(
        False,
        description="Start from random instead of pretrained weights (for timing and tests; "
        "scores mean nothing).",
    )
