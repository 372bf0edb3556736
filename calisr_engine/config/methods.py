"""Settings of each fine-tuning method: published defaults, with the source of each.

The names here are what `[method]` of a config file takes; the code of a method is in
`calisr_engine.methods`. This module is light, so that forms and `--help` need no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from calisr_engine.settings import Broken, Section

ComponentName = Literal["query", "key", "value", "attention_output", "intermediate", "output"]


class MethodBase(Section):
    """What all methods share.

    Class attributes:
        title: the method's name in prose.
        summary: one sentence for lists and forms.
        calibration_refused: why calibration is refused ("" where it is offered).
    """

    title: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    calibration_refused: ClassVar[str] = ""

    components: tuple[ComponentName, ...] | None = Field(
        None,
        min_length=1,
        description="Components that get the light method; none takes the method's own choice "
        "(all six where it is calibrated).",
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

    def default_components(self, calibrated: bool) -> tuple[ComponentName, ...]:
        """Components that get the light method where the settings name none: all six.

        Args:
            calibrated: whether the run is calibrated or switches at a fixed moment.
        """
        return get_args(ComponentName)


class FullFineTuning(MethodBase):
    name: Literal["fft"] = "fft"
    title: ClassVar[str] = "Full fine-tuning"
    summary: ClassVar[str] = "Trains every weight; the baseline of all comparisons."
    calibration_refused: ClassVar[str] = "full fine-tuning has no light phase to switch to"


class Lora(MethodBase):
    name: Literal["lora"] = "lora"
    title: ClassVar[str] = "LoRA"
    summary: ClassVar[str] = "Trains a low-rank update B A beside each frozen matrix."

    rank: int = Field(8, ge=1, le=1024, description="Rank r of the update (Hu et al., 2021: 8).")
    alpha: float = Field(16.0, gt=0, description="Scale of the update is alpha / r.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the input of the update.")
    parametrisation: Literal["joint", "shadow"] = Field(
        "joint",
        description="joint: base and factors train together before the switch. shadow: plain FFT "
        "before the switch, measured with a fresh pair stepped once on a copy.",
    )

    def default_components(self, calibrated: bool) -> tuple[ComponentName, ...]:
        """Query and value for the plain baseline (as published), all six where calibrated."""
        return super().default_components(calibrated) if calibrated else ("query", "value")


class Mpop(MethodBase):
    name: Literal["mpop"] = "mpop"
    title: ClassVar[str] = "MPOP"
    summary: ClassVar[str] = (
        "Splits each matrix into five tensors (MPO) and trains the four small ones."
    )

    embeddings: Literal["freeze", "train", "mpo"] = Field(  # type: ignore[assignment]
        "freeze",
        description="Word and position embeddings once every group has switched: freeze, train, or "
        "mpo (the word embeddings are five tensors too and keep training the four small ones; "
        "costs the contraction of the whole table at every step).",
    )
    bond: int | None = Field(
        None, ge=1, description="Cap on the bond dimension; none is exact (Liu et al., 2021)."
    )
    mpo_lr: float | None = Field(
        None,
        gt=0,
        description="Learning rate of the five tensors; none takes 0.14 times the run's "
        "(reference runs used 2.8e-6 beside 2e-5).",
    )
    parametrisation: Literal["throughout", "at_switch"] = Field(
        "throughout",
        description="throughout: decompose at step 0 and train all five tensors in FFT. "
        "at_switch: dense FFT, decomposed when the group switches.",
    )
    squeeze_gap: float | None = Field(
        None,
        ge=0,
        description="Dimension squeezing (Liu et al., 2021): at each evaluation of the light phase "
        "the bond whose truncation costs least shrinks, until the metric has fallen by more than "
        "this; none leaves it out. Needs parametrisation throughout.",
    )
    squeeze_share: float = Field(
        0.1, gt=0, lt=1, description="Share of its dimension that a squeezed bond loses."
    )
    squeeze_bonds: int = Field(1, ge=1, description="Bonds that shrink at one evaluation.")

    def broken_rules(self) -> Iterator[Broken]:
        if self.squeeze_gap is not None and self.parametrisation != "throughout":
            yield Broken(
                "squeeze_gap needs the tensors from the first step",
                'set parametrisation = "throughout" or remove squeeze_gap',
                ("squeeze_gap", "parametrisation"),
            )


class ChildTuningD(MethodBase):
    name: Literal["child_tuning_d"] = "child_tuning_d"
    title: ClassVar[str] = "ChildTuning-D"
    summary: ClassVar[str] = (
        "Trains the share of each matrix with the largest Fisher information on the task."
    )

    p: float = Field(
        0.3, gt=0, lt=1, description="Share of weights that is trained (Xu et al., 2021: 0.3)."
    )
    fisher_examples: int | None = Field(
        None, ge=1, description="Examples that the Fisher pass reads; none reads all."
    )
    refresh_at_switch: bool = Field(
        False, description="Compute the mask anew, from the weights at the switch of a group."
    )


class ChildTuningF(MethodBase):
    name: Literal["child_tuning_f"] = "child_tuning_f"
    title: ClassVar[str] = "ChildTuning-F"
    summary: ClassVar[str] = "Trains a random share of each matrix, drawn anew at every step."

    p: float = Field(
        0.3, gt=0, lt=1, description="Share of weights that each step trains (Xu et al., 2021)."
    )


class MaskBert(MethodBase):
    name: Literal["mask_bert"] = "mask_bert"
    title: ClassVar[str] = "MaskBERT"
    summary: ClassVar[str] = "Learns which weights to set to zero and leaves the rest as they are."

    threshold: float = Field(
        1e-2, description="A weight is kept where its score is above this (Zhao et al., 2020)."
    )
    sparsity: float = Field(
        0.05, gt=0, lt=1, description="Share of weights masked at the start (Zhao et al., 2020)."
    )
    score_range: float = Field(2e-2, gt=0, description="Half-width s of the initial scores.")
    mask_lr: float | None = Field(
        None, gt=0, description="Learning rate of the scores; none takes the run's."
    )


class BitFit(MethodBase):
    name: Literal["bitfit"] = "bitfit"
    title: ClassVar[str] = "BitFit"
    summary: ClassVar[str] = "Trains the biases and the head only."


class Adapter(MethodBase):
    name: Literal["adapter"] = "adapter"
    title: ClassVar[str] = "Adapters (Houlsby)"
    summary: ClassVar[str] = "Adds two small bottleneck layers to each encoder layer."
    calibration_refused: ClassVar[str] = (
        "adapters change the architecture, so there is no stable rank of the same matrix to compare"
    )
    places: ClassVar[tuple[ComponentName, ...]] = ("attention_output", "output")
    """Components whose output gets a bottleneck."""

    bottleneck: int = Field(
        64, ge=1, description="Width of the bottleneck (Houlsby et al., 2019: 64)."
    )

    def default_components(self, calibrated: bool) -> tuple[ComponentName, ...]:
        return self.places


class Prefix(MethodBase):
    name: Literal["prefix"] = "prefix"
    title: ClassVar[str] = "Prefix-tuning"
    summary: ClassVar[str] = "Adds trained key and value positions to every attention layer."
    calibration_refused: ClassVar[str] = (
        "prefixes change the architecture, so there is no stable rank of the same matrix to compare"
    )
    pair: ClassVar[tuple[ComponentName, ...]] = ("key", "value")
    """Components that a prefix lengthens; they come together."""

    length: int = Field(20, ge=1, le=512, description="Number of prefix positions.")

    def default_components(self, calibrated: bool) -> tuple[ComponentName, ...]:
        return self.pair


class DiffPruning(MethodBase):
    name: Literal["diff_pruning"] = "diff_pruning"
    title: ClassVar[str] = "Diff pruning"
    summary: ClassVar[str] = "Learns a sparse difference to the pretrained weights."
    calibration_refused: ClassVar[str] = (
        "diff pruning trains a gated difference of every weight from the start, so it has no full "
        "phase of the same matrices"
    )

    target_share: float = Field(
        0.005, gt=0, lt=1, description="Share of changed weights kept (Guo et al., 2021: 0.5 %)."
    )
    structured: bool = Field(True, description="Also learn one gate for each matrix.")
    sparsity_penalty: float = Field(
        1.25e-7, ge=0, description="Weight of the expected-L0 penalty (Guo et al., 2021)."
    )
    alpha_init: float = Field(5.0, description="Start of the gates' log-odds.")
    gate_lr: float = Field(
        0.1,
        gt=0,
        description="Learning rate of the gates' log-odds (0.1 in the authors' code). They start "
        "at 5 and close below 0; the penalty's gradient is so small beside Adam's epsilon that "
        "this takes about a thousand steps, so in short runs magnitude alone decides.",
    )
    fixed_mask_share: float = Field(
        0.3, ge=0, lt=1, description="Share of steps, at the end, that tunes the pruned mask."
    )


MethodSettings = Annotated[
    FullFineTuning
    | Lora
    | Mpop
    | ChildTuningD
    | ChildTuningF
    | MaskBert
    | BitFit
    | Adapter
    | Prefix
    | DiffPruning,
    Field(discriminator="name"),
]

ALL_SETTINGS: tuple[type[MethodBase], ...] = (
    FullFineTuning,
    Lora,
    Mpop,
    ChildTuningD,
    ChildTuningF,
    MaskBert,
    BitFit,
    Adapter,
    Prefix,
    DiffPruning,
)
