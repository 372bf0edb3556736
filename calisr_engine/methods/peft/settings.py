"""Any tuner of peft: settings, words and counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from calisr_engine.methods.counts import CountRefusedError
from calisr_engine.methods.peft import options as own
from calisr_engine.methods.peft import tuners
from calisr_engine.methods.settings import Entry, MethodBase, Rate, Width
from calisr_engine.models.component_names import Component
from calisr_engine.models.parts import Parts
from calisr_engine.settings import Broken

NOT_SEARCHED = "as for LoRA; not searched for this tuner"
READS_DATA = ("eva", "corda", "lora_ga")
"""Starts of LoRA in peft that need passes over the data beforehand."""


Asked = tuple[str, tuple[tuple[str, Any], ...], tuple[tuple[str, tuple[int, int]], ...], int]

_COUNTED: dict[Asked, int | str] = {}
"""What peft answered before, or why it gives no count: to ask again takes torch and a moment."""


def _tuner(name: str) -> str:
    name = name.lower()
    if name not in tuners.names():
        raise own.unknown_tuner(name).error()
    return name


def _as_text(value: Any) -> Any:
    """The section [method.options] in one line, as `--set` takes it."""
    if isinstance(value, Mapping):
        return own.write(value) or None
    return None if value == "" else value


def _options(text: str) -> str:
    try:
        return own.write(own.parse(text))
    except ValueError as error:
        raise Broken(
            f"expected OPTION=VALUE with commas between, but {error}",
            'write it like "r=8, use_dora=true", or as the section [method.options]',
            (),
        ).error() from error


class Peft(MethodBase):
    order: ClassVar[int] = 1
    title: ClassVar[str] = "a tuner of peft"
    label: ClassVar[str] = "PEFT"
    summary: ClassVar[str] = (
        "Trains what a tuner of peft adds to each frozen matrix (DoRA, LoHa ...)."
    )
    sizes: ClassVar[tuple[str, ...]] = ("options",)
    rounding_refused: ClassVar[str] = "some of its tuners calculate with the frozen matrix"
    rates: ClassVar[Mapping[Width, Rate]] = {
        "tiny": Rate(1e-3, NOT_SEARCHED, 5e-3, beside_full=1e-3),
        "small": Rate(5e-4, NOT_SEARCHED, 5e-4),
        "base": Rate(4e-4, NOT_SEARCHED, 4e-4, beside_full=1e-4),
        "large": Rate(3e-4, NOT_SEARCHED, 3e-4, beside_full=5e-5),
    }

    choices: ClassVar[Mapping[str, Callable[[], tuple[str, ...]]]] = {"tuner": tuners.names}
    tables: ClassVar[Mapping[str, Callable[[str], dict[str, Any]]]] = {"options": own.parse}

    name: Literal["peft"] = "peft"
    tuner: Annotated[str, AfterValidator(_tuner)] = Field(
        "lora",
        description="The tuner, by peft's own name. DoRA, rsLoRA, PiSSA and OLoRA are options of "
        "lora (use_dora=true, use_rslora=true, init_lora_weights=pissa).",
    )
    options: Annotated[
        Annotated[str, AfterValidator(_options)] | None, BeforeValidator(_as_text)
    ] = Field(
        None,
        json_schema_extra={"expects": "OPTION=VALUE with commas between"},
        description="Fields of the tuner's config in peft, such as r=8, use_dora=true; also as the "
        "section [method.options]. What is not named is as in peft; `calisr methods peft` lists "
        "them.",
    )

    @property
    def given(self) -> dict[str, Any]:
        """The options by name."""
        return own.parse(self.options or "")

    def broken_rules(self) -> Iterator[Broken]:
        yield from super().broken_rules()
        yield from own.wrong(self.tuner, self.given)
        late = [f"{k}={v}" for k, v in self.given.items() if v in READS_DATA]
        if late and self.tuner in ("lora", "adalora"):
            yield Broken(
                f"the start {late[0]} is made from passes over the data, which are not done here",
                "take another start, such as pissa or olora",
                ("options",),
            )

    @classmethod
    def entries(cls, setting: str, chosen: Mapping[str, Any]) -> tuple[Entry, ...]:
        tuner = str(chosen.get("tuner", "")).lower()
        if setting != "options" or tuner not in tuners.names():
            return ()
        return tuple(
            own.entry(option) for option in tuners.options(tuner).values() if option.can_be_written
        )

    def default_components(self, calibrated: bool) -> tuple[Component, ...]:
        """Query and value for the plain baseline (as peft does for BERT), all where calibrated."""
        return super().default_components(calibrated) if calibrated else ("query", "value")

    def count_core(self, model: Parts, covered: Sequence[Component]) -> int:
        """What peft's layers around matrices of these shapes train.

        Raises:
            CountRefusedError: peft refuses that; the message says why.
        """
        asked = self._asked(model, covered)
        if asked not in _COUNTED:
            from calisr_engine.methods.peft.counting import trained

            try:
                _COUNTED[asked] = trained(*asked)
            except ValueError as error:
                _COUNTED[asked] = str(error)
        found = _COUNTED[asked]
        if isinstance(found, str):
            raise CountRefusedError(found)
        return found

    def is_counted(self, model: Parts, covered: Sequence[Component]) -> bool:
        return self._asked(model, covered) in _COUNTED

    def _asked(self, model: Parts, covered: Sequence[Component]) -> Asked:
        shapes = tuple((name, model.shapes[name]) for name in covered)
        return self.tuner, own.as_pairs(self.given), shapes, model.layers

    def count_beside(self, model: Parts, covered: Sequence[Component]) -> int:
        return model.head if self.reference else super().count_beside(model, covered)

    def count_added_in_full(self, model: Parts, covered: Sequence[Component]) -> int:
        return self.count_core(model, covered)
