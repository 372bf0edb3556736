"""What all methods share in their light half: settings, words about the method, closed formulas.

No torch here or in any `methods/NAME/settings.py`: forms, `--help` and config files need none.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from calisr_engine.models.component_names import COMPONENTS, SIX, Component
from calisr_engine.models.parts import Parts
from calisr_engine.settings import Section

Certainty = Literal["exact", "ties", "ceiling"]
"""How well a count of the light phase is known beforehand.

exact; ties: exact unless entries of equal Fisher information meet at the threshold (by a few
entries too where each group draws its own mask); ceiling: it becomes fewer as training goes on.
"""

Width = Literal["tiny", "small", "base", "large"]
"""Classes of encoders by hidden size: up to 256, 512 and 896, and above."""


class Rate(NamedTuple):
    """Peak learning rates of a plain run of a method, where the user names none.

    Attributes:
        rate: of all that trains beside the method's core (in full fine-tuning, of everything).
        source: where they come from, for the user to read.
        core: of what the method adds or selects; None where it has no rate of its own.
        beside_full: of the same in a run that trains everything first, where `core` is too high for
            what trains beside whole matrices; None where it is not known to be.
    """

    rate: float
    source: str
    core: float | None = None
    beside_full: float | None = None


class Entry(NamedTuple):
    """One of the values with names that a setting stands for (`method.options.r`).

    Attributes:
        kind: what a form should offer, as of a setting: int, float, text, flag or choice.
        expects: the accepted values in words; choices: those of a choice.
        default: the value where nobody names it, or None.
    """

    name: str
    kind: Literal["int", "float", "text", "flag", "choice"]
    expects: str
    choices: tuple[str, ...]
    default: Any
    help: str


MEASURED = "measured, see docs/defaults.md"
"""Source of rates from our own search on small encoders."""
BESIDE_FULL = "less than alone, as it trains beside whole matrices first, see docs/defaults.md"
"""Reason of `Rate.beside_full`."""


class MethodBase(Section):
    """Settings of a method, with what is said of it and what it trains.

    A subclass gives `name: Literal["NAME"] = "NAME"`, NAME being that of its folder, the words
    below, its own settings with their help, and `count_core`.

    Class attributes:
        order: place in lists; equal ones stand by name.
        title: the method's name in prose.
        label: its short name in tables.
        summary: one sentence for lists and forms.
        calibration_refused: why calibration is refused ("" where it is offered).
        changes_architecture: no plain transformers model holds the result, so exports are opened
            by `calisr_engine.methods.reload`.
        reads_all_tokens: what it adds reads every token of every layer, the last one too.
        has_light_phase: whether anything ever freezes.
        rounding_refused: why matrices that it freezes cannot be kept in 16 bits ("" where nothing
            but the layer's own forward pass reads them).
        packing_refused: why the texts of a batch cannot stand one behind the other ("" where what
            the method adds looks at each token for itself).
        sizes: names of the settings that say how much the method adds.
        rates: learning rates by size of the encoder, where nobody names any.
        choices: settings of type text whose values are found when somebody asks for them.
        tables: settings whose text stands for several values with names, with what reads it; each
            of them can be set alone (`method.options.r`).
    """

    order: ClassVar[int] = 1000
    title: ClassVar[str]
    label: ClassVar[str]
    summary: ClassVar[str]
    calibration_refused: ClassVar[str] = ""
    changes_architecture: ClassVar[bool] = False
    reads_all_tokens: ClassVar[bool] = False
    has_light_phase: ClassVar[bool] = True
    rounding_refused: ClassVar[str] = ""
    packing_refused: ClassVar[str] = ""
    sizes: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[Mapping[Width, Rate]] = {}
    choices: ClassVar[Mapping[str, Callable[[], tuple[str, ...]]]] = {}
    tables: ClassVar[Mapping[str, Callable[[str], dict[str, Any]]]] = {}

    name: str
    components: tuple[Component, ...] | None = Field(
        None,
        min_length=1,
        description="Components that get the light method; none takes the method's own choice "
        "(all where it is calibrated).",
    )
    elsewhere: Literal["frozen", "fft"] = Field(
        "frozen",
        description="What becomes of the components without the light method once all others have "
        "switched: frozen, or fft (they stay fully fine-tuned, as in the paper's Table 4).",
    )
    embeddings: Literal["freeze", "train"] = Field(
        "freeze",
        description="Word and position embeddings once every group has switched: freeze (needed "
        "for the small trainable share of the paper) or train.",
    )
    reference: bool = Field(
        False,
        description="Keep the original publication's habits where they differ from ours "
        "(what stays trainable beside the light part; see `calisr methods`).",
    )

    def default_components(self, calibrated: bool) -> tuple[Component, ...]:
        """Components that get the light method where the settings name none: all.

        Args:
            calibrated: whether the run is calibrated or switches at a fixed moment.
        """
        return COMPONENTS

    def covered(self, calibrated: bool) -> tuple[Component, ...]:
        """Components that get the light method, in the order of COMPONENTS."""
        named = self.components or self.default_components(calibrated)
        return tuple(component for component in COMPONENTS if component in named)

    @classmethod
    def entries(cls, setting: str, chosen: Mapping[str, Any]) -> tuple[Entry, ...]:
        """What a setting of `tables` may hold, given the method's other settings.

        Args:
            chosen: other settings by name, as they are so far; perhaps wrong ones.
        """
        return ()

    def reading_refused(self, reading: str) -> str:
        """Why samples of this method cannot be taken by a `calibration.reading`; "" if they can."""
        return ""

    @property
    def full_weights_refused(self) -> str:
        """Why the dense matrices of its full phase cannot be set from outside; "" if they can."""
        return ""

    @property
    def tries_out(self) -> bool:
        """Whether a sample steps the light part on a copy, with the dense gradient."""
        return False

    # Trainable numbers in closed formulas ---------------------------------------------------------

    @abstractmethod
    def count_core(self, model: Parts, covered: Sequence[Component]) -> int:
        """What the method itself trains in the light phase: in the covered matrices, or added."""

    def is_counted(self, model: Parts, covered: Sequence[Component]) -> bool:
        """Whether `count_core` answers at once, from a formula or what it was asked before."""
        return True

    def count_added_in_full(self, model: Parts, covered: Sequence[Component]) -> int:
        """What trains in the full phase beyond the dense model (may be negative)."""
        return 0

    def count_fixed(self, model: Parts, covered: Sequence[Component]) -> int:
        """Numbers that it holds beside the model and never trains: copies, random maps."""
        return 0

    def count_beside(self, model: Parts, covered: Sequence[Component]) -> int:
        """What trains beside the core in the light phase: biases, LayerNorm, pooler and head, and
        what `elsewhere` and `embeddings` keep in training.

        Args:
            covered: components whose matrices have a light form.
        """
        trained = model.always
        if self.elsewhere == "fft":
            trained += model.entries(name for name in COMPONENTS if name not in covered)
        return trained + (model.tables if self.trains_embeddings(covered) else 0)

    def count_before_pruning(self, model: Parts, covered: Sequence[Component]) -> int | None:
        """In the place of the core until the method has pruned; None where it prunes nothing."""
        return None

    @property
    def certainty(self) -> Certainty:
        """How well the count of the light phase is known beforehand."""
        return "exact"

    def trains_embeddings(self, covered: Sequence[Component]) -> bool:
        """Whether embedding tables train on once every group has switched."""
        stays = self.elsewhere == "fft" and not set(covered) >= set(SIX)
        return self.embeddings == "train" or stays
