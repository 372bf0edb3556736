"""What a run says of itself: one frozen dataclass for each type of line in events.jsonl.

A line is one JSON object: the envelope `{v, seq, attempt, time, step, type}` and the fields of the
type beside it. `v` is the format version. `seq` counts lines from 0. `attempt` is 1 for the first
process that trains the run and grows with every resume; steps may repeat then, and the highest
attempt holds. `time` is Unix seconds (UTC). `step` is the number of optimizer steps done.
Absent figures are None, never zero. Steps count from 1, epochs are fractions of passes done.

The types of the fields, ranges included, are what `decode` holds every line against: whoever reads
an event can rely on them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypedDict

from msgspec import Meta

from calisr_engine.errors import RunFailedError

FORMAT_VERSION = 2
"""2 added `held_back` of a decision and `cause` of a switch; `decode` reads both."""

Cause = Literal["calibration", "schedule", "hand", "matched", "shuffled", "coin"]
"""The score, a fixed share of the steps, a person, or one of the controls in the score's stead."""

LARGEST = 2**53
"""Counts are below it: a float holds each of them."""

Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Figure = Annotated[float, Meta(ge=-1e100, le=1e100)]
"""A finite number; its square and sums of it are finite, too."""
Moment = Annotated[float, Meta(ge=0, le=253_402_300_799)]
"""Unix seconds, up to the year 9999."""

