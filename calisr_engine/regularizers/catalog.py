"""Which regularisers there are, found by their folders, and the section of settings they share.

No torch. A new folder is all that a new regulariser needs.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, create_model

from calisr_engine import regularizers
from calisr_engine.methods.catalog import only_class
from calisr_engine.methods.settings import MethodBase
from calisr_engine.regularizers.settings import RegularizerBase
from calisr_engine.settings import Broken, Section
from calisr_engine.task_kinds import KindName

OFF = "off"
"""What the section says where nothing regularises."""


def find_regularizers() -> dict[str, type[RegularizerBase]]:
    """The settings of each regulariser by its name, in the order of lists and forms.

    Raises:
        TypeError: a folder does not hold what it should.
    """
    found: dict[str, type[RegularizerBase]] = {}
    for name in [each.name for each in pkgutil.iter_modules(regularizers.__path__) if each.ispkg]:
        module = importlib.import_module(f"{regularizers.__name__}.{name}.settings")
        settings = only_class(module, RegularizerBase)
        odd = [key for key in settings.model_fields if not key.startswith(f"{name}_")]
        if odd:
            raise TypeError(f"{name}: settings begin with the name of their folder, not {odd}")
        found[name] = settings
    return dict(sorted(found.items(), key=lambda item: (item[1].order, item[0])))


REGULARIZERS = find_regularizers()
"""The settings of each regulariser, by the name that `regularizer.name` takes."""


def label(name: str) -> str:
    """A regulariser's short name in tables; a name that is not known here stays."""
    return REGULARIZERS[name].label if name in REGULARIZERS else name


class RegularizerSection(Section):
    """A regulariser of the full phase, beside any method."""

    name: str = OFF

    @property
    def chosen(self) -> RegularizerBase | None:
        """The settings of the one that is named; None where none is."""
        if self.name == OFF:
            return None
        model = REGULARIZERS[self.name]
        return model.model_construct(**{key: getattr(self, key) for key in model.model_fields})

    def broken_rules(self) -> Iterator[Broken]:
        if self.chosen is not None:
            yield from self.chosen.broken_rules()

    def broken_beside(
        self,
        method: MethodBase,
        full_phase: bool,
        measured: bool,
        precision: str,
        compiled: bool,
        kind: KindName | None,
    ) -> Iterator[Broken]:
        """The rules of a run over the regulariser and the rest, with dotted keys.

        Args:
            full_phase, measured: as in `RegularizerBase.refused`.
            precision, compiled: training.precision and training.compile.
            kind: of the data, as given or guessed; None while nobody has said it.
        """
        chosen = self.chosen
        if chosen is None:
            return
        refused = chosen.refused(method, full_phase, measured)
        if refused:
            yield Broken(
                f"regularizer {self.name} has no meaning here: {refused}",
                'or set regularizer.name = "off"',
                ("regularizer.name", "method.name"),
            )
        if chosen.needs_fp32 and precision == "bf16":
            yield Broken(
                f"what {chosen.title} changes is lost in the rounding of bf16",
                'set training.precision = "fp32" or "auto"',
                ("training.precision", "regularizer.name"),
            )
        if chosen.acts_within_pass and compiled:
            yield Broken(
                f"{chosen.title} acts within the forward pass, which is not compiled beside it",
                "set training.compile = false",
                ("training.compile", "regularizer.name"),
            )
        if chosen.needs_one_answer and kind in ("multi_label", "token"):
            yield Broken(
                f"{chosen.title} compares the one answer of each text, and task.kind is {kind}",
                "take another regulariser",
                ("regularizer.name", "task.kind"),
            )


def owner(key: str) -> str:
    """The regulariser that a setting of the section belongs to; "" for the name itself."""
    return next((name for name, model in REGULARIZERS.items() if key in model.model_fields), "")


def _section() -> type[RegularizerSection]:
    """One section with the settings of all: a file, `--set` and a grid can name any of them."""
    said = " ".join(f"{name}: {each.summary}" for name, each in REGULARIZERS.items())
    names = (OFF, *REGULARIZERS)
    fields: dict[str, Any] = {
        "name": (
            Literal[names],
            Field(OFF, description=f"What regularises full fine-tuning. {said}"),
        )
    }
    for model in REGULARIZERS.values():
        fields |= {key: (each.annotation, each) for key, each in model.model_fields.items()}
    words = RegularizerSection.__doc__
    return create_model("RegularizerSettings", __base__=RegularizerSection, __doc__=words, **fields)


if TYPE_CHECKING:
    RegularizerSettings = RegularizerSection
else:
    RegularizerSettings = _section()
