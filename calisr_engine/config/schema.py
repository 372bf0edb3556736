"""The settings of one run, with the help text that the CLI and the setup screen show.

Every model is frozen and refuses unknown keys. A method's own settings live in `methods.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from calisr_engine.config.methods import FullFineTuning, MethodSettings

Component = Literal["query", "key", "value", "attention_output", "intermediate", "output"]
COMPONENTS: tuple[Component, ...] = (
    "query",
    "key",
    "value",
    "attention_output",
    "intermediate",
    "output",
)

Variant = Literal["off", "D", "S", "S3"]

Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]


class Section(BaseModel):
    """Base of all config sections: frozen, unknown keys refused, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ModelSettings(Section):
    """Which encoder is fine-tuned."""

    name: str = Field(
        "demo-bert",
        min_length=1,
        description="A name of the catalogue (`calisr models`), a hub name, or a local folder with "
        "config.json, weights in safetensors and a tokenizer.",
    )
    revision: str | None = Field(
        None, description="Branch, tag or commit of a hub model; none takes its main branch."
    )
    head: Literal["fresh", "by_name"] = Field(
        "fresh",
        description="The classification head at the start. fresh: drawn from the seed, whatever "
        "the checkpoint was fine-tuned for. by_name: the checkpoint's own, its classes matched by "
        "name (for a regression, the one number as it is).",
    )
    random_weights: bool = Field(
        False,
        description="Start from random instead of pretrained weights (for timing and tests; "
        "scores mean nothing).",
    )


class TaskSettings(Section):
    """What the encoder is fine-tuned on: a GLUE task, the demo task, or your own files."""

    name: str = Field(
        "demo",
        min_length=1,
        description="`demo`, a GLUE task (`calisr tasks`), or a name of your choice for own files.",
    )
    data_dir: Path | None = Field(
        None,
        description="Folder with the official GLUE files, one folder a task "
        "(such as SST-2/train.tsv). Without it the hub is asked.",
    )
    train_file: Path | None = Field(
        None, description="Own training data: a CSV, TSV, JSONL or Parquet file."
    )
    validation_file: Path | None = Field(
        None, description="Own validation data, in the same columns as the training data."
    )
    test_file: Path | None = Field(None, description="Own unlabelled data to predict (optional).")
    text_column: str | None = Field(None, description="Column with the text (own files).")
    text_pair_column: str | None = Field(
        None, description="Column with the second text, for pairs of sentences (own files)."
    )
    label_column: str | None = Field(None, description="Column with the label (own files).")
    kind: Literal["classification", "regression"] | None = Field(
        None, description="What the labels of own files are: class names or numbers."
    )
    metric: str | None = Field(
        None,
        description="Metric that picks the best model: accuracy, f1, macro_f1, matthews, pearson, "
        "spearman. None takes the task's own.",
    )
    max_length: int = Field(128, ge=8, le=8192, description="Longest input in tokens; cut beyond.")
    max_train_examples: int | None = Field(
        None, ge=1, description="Train on this many examples only (a fixed random choice)."
    )
    max_validation_examples: int | None = Field(
        None, ge=1, description="Evaluate on this many examples only (a fixed random choice)."
    )

    @model_validator(mode="after")
    def _own_files_need_columns(self) -> TaskSettings:
        own = [self.train_file, self.validation_file]
        if any(own) and not all(own):
            missing = "train_file" if self.train_file is None else "validation_file"
            raise ValueError(f"own data needs both train_file and validation_file; add {missing}")
        if all(own):
            for key in ("text_column", "label_column", "kind"):
                if getattr(self, key) is None:
                    raise ValueError(f"own data needs {key}; add it to [task]")
        return self