EVENT_TYPES: dict[str, type[Event]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events: fields of the envelope that the writer does not fill in itself."""

    type: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super(Event, cls).__init_subclass__(**kwargs)
        if "type" in cls.__dict__:
            EVENT_TYPES[cls.type] = cls


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCreated(Event):
    """The run directory was made. The first line of every log."""

    type: ClassVar[str] = "run_created"
    run_id: str
    config: dict[str, Any]
    """Resolved settings, as `RunConfig.model_dump(mode="json")`."""
    synthetic_data: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A process begins (attempt 1) or goes on (later attempts) with training."""

    type: ClassVar[str] = "run_started"
    groups: tuple[str, ...]
    """Names of the groups that can switch, in display order; empty where nothing can."""
    phases: dict[str, str]
    """Phase of each group now: "fft" or "lft"."""
    total_steps: Count
    steps_per_epoch: Count
    epochs: Count
    trainable: Count
    """Trainable parameters now."""
    total: Count
    """Parameters of the dense model (the denominator of the trainable share)."""
    trainable_lft: Count | None
    """Trainable parameters once every group has switched; None where nothing switches."""
    train_examples: Count
    validation_examples: Count
    metric: str
    """Name of the metric that picks the best model."""
    device: str
    precision: str
    decision_steps: tuple[Count, ...] = ()
    """Steps at which decision windows end."""
    model_summary: str = ""
    resumed_from: Count | None = None
    """Step of the checkpoint this attempt went on from; None for a fresh start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """Loss and speed, at most a few times a second."""

    type: ClassVar[str] = "progress"
    epoch: Figure
    loss: Figure | None
    """Mean training loss over the steps since the last progress event."""
    learning_rate: Figure
    gradient_norm: Figure | None = None
    examples_per_second: Figure | None = None
    seconds_per_step: Figure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSample:
    """One group in one stable-rank sample."""

    sr_lft: Figure
    """Group score with only the core stepped (sum of stable ranks by default)."""
    sr_fft: Figure
    """Group score with everything stepped."""
    difference: Figure
    """sr_lft - sr_fft, computed without cancellation: negative is a hit."""
    hit: Figure
    """1 for a hit, 0 for none; with rule `vote` the share of matrices with a hit."""
    hits: Figure
    """Hits in this window so far, this sample included."""
    samples: Count
    """Samples in this window so far, this one included."""
    fallbacks: Count = 0
    """Matrices for which the fast bound was not clear and the exact value was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StableRankSampled(Event):
    """A sampling step was measured."""

    type: ClassVar[str] = "stable_rank_sampled"
    epoch: Figure
    groups: dict[str, GroupSample]
    seconds: Figure = 0.0
    """Time the measurement took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPart:
    """What the two parts of a sampled step did to a group's stable rank, each alone."""

    light_change: Figure
    """SR with only the light part stepped, less that before the step (by the rule of `score`)."""
    extra_change: Figure
    """SR with only the extra's change in this step added to the weights before it, less that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPartsMeasured(Event):
    """Beside a sample, where calibration.log_parts asks for it."""

    type: ClassVar[str] = "step_parts_measured"
    groups: dict[str, StepPart]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoinFlip:
    """One group at one sampling step of a coin control."""

    hit: Figure
    """1 for heads, 0 for tails."""
    hits: Figure
    """Heads in this window so far, this flip included."""
    samples: Count
    """Flips in this window so far, this one included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoinFlipped(Event):
    """A sampling step of a coin control: fair flips count in the place of comparisons."""

    type: ClassVar[str] = "coin_flipped"
    epoch: Figure
    groups: dict[str, CoinFlip]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDecision:
    """What the end of a window decided for one group."""

    srs: Figure | None
    """Stable rank score hits / samples; None in a window without samples."""
    delta: Figure
    hits: Figure
    samples: Count
    switch: bool
    why: str
    """The reason in words, with the numbers."""
    held_back: bool = False
    """Whether the score said switch, but training ends with this step, so nothing switches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SrsEvaluated(Event):
    """A decision window ended."""

    type: ClassVar[str] = "srs_evaluated"
    epoch: Figure
    groups: dict[str, GroupDecision]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSwitched(Event):
    """A group left FFT for the light method; it never goes back."""

    type: ClassVar[str] = "group_switched"
    epoch: Figure
    group: str
    cause: Cause
    why: str
    """The reason in words, with the numbers."""
    trainable_before: Count
    trainable: Count
    total: Count
    freed_bytes: Annotated[int, Meta(ge=-LARGEST, le=LARGEST)] | None = None
    """Memory of gradients and optimizer state given back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated(Event):
    """The model was evaluated on the validation set."""

    type: ClassVar[str] = "evaluated"
    epoch: Figure
    metrics: dict[str, Figure]
    """Metric name -> value in [-1, 1] or [0, 1]; MNLI has matched and mismatched names."""
    metric: str
    value: Figure
    """Value of the metric that picks the best model."""
    best: Figure
    best_step: Count
    is_best: bool
    loss: Figure | None = None
    seconds: Figure | None = None
    planned: bool = True
    """False for one asked for by hand, which is no opinion on patience."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralisationMeasured(Event):
    """After an evaluation, where diagnostics.generalisation asks for it."""

    type: ClassVar[str] = "generalisation_measured"
    epoch: Figure
    train_examples: Count
    """Training examples that `train_loss` is the mean over."""
    train_loss: Figure | None = None
    """In evaluation mode: without dropout, all gates and masks as when predicting."""
    validation_loss: Figure | None = None
    stable_rank: Figure | None = None
    """Sum of the stable ranks of all target matrices."""
    log_norms: Figure | None = None
    """Sum of ln ||W||_2^2 over them; None where one is zero."""
    seconds: Figure | None = None

    @property
    def gap(self) -> float | None:
        """validation_loss - train_loss."""
        if self.train_loss is None or self.validation_loss is None:
            return None
        return self.validation_loss - self.train_loss

    @property
    def log_bound(self) -> float | None:
        """ln of prod ||W||_2^2 * sum SR(W), the paper's Section 3.2."""
        if self.log_norms is None or not self.stable_rank or self.stable_rank < 0:
            return None
        return self.log_norms + math.log(self.stable_rank)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSaved(Event):
    type: ClassVar[str] = "checkpoint_saved"
    path: str
    """Relative to the run directory."""
    bytes: Count
    seconds: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources(Event):
    """Device load and memory; what cannot be read is None."""

    type: ClassVar[str] = "resources"
    cpu_percent: Figure | None = None
    memory_bytes: Count | None = None
    """Resident memory of the training process."""
    gpu_percent: Figure | None = None
    gpu_memory_bytes: Count | None = None
    gpu_memory_total_bytes: Count | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused(Event):
    type: ClassVar[str] = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(Event):
    """Training goes on after a pause (a resume after a stop is a new `run_started`)."""

    type: ClassVar[str] = "resumed"


Change = TypedDict("Change", {"from": Any, "to": Any})
"""A setting's value before and since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChanged(Event):
    """Between two attempts, settings were changed on request (`calisr resume --set`)."""

    type: ClassVar[str] = "settings_changed"
    changes: dict[str, Change]
    """By dotted key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned(Event):
    """Something the user should know; the run goes on."""

    type: ClassVar[str] = "warning"
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Event):
    """Something worth knowing that asks for nothing, such as the shapes a method found."""

    type: ClassVar[str] = "noted"
    message: str


ENDED_EARLY = "ended early by the search: other trials were better by then"
"""The reason of a stop that a search asked for; such a run is not gone on with by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Event):
    """The run was stopped before its end and can be resumed."""

    type: ClassVar[str] = "stopped"
    reason: str
    saved: bool
    """Whether a checkpoint of this very step was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    type: ClassVar[str] = "failed"
    message: str
    hint: str = ""
    traceback: str = ""
    keys: tuple[str, ...] = ()
    """Settings concerned, by dotted key; message and hint may name more."""

    def error(self, exit_code: int = 1) -> RunFailedError:
        """The same as an error, with the exit status of the process that failed."""
        error = RunFailedError(self.message, self.hint)
        error.exit_code = exit_code
        return error


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed(Event):
    """The run reached its end. The last line of a finished log."""

    type: ClassVar[str] = "completed"
    summary: dict[str, Any] = field(default_factory=dict)
    """metric, best, best_step, last, switched {group: step} or None, trainable_share_fft,
    trainable_share_lft, mean_trainable_share, seconds, steps, seconds_per_step_fft,
    seconds_per_step_lft, exported (path or None), fallbacks, samples."""
