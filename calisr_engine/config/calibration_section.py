"""The settings of [calibration]."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from calisr_engine.calibration.controls import Control, parse_steps
from calisr_engine.models.grouping import (
    GRAMMAR,
    VARIANTS,
    Grouping,
    Variant,
    parse_groups,
    table_as_text,
    write_groups,
)
from calisr_engine.settings import Broken, Section

ReadingName = Literal["step", "since_last_sample", "branches"]

DEFAULT_SAMPLES = 5
"""Samples of a decision window where the settings name no other rule."""


def _groups(text: str) -> str:
    try:
        return write_groups(parse_groups(text))
    except ValueError as error:
        raise Broken(
            f"expected NAME: PATTERN with commas between, but {error}",
            'write it like "early: 0-5.*, late: rest" or as the section [calibration.groups]',
            (),
        ).error() from error


class CalibrationSettings(Section):
    """When a component leaves full fine-tuning (FFT) for the light method (LFT)."""

    variant: Variant = Field(
        "off",
        description="Which matrices share a counter and a switch. "
        + "; ".join(f"{name}: {words}" for name, words in VARIANTS.items())
        + ".",
    )
    groups: Annotated[str, BeforeValidator(table_as_text), AfterValidator(_groups)] | None = Field(
        None,
        json_schema_extra={"expects": "NAME: PATTERN for each group, with commas"},
        description="Groups of your own, for variant own; also as the section "
        f"[calibration.groups]: {GRAMMAR}. Every matrix is in one group.",
    )
    delta: float = Field(
        0.5,
        ge=0.0,
        le=1.0,
        description="Threshold: a group switches when its stable rank score (hits / samples) is "
        "above delta. 0.45 to 0.6 worked best in the paper. With 3 samples every delta from 0.4 "
        "to 0.6 needs 2 hits; with 5 samples all but 0.6 need 3, and 0.6 needs 4.",
    )
    samples_per_epoch: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Samples in each decision window, spread evenly, the last at its end "
        "(the paper uses 3 and 5; 5 if neither this nor every_steps is set).",
    )
    every_steps: int | None = Field(
        None, ge=1, description="Sample every so many optimizer steps instead (Algorithm 1)."
    )
    decide_every_steps: int | None = Field(
        None,
        ge=1,
        description="Length of a decision window in optimizer steps; none is one epoch.",
    )
    score: Literal["sum", "log_sum", "vote"] = Field(
        "sum",
        description="How a group's matrices make one comparison. sum: of stable ranks. log_sum: of "
        "their logarithms, so that matrices of high rank do not outweigh the others. vote: the "
        "share of matrices with a hit, a finer score for small groups.",
    )
    cumulative: bool = Field(
        False,
        description="Keep counting over windows instead of starting anew in each (slower to "
        "change its mind, steadier).",
    )
    keep_samples: bool = Field(
        False,
        description="Store the measured weights of every sample, so that `calisr audit` can "
        "recompute each decision. Large: twice the model for each sample.",
    )
    reading: ReadingName = Field(
        "step",
        description="What a sample compares. step: the light part of one optimizer step alone "
        "against the whole step. since_last_sample: what the light part has become since the last "
        "sample, without the extra part's change, against everything (one copy of the extra). "
        "branches: what the light method alone would have made of the weights since the last "
        "sample, trained beside the run (one more model, and twice the time in full fine-tuning).",
    )
    prepare_first_sample: bool = Field(
        False,
        description="Begin to make what the first sample needs, a certificate for each matrix, in "
        "a thread half-way to it. Weights and decisions stay the same to the bit; the stable ranks "
        "that samples log differ within their bounds, some 1e-10.",
    )
    log_parts: bool = Field(
        False,
        description="Log at each sample also what the light part's and the extra part's step do "
        "to the stable rank, each alone, for `calisr analyze score`. Costs as much again as the "
        "sample itself; for reading step.",
    )
    control: Control = Field(
        "off",
        description="What switches the groups in the score's stead, to compare with. off: the "
        "score itself. matched: each group at the step at which it switched in the run "
        "matched_to. shuffled: those steps, dealt to other groups. coin: each hit is a fair coin "
        "flip. Full fine-tuning (method.name = fft, or schedule.switch_at = 1) and the light "
        "method from the first step (schedule.switch_at = 0) are the other two controls.",
    )
    matched_to: str | None = Field(
        None,
        description="The calibrated run whose switch steps matched and shuffled take: a run "
        "directory or an id in output.dir. In a grid also a row by its label in the report, or "
        '"grid": the run of the grid that differs in nothing but the control.',
    )
    switch_steps: str | None = Field(
        None,
        json_schema_extra={"expects": "GROUP:STEP or GROUP:never for each group, with commas"},
        description="The steps of the run matched_to (query:125, key:never, ...), written when "
        "the run is made, so that nothing depends on that run any more. Given by hand, they stand "
        "in its place.",
    )
    control_seed: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="Seed of the deal and of the coin; none takes training.seed.",
    )
    measure: bool = Field(
        False,
        description="Measure and log stable ranks in a control too, where they decide nothing.",
    )

    def broken_rules(self) -> Iterator[Broken]:
        if self.samples_per_epoch is not None and self.every_steps is not None:
            rules = ("samples_per_epoch", "every_steps")
            yield Broken("set samples_per_epoch or every_steps, not both", "remove one", rules)
        if self.variant != "off":
            yield from self._broken_control()

        if self.log_parts and self.reading != "step" and self.measures:
            yield Broken(
                f"a sample by reading {self.reading} has no two parts of one step to log",
                'set log_parts = false, or reading = "step"',
                ("log_parts", "reading"),
            )

    def _broken_control(self) -> Iterator[Broken]:
        if self.variant == "own" and self.groups is None:
            yield Broken(
                "variant own needs groups",
                'name them in the section [calibration.groups], such as early = "0-5.*" and '
                'late = "rest"',
                ("groups", "variant"),
            )
            return
        if self.follows_steps and not (self.matched_to or "").strip() and not self.switch_steps:
            yield Broken(
                f"a {self.control} control needs a run to take its switch steps from",
                "set calibration.matched_to to a calibrated run",
                ("matched_to", "control"),
            )
        if self.control == "shuffled" and self.has_one_group:
            yield Broken(
                f"CaliSr-{self.variant} has one group, so there is no other to deal its step to",
                "use a variant of several, or control = matched",
                ("control", "variant"),
            )
        try:
            parse_steps(self.switch_steps or "none:never")
        except ValueError as error:
            yield Broken(
                f"expected GROUP:STEP with commas between, but {error}",
                'write it like "query:125, key:never"',
                ("switch_steps",),
            )

    @property
    def grouping(self) -> Grouping:
        """Which matrices share a counter and a switch."""
        return Grouping(self.variant, self.groups)

    @property
    def has_one_group(self) -> bool:
        """Whether there is one group alone, whatever the model."""
        return len(self.grouping.names or ("layer0", "layer1")) == 1

    @property
    def follows_steps(self) -> bool:
        """Whether the groups switch at given steps (matched or shuffled)."""
        return self.control in ("matched", "shuffled")

    @property
    def measures(self) -> bool:
        """Whether stable ranks are measured."""
        return self.variant != "off" and (self.control == "off" or self.measure)

    @property
    def decides(self) -> bool:
        """Whether windows end in decisions: by the score, or by the coin in its stead."""
        return self.variant != "off" and not self.follows_steps

    @property
    def samples(self) -> int | None:
        """Samples in each window, or None where `every_steps` rules."""
        if self.every_steps is not None:
            return None
        return self.samples_per_epoch or DEFAULT_SAMPLES
