"""The settings of [training]."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from calisr_engine.settings import Broken, Section


def _of_one_element(optimizer: Any) -> Any:
    name = str(optimizer)
    if name.lower() in {"adafactor", "lamb", "muon", "shampoo", "lars"}:
        raise Broken(
            f"optimizer {name} couples the elements of a matrix, so stepping the light part alone "
            "would not be the same step",
            "use adamw or sgd",
            (),
        ).error()
    return optimizer


class TrainingSettings(Section):
    """How the weights are trained."""

    def broken_rules(self) -> Iterator[Broken]:
        if self.compile and self.activation_checkpointing:
            yield Broken(
                "a compiled pass chooses itself what it keeps and what it computes again",
                "set compile or activation_checkpointing to false",
                ("compile", "activation_checkpointing"),
            )
        if self.frozen_weights == "bf16" and self.precision == "fp32":
            yield Broken(
                "a forward pass in fp32 would read rounded weights",
                'set precision = "bf16" or frozen_weights = "fp32"',
                ("frozen_weights", "precision"),
            )

    seed: int = Field(42, ge=0, le=2**31 - 1, description="Seed of everything random in the run.")
    epochs: int = Field(3, ge=1, le=1000, description="Passes over the training data.")
    max_steps: int | None = Field(
        None,
        ge=1,
        le=10**9,
        description="Train for this many optimizer steps, whatever the epochs say.",
    )
    batch_size: int = Field(32, ge=1, description="Examples in one forward pass.")
    accumulate: int = Field(
        1, ge=1, description="Forward passes in one optimizer step (gradient accumulation)."
    )
    eval_batch_size: int = Field(64, ge=1, description="Examples in one evaluation pass.")
    learning_rate: float = Field(
        2e-5, gt=0, description="Peak learning rate of AdamW. Named by nobody, it is fitted."
    )
    lft_learning_rate: float | None = Field(
        None,
        gt=0,
        description="Peak learning rate of the parameters that the method adds; none takes the "
        "method's own or learning_rate.",
    )
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="How the learning rate falls after warm-up."
    )
    warmup_ratio: float = Field(
        0.06, ge=0, lt=1, description="Share of all steps spent warming up."
    )
    weight_decay: float = Field(
        0.01, ge=0, description="Decoupled weight decay; biases and LayerNorm have none."
    )
    adam_beta1: float = Field(0.9, ge=0, lt=1, description="AdamW's first moment decay.")
    adam_beta2: float = Field(0.999, ge=0, lt=1, description="AdamW's second moment decay.")
    adam_epsilon: float = Field(1e-8, gt=0, description="AdamW's epsilon.")
    max_grad_norm: float = Field(
        1.0, ge=0, description="Global gradient clipping norm; 0 turns it off."
    )
    optimizer: Annotated[Literal["adamw", "sgd"], BeforeValidator(_of_one_element)] = Field(
        "adamw",
        description="adamw, or sgd with momentum 0.9. Both work on each element alone, which "
        "calibration needs.",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:[0-9]{1,3})?)$",
        json_schema_extra={"expects": "auto, cpu, mps, cuda or cuda:N"},
        description="auto takes CUDA, then MPS, then the CPU; or name one: cuda, cuda:1, mps, cpu.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="auto: bf16 autocast on GPUs that have it, else fp32. Weights and stable ranks "
        "are always kept in fp32 and fp64.",
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="CPU threads of torch; none takes the cores that are free (`calisr doctor`).",
    )
    activation_checkpointing: bool = Field(
        False,
        description="Keep one tensor a layer of the forward pass and compute the rest again on the "
        "way back: less memory for one more forward pass a step, and the same bits.",
    )
    frozen_weights: Literal["fp32", "bf16"] = Field(
        "fp32",
        description="How matrices are kept that train no more. bf16: in half the memory, with the "
        "same training to the bit, as a forward pass in bf16 rounds them anyway; results hold them "
        "rounded.",
    )
    overlap_gradients: bool = Field(
        False,
        description="With several processes: add gradients over them while the backward pass still "
        "works on others. The same bits with two processes; with more, sums may round otherwise.",
    )
    last_layer: Literal["full", "first_token"] = Field(
        "full",
        description="Compute the last layer for all tokens, or (first_token) its queries and its "
        "feed-forward layer for the first one only, where the head reads nothing else: less work, "
        "the same function and gradients but for rounding. With dropout other numbers are drawn.",
    )
    packing: bool = Field(
        False,
        description="Put the texts of a training batch one behind the other for the layers, so "
        "that no padding is computed outside attention; no text sees another. The same function "
        "and gradients but for rounding. With dropout other numbers are drawn.",
    )
    compile: bool = Field(
        False,
        description="Let torch compile the training pass: a graph for each width of batches, of "
        "which there are few then (so that more is padded), and anew after each switch. Takes "
        "minutes before it can pay; meant for GPUs. With dropout other numbers are drawn.",
    )
    eval_every_steps: int | None = Field(
        None, ge=1, description="Evaluate every so many steps; none: at epoch ends."
    )
    early_stopping: int | None = Field(
        None, ge=1, description="Stop after this many evaluations without a better metric."
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, description="Dropout of the encoder; none keeps the model's own."
    )
    regression_start: Literal["mean", "zero"] = Field(
        "mean",
        description="Where the output's bias starts in regression. mean: at the mean training "
        "label, so that no step is spent on moving there (a light method can be lost on the way). "
        "zero: as transformers has it.",
    )