class CalibrationSettings(Section):
    """When a component leaves full fine-tuning (FFT) for the light method (LFT)."""

    variant: Variant = Field(
        "S",
        description="off: no calibration. D: one counter and one switch for the whole model. "
        "S: one for each of the six components. S3: three groups, the two feed-forward matrices "
        "and attention.",
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

    @model_validator(mode="after")
    def _one_sampling_rule(self) -> CalibrationSettings:
        if self.samples_per_epoch is not None and self.every_steps is not None:
            raise ValueError("set samples_per_epoch or every_steps, not both; remove one")
        return self

    @property
    def samples(self) -> int | None:
        """Samples in each window, or None where `every_steps` rules."""
        if self.every_steps is not None:
            return None
        return self.samples_per_epoch or 5


class TrainingSettings(Section):
    """How the weights are trained."""

    seed: int = Field(42, ge=0, le=2**31 - 1, description="Seed of everything random in the run.")
    epochs: int = Field(3, ge=1, le=1000, description="Passes over the training data.")
    max_steps: int | None = Field(
        None, ge=1, description="Stop after this many optimizer steps, whatever the epochs say."
    )
    batch_size: int = Field(32, ge=1, description="Examples in one forward pass.")
    accumulate: int = Field(
        1, ge=1, description="Forward passes in one optimizer step (gradient accumulation)."
    )
    eval_batch_size: int = Field(64, ge=1, description="Examples in one evaluation pass.")
    learning_rate: float = Field(2e-5, gt=0, description="Peak learning rate of AdamW.")
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
    optimizer: Literal["adamw", "sgd"] = Field(
        "adamw",
        description="adamw, or sgd with momentum 0.9. Both work on each element alone, which "
        "calibration needs.",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="auto takes CUDA, then MPS, then the CPU; or name one: cuda, cuda:1, mps, cpu.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="auto: bf16 autocast on GPUs that have it, else fp32. Weights and stable ranks "
        "are always kept in fp32 and fp64.",
    )
    threads: int | None = Field(
        None, ge=1, description="CPU threads of torch; none leaves torch's own choice."
    )
    eval_every_steps: int | None = Field(
        None, ge=1, description="Evaluate every so many steps; none evaluates at epoch ends."
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

    @model_validator(mode="before")
    @classmethod
    def _coupled_optimizers_are_refused(cls, data: object) -> object:
        if isinstance(data, dict):
            name = str(data.get("optimizer", "")).lower()
            if name in {"adafactor", "lamb", "muon", "shampoo", "lars"}:
                raise ValueError(
                    f"optimizer {name} couples the elements of a matrix, so stepping the light "
                    "part alone would not be the same step; use adamw or sgd"
                )
        return data


class ScheduleSettings(Section):
    """A switch at a fixed moment instead of a measured one (the paper's Tables 4 and 5)."""

    switch_at: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of all steps spent in FFT before everything switches: 0 is the plain "
        "light method, 1 never switches. Needs calibration off.",
    )


class OutputSettings(Section):
    """What a run leaves behind."""

    dir: Path = Field(Path("runs"), description="Folder in which run directories are made.")
    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}$",
        description="Name of the run directory; none makes one from the settings and the time.",
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
    trackers: tuple[Tracker, ...] = Field(
        (),
        description="Also send the figures to these trackers, which must be installed: "
        "tensorboard, wandb, mlflow, trackio.",
    )
    tracker_project: str = Field(
        "calisr",
        min_length=1,
        description="Project (W&B, trackio) or experiment (MLflow) that the runs are put in.",
    )


class RunConfig(Section):
    """All settings of one run."""

    model: ModelSettings = Field(default_factory=ModelSettings)
    task: TaskSettings = Field(default_factory=TaskSettings)
    method: MethodSettings = Field(default_factory=FullFineTuning)
    calibration: CalibrationSettings = Field(
        default_factory=lambda: CalibrationSettings(variant="off")
    )
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    output: OutputSettings = Field(default_factory=OutputSettings)
    notes: str = Field("", description="Free text kept with the run.")

    @model_validator(mode="after")
    def _combinations(self) -> RunConfig:
        method = self.method
        calibrated = self.calibration.variant != "off"
        if calibrated and method.calibration_refused:
            raise ValueError(
                f"calibration.variant: {method.name} cannot be calibrated: "
                f'{method.calibration_refused}; set calibration.variant = "off"'
            )
        switch_at = self.schedule.switch_at
        if switch_at is not None and calibrated:
            raise ValueError(
                "schedule.switch_at: a fixed switch and calibration exclude each other; set "
                'calibration.variant = "off" or remove switch_at'
            )
        if switch_at not in (None, 0.0) and method.calibration_refused:
            raise ValueError(
                f"schedule.switch_at: {method.name} has no full phase to switch from: "
                f"{method.calibration_refused}; remove switch_at"
            )
        return self
