"""What an encoder with its head is made of, in numbers: no model is built, nothing needs torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from calisr_engine.models.catalog import ModelEntry, target_shapes
from calisr_engine.models.component_names import Component
from calisr_engine.task_kinds import KINDS, TaskKind

POOLED = {"bert": True, "roberta": False}
"""transformers' `model_type` of the encoders counted here -> whether a pooler precedes the head.

Without one the head has a dense layer of that size itself.
"""


@dataclass(frozen=True)
class Parts:
    """Sizes of what an encoder with its head is made of.

    Attributes:
        layers, hidden: encoder layers; width of the embeddings.
        shapes: component -> (out, in) of its matrix in one layer.
        word_table: shape of the table of word embeddings.
        tables: entries of all embedding tables, that one included.
        norms: scales and shifts of every LayerNorm.
        pooler, head: the head is what transformers' `classifier` holds.
        all_biases: every bias outside the head, LayerNorm's included.
    """

    layers: int
    hidden: int
    shapes: dict[Component, tuple[int, int]]
    word_table: tuple[int, int]
    tables: int
    norms: int
    pooler: int
    head: int
    all_biases: int

    @property
    def total(self) -> int:
        return self.tables + self.entries(self.shapes) + self.always

    @property
    def always(self) -> int:
        """Biases, LayerNorm, pooler and head: most methods train them in both phases."""
        return self.norms + self.biases(self.shapes) + self.pooler + self.head

    @property
    def words(self) -> int:
        """Entries of the table of word embeddings."""
        return self.word_table[0] * self.word_table[1]

    def has(self, components: Iterable[Component]) -> tuple[Component, ...]:
        """Those of `components` that the encoder has."""
        return tuple(name for name in components if name in self.shapes)

    def entries(self, components: Iterable[Component]) -> int:
        """Weights of these components in all layers."""
        shapes = [self.shapes[name] for name in self.has(components)]
        return self.layers * sum(rows * columns for rows, columns in shapes)

    def biases(self, components: Iterable[Component]) -> int:
        """Biases of these components in all layers."""
        return self.layers * sum(self.shapes[name][0] for name in self.has(components))


def parts(entry: ModelEntry, labels: int = 2, task: TaskKind = KINDS["classification"]) -> Parts:
    """The parts of `entry` with a head of `labels` outputs.

    Args:
        task: the kind of task. Where words are tagged, neither pooler nor dense layer is before the
            outputs; where there is a choice, a pooler is, whatever the architecture.

    Raises:
        ValueError: the architecture is not one of `POOLED`.
    """
    if entry.model_type not in POOLED:
        raise ValueError(f"no closed formula for the architecture {entry.model_type!r}")
    hidden, layers = entry.hidden, entry.layers
    shapes = target_shapes(entry)
    dense, output = hidden * hidden + hidden, hidden * labels + labels
    pooled = (POOLED[entry.model_type] or task.chooses) and not task.per_word
    norms = 2 * hidden + layers * 4 * hidden
    biases = layers * sum(rows for rows, _ in shapes.values())
    return Parts(
        layers=layers,
        hidden=hidden,
        shapes=shapes,
        word_table=(entry.vocabulary, hidden),
        tables=(entry.vocabulary + entry.positions + entry.types) * hidden,
        norms=norms,
        pooler=dense if pooled else 0,
        head=output if pooled or task.per_word else dense + output,
        all_biases=biases + norms // 2 + (hidden if pooled else 0),
    )
