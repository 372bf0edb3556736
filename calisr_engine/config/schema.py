"""The settings of one run, with the help text that the CLI and the setup screen show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from calisr_engine.calibration.controls import Control, parse_steps
from calisr_engine.methods.catalog import MethodSettings
from calisr_engine.methods.fft.settings import FullFineTuning
from calisr_engine.models.component_names import SIX
from calisr_engine.models.grouping import (
    GRAMMAR,
    VARIANTS,
    Grouping,
    Variant,
    parse_groups,
    table_as_text,
    write_groups,
)
from calisr_engine.models.settings import ModelSettings
from calisr_engine.regularizers.catalog import RegularizerSettings
from calisr_engine.settings import AnyPath, Broken, Section, Words
from calisr_engine.tasks.settings import TaskSettings

ReadingName = Literal["step", "since_last_sample", "branches"]

Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]


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


class ScheduleSettings(Section):
    """A switch at a fixed moment instead of a measured one (the paper's Tables 4 and 5)."""

    switch_at: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of all steps spent in FFT before everything switches: 0 is the plain "
        "light method, 1 never switches. Needs calibration off.",
    )


class DiagnosticsSettings(Section):
    """What else a run measures of itself. It changes nothing in what is trained."""

    generalisation: bool = Field(
        False,
        description="Log at each evaluation the loss on some training examples, the gap to the "
        "validation loss, the total stable rank and the spectral norms of the target matrices. "
        "One exact eigenvalue a matrix: seconds for BERT-base on a GPU, half a minute on a CPU.",
    )
    train_examples: int = Field(
        1000,
        ge=1,
        description="How many training examples that loss is taken over, the same in every run.",
    )


class OutputSettings(Section):
    """What a run leaves behind."""

    dir: AnyPath = Field(Path("runs"), description="Folder in which run directories are made.")
    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}$",
        json_schema_extra={
            "expects": "a name of at most 121 letters, digits, dots, dashes and underscores"
        },
        description="Name of the run directory; none: made from the settings and the time.",
    )
    checkpoint_every_steps: int | None = Field(
        None, ge=1, description="Checkpoint every so many steps; none: at the end of each epoch."
    )
    keep_checkpoints: int = Field(2, ge=1, description="Newest checkpoints that are kept.")
    export: bool = Field(True, description="Export the best model to model/ when the run ends.")
    progress_every_seconds: float = Field(
        0.5, ge=0, description="Least time between two progress events in the log."
    )
    predictions: bool = Field(
        True, description="Write the predictions of the best model to predictions/."
    )
    prediction_texts: bool = Field(
        False, description="Put the texts beside the predictions in those files."
    )
    trackers: tuple[Tracker, ...] = Field(
        (),
        description="Also send the figures to these trackers, which must be installed: "
        "tensorboard, wandb, mlflow, trackio.",
    )
    tracker_project: Words = Field(
        "calisr",
        description="Project (W&B, trackio) or experiment (MLflow) that the runs are put in.",
    )


class RunConfig(Section):
    """All settings of one run."""

    model: ModelSettings = Field(default_factory=ModelSettings)
    task: TaskSettings = Field(default_factory=TaskSettings)
    method: MethodSettings = Field(default_factory=FullFineTuning)
    calibration: CalibrationSettings = Field(default_factory=CalibrationSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    regularizer: RegularizerSettings = Field(default_factory=RegularizerSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    diagnostics: DiagnosticsSettings = Field(default_factory=DiagnosticsSettings)
    output: OutputSettings = Field(default_factory=OutputSettings)
    notes: str = Field("", description="Free text kept with the run.")

    @property
    def is_calibrated(self) -> bool:
        """Whether there is a full phase before the light one, by measure or at a fixed moment."""
        return self.calibration.variant != "off" or self.schedule.switch_at is not None

    @property
    def has_full_phase(self) -> bool:
        """Whether any component is fully fine-tuned, in the whole run or before a switch."""
        method, switch_at = self.method, self.schedule.switch_at
        if not method.has_light_phase or self.calibration.variant != "off":
            return True
        if switch_at is not None and switch_at > 0:
            return True
        covered = () if method.changes_architecture else method.covered(self.is_calibrated)
        return method.elsewhere == "fft" and not set(covered) >= set(SIX)

    @property
    def control_seed(self) -> int:
        """Seed of a shuffled control's deal and of a coin's flips."""
        own = self.calibration.control_seed
        return self.training.seed if own is None else own

    def broken_rules(self) -> Iterator[Broken]:
        method, switch_at = self.method, self.schedule.switch_at
        calibrated = self.calibration.variant != "off"
        if calibrated and method.calibration_refused:
            yield Broken(
                f"{method.name} cannot be calibrated: {method.calibration_refused}",
                'set calibration.variant = "off"',
                ("calibration.variant", "method.name"),
            )
        reading = self.calibration.reading
        refused = method.reading_refused(reading) if self.calibration.measures else ""
        if refused:
            yield Broken(
                f"{method.name} cannot be read as {reading}: {refused}",
                'set calibration.reading = "step"',
                ("calibration.reading", "method.name"),
            )
        if calibrated and switch_at is not None:
            yield Broken(
                "a fixed switch and calibration exclude each other",
                'set calibration.variant = "off" or remove switch_at',
                ("schedule.switch_at", "calibration.variant"),
            )
        if self.training.compile and reading == "branches" and self.calibration.measures:
            yield Broken(
                "a branch is trained uncompiled, so its rounding would differ from the run's",
                "set training.compile = false, or another reading",
                ("training.compile", "calibration.reading"),
            )
        if switch_at not in (None, 0.0) and method.calibration_refused:
            yield Broken(
                f"{method.name} has no full phase to switch from: {method.calibration_refused}",
                "remove switch_at",
                ("schedule.switch_at", "method.name"),
            )
        if calibrated:
            yield from self._broken_groups()
        yield from self.regularizer.broken_beside(
            method,
            self.has_full_phase,
            self.calibration.measures,
            self.training.precision,
            self.training.compile,
            (self.task.is_own and self.task.kind) or "classification",
        )

    def _broken_groups(self) -> Iterator[Broken]:
        """What is wrong with groups, and with steps for them, whatever the model."""
        calibration, grouping = self.calibration, self.calibration.grouping
        covered = self.method.covered(calibrated=True)
        if calibration.variant == "own":
            wrong = grouping.odd_in_any_model(covered) if calibration.groups else None
            if wrong is not None:
                yield Broken(*wrong, ("calibration.groups",))
            if wrong is not None or not calibration.groups:
                return
        if not calibration.follows_steps or calibration.switch_steps is None:
            return
        try:
            groups = list(parse_steps(calibration.switch_steps))
        except ValueError:
            return  # which is told
        lacking = grouping.lacking(groups, covered)
        odd = [group for group in groups if not grouping.could_be(group)]
        if lacking or odd:
            yield Broken(
                f"the groups of variant {calibration.variant} are {grouping.shown(covered)}, but "
                f"the steps {'name' if odd else 'lack'} {', '.join(odd or lacking)}",
                "give each group its step, or never",
                ("calibration.switch_steps", "calibration.variant"),
            )

    def all_broken_rules(self) -> list[Broken]:
        """The broken rules of every section and of the run, with dotted keys."""
        own = [
            replace(each, keys=tuple(f"{name}.{key}" for key in each.keys))
            for name, section in self
            if isinstance(section, Section)
            for each in section.broken_rules()
        ]
        return [*own, *self.broken_rules()]
