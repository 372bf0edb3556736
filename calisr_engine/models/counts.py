"""Trainable parameters of a run in closed formulas: no model is built, nothing needs torch.

The formulas say what `Phases.trainable` counts on the attached model, for the encoders of the
catalogue.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from calisr_engine.config.methods import (
    Adapter,
    BitFit,
    ChildTuningD,
    ChildTuningF,
    DiffPruning,
    FullFineTuning,
    Lora,
    MaskBert,
    MethodBase,
    Mpop,
    Prefix,
)
from calisr_engine.config.schema import COMPONENTS
from calisr_engine.models.catalog import ModelEntry, target_shapes
from calisr_engine.models.mpo_shapes import factorise_matrix, parameter_counts

POOLED = {"bert": True, "roberta": False}
"""transformers' `model_type` of the encoders counted here -> whether a pooler precedes the head.

Without one the head has a dense layer of that size itself.
"""

Certainty = Literal["exact", "ties", "ceiling"]


@dataclass(frozen=True)
class Counts:
    """Trainable parameters of one method on one encoder.

    Attributes:
        total: of the dense model, whatever the method adds left out.
        fft: in the full phase, what the method adds included; None where it has no full phase.
        lft: once every group is in the light phase; None for full fine-tuning. For diff pruning:
            once pruned.
        core: what of `lft` the method itself trains, in the covered matrices or beside them.
        before_pruning: in diff pruning, until the mask is fixed; else None.
        certainty: of `lft`. exact; ties: exact unless entries of equal Fisher information meet at
            the threshold (ChildTuning-D; by a few entries too where each group draws its own mask);
            ceiling: squeezing makes it fewer as training goes on.
    """

    total: int
    fft: int | None
    lft: int | None
    core: int
    before_pruning: int | None = None
    certainty: Certainty = "exact"


@dataclass(frozen=True)
class Parts:
    """Sizes of what an encoder with its head is made of.

    Attributes:
        words, tables: the table of word embeddings; all embedding tables, that one included.
        norms: scales and shifts of every LayerNorm.
        matrices, biases: component -> its weights and its biases in all layers together.
        pooler, head: the head is what transformers' `classifier` holds.
        all_biases: every bias outside the head, LayerNorm's included.
    """

    words: int
    tables: int
    norms: int
    matrices: dict[str, int]
    biases: dict[str, int]
    pooler: int
    head: int
    all_biases: int

    @property
    def total(self) -> int:
        targets = sum(self.matrices.values()) + sum(self.biases.values())
        return self.tables + self.norms + targets + self.pooler + self.head

    @property
    def always(self) -> int:
        """Biases, LayerNorm, pooler and head: most methods train them in both phases."""
        return self.norms + sum(self.biases.values()) + self.pooler + self.head


def parts(entry: ModelEntry, labels: int = 2) -> Parts:
    """The parts of `entry` with a head of `labels` outputs.

    Raises:
        ValueError: the architecture is not one of `POOLED`.
    """
    if entry.model_type not in POOLED:
        raise ValueError(f"no closed formula for the architecture {entry.model_type!r}")
    hidden, layers = entry.hidden, entry.layers
    shapes = target_shapes(entry)
    biases = {name: layers * rows for name, (rows, _) in shapes.items()}
    dense, output = hidden * hidden + hidden, hidden * labels + labels
    pooled = POOLED[entry.model_type]
    norms = 2 * hidden + layers * 4 * hidden
    return Parts(
        words=entry.vocabulary * hidden,
        tables=(entry.vocabulary + entry.positions + entry.types) * hidden,
        norms=norms,
        matrices={name: layers * rows * columns for name, (rows, columns) in shapes.items()},
        biases=biases,
        pooler=dense if pooled else 0,
        head=output if pooled else dense + output,
        all_biases=sum(biases.values()) + norms // 2 + (hidden if pooled else 0),
    )


def counts(entry: ModelEntry, method: MethodBase, labels: int, calibrated: bool) -> Counts:
    """Trainable parameters of `method` on `entry`.

    Args:
        labels: outputs of the head (1 for regression).
        calibrated: whether the run is calibrated or has `schedule.switch_at`: some methods cover
            more components then.

    Raises:
        ValueError: the architecture is not one of `POOLED`, or the method refuses the components.
    """
    model = parts(entry, labels)
    if isinstance(method, FullFineTuning):
        return Counts(model.total, model.total, None, 0)
    named = method.components or method.default_components(calibrated)
    chosen = [name for name in COMPONENTS if name in named]
    if isinstance(method, Adapter) and not set(chosen) & set(method.places):
        raise ValueError("adapters go behind attention_output and output only")
    if isinstance(method, Prefix) and not set(chosen) >= set(method.pair):
        raise ValueError("a prefix needs key and value")
    core = _core(entry, model, method, chosen)
    outside = _outside(model, method, chosen)
    if isinstance(method, DiffPruning):
        entries = sum(model.matrices[name] for name in chosen)
        gates = entries + (entry.layers * len(chosen) if method.structured else 0)
        return Counts(
            model.total, None, outside + core, core, before_pruning=outside + entries + gates
        )
    certainty: Certainty = "exact"
    if isinstance(method, ChildTuningD):
        certainty = "ties"
    elif isinstance(method, Mpop) and method.squeeze_gap is not None:
        certainty = "ceiling"
    fft = None if method.calibration_refused else model.total + _more_in_fft(entry, method, chosen)
    return Counts(model.total, fft, outside + core, core, certainty=certainty)


def bottleneck_count(width: int, bottleneck: int) -> int:
    """Parameters of one adapter: two matrices and two biases (99,136 for 768 and 64)."""
    return 2 * width * bottleneck + width + bottleneck


def prefix_count(layers: int, length: int, width: int) -> int:
    """Parameters of all prefixes: a key and a value for each position of each layer."""
    return 2 * layers * length * width


def fisher_kept(p: float, entries: int) -> int:
    """Entries at or above the (1 - p) percentile of `entries` different values.

    The percentile lies at position (1 - p)(entries - 1) of the sorted values, interpolated
    (`fisher_threshold`). Ties at the threshold keep more.
    """
    return entries - math.ceil((1 - Fraction(repr(float(p)))) * (entries - 1))


def pruned_count(share: float, entries: int) -> int:
    """Differences that diff pruning keeps of `entries`: at least one."""
    return max(1, round(share * entries))


def _core(entry: ModelEntry, model: Parts, method: MethodBase, chosen: Sequence[str]) -> int:
    shapes = [target_shapes(entry)[name] for name in chosen]
    entries = sum(model.matrices[name] for name in chosen)
    if isinstance(method, Lora):
        return entry.layers * method.rank * sum(rows + columns for rows, columns in shapes)
    if isinstance(method, Mpop):
        auxiliary = entry.layers * sum(_operator(shape, method)[0] for shape in shapes)
        return auxiliary + (_words_operator(entry, method)[0] if method.embeddings == "mpo" else 0)
    if isinstance(method, ChildTuningD):
        return fisher_kept(method.p, entries)
    if isinstance(method, ChildTuningF):
        return entry.layers * sum(round(method.p * (rows * columns)) for rows, columns in shapes)
    if isinstance(method, MaskBert):
        return entries
    if isinstance(method, DiffPruning):
        return pruned_count(method.target_share, entries)
    if isinstance(method, Adapter):
        places = sum(name in method.places for name in chosen)
        return entry.layers * places * bottleneck_count(entry.hidden, method.bottleneck)
    if isinstance(method, Prefix):
        return prefix_count(entry.layers, method.length, entry.hidden)
    return 0


def _more_in_fft(entry: ModelEntry, method: MethodBase, chosen: Sequence[str]) -> int:
    """Trainable parameters of the full phase beyond those of the dense model (may be negative)."""
    shapes = [target_shapes(entry)[name] for name in chosen]
    if isinstance(method, Lora) and method.parametrisation == "joint":
        return entry.layers * method.rank * sum(rows + columns for rows, columns in shapes)
    if isinstance(method, MaskBert):
        return entry.layers * sum(math.prod(shape) for shape in shapes)
    more = 0
    if isinstance(method, Mpop):
        if method.parametrisation == "throughout":
            each = [sum(_operator(shape, method)) - math.prod(shape) for shape in shapes]
            more += entry.layers * sum(each)
        if method.embeddings == "mpo":
            more += sum(_words_operator(entry, method)) - entry.vocabulary * entry.hidden
    return more


def _outside(model: Parts, method: MethodBase, chosen: Sequence[str]) -> int:
    """What trains beside the core in the light phase."""
    if isinstance(method, BitFit):
        return model.head + model.all_biases
    if method.reference and isinstance(method, Lora | MaskBert | Prefix | DiffPruning):
        return model.head
    if method.reference and isinstance(method, Adapter):
        return model.head + model.norms
    # Adapters and prefixes stand beside the matrices, which all belong to no light method then.
    formed = () if isinstance(method, Adapter | Prefix) else chosen
    uncovered = [name for name in COMPONENTS if name not in formed]
    trained = model.always
    if isinstance(method, MaskBert):
        trained -= sum(model.biases[name] for name in formed)
    if method.elsewhere == "fft":
        trained += sum(model.matrices[name] for name in uncovered)
    if method.embeddings == "train" or (method.elsewhere == "fft" and uncovered):
        trained += model.tables
        if method.embeddings == "mpo":
            trained -= model.words
    return trained


def _operator(shape: tuple[int, int], method: Mpop) -> tuple[int, int]:
    """(auxiliary, central) entries of a matrix as five tensors."""
    return parameter_counts(*factorise_matrix(*shape), method.bond)


def _words_operator(entry: ModelEntry, method: Mpop) -> tuple[int, int]:
    return _operator((entry.vocabulary, entry.hidden), method)
