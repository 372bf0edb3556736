"""What a screen, a table or a script shows of a run, folded from its log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Self, TypeVar

from calisr_engine.events.decode import Line
from calisr_engine.events.series import Series
from calisr_engine.events.types import (
    CoinFlip,
    Evaluated,
    Event,
    Failed,
    GeneralisationMeasured,
    GroupDecision,
    GroupSample,
    GroupSwitched,
    StepPart,
)

T = TypeVar("T")


class Kept:
    """Something that never changes, so that copies of a view share it."""

    __slots__ = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample(Kept, GroupSample):
    """One stable rank sample of one group, and its step."""

    step: int
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Kept, StepPart):
    """What the two parts of one group's step did, and the step."""

    step: int
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip(Kept, CoinFlip):
    """One coin flip of one group, and its step."""

    step: int
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Kept, GroupDecision):
    """One window's decision on one group, and its step."""

    step: int
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch(Kept, GroupSwitched):
    """One group's change from FFT to LFT, and its step."""

    step: int
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation(Kept, Evaluated):
    """One evaluation, and its step."""

    step: int
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Generalised(GeneralisationMeasured):
    """One measurement of the gap and of the bound's terms, and its step."""

    step: int
    seq: int = 0


def at(
    kind: type[T], line: Line, said: Event | GroupSample | StepPart | CoinFlip | GroupDecision
) -> T:
    """What an event says, with the step at which it said it and its place in the log."""
    values: dict[str, Any] = {each.name: getattr(said, each.name) for each in fields(said)}
    make: Callable[..., T] = kind
    return make(step=line.step, seq=line.seq, **values)


@dataclass
class GroupView:
    """One group: phase, counter and history."""

    name: str
    phase: str = "fft"
    hits: float = 0.0
    samples: int = 0
    switch: Switch | None = None
    history: list[Sample] = field(default_factory=list)
    parts: list[Parts] = field(default_factory=list)
    flips: list[Flip] = field(default_factory=list)
    """Of a coin control: they are counted, and samples that it measures beside them are not."""
    decisions: list[Decision] = field(default_factory=list)

    @property
    def latest(self) -> Sample | None:
        return self.history[-1] if self.history else None

    @property
    def counted(self) -> Sequence[Sample | Flip]:
        """What `hits` and `samples` count: coin flips where there are any, else samples."""
        return self.flips or self.history

    @property
    def srs(self) -> float | None:
        """Stable rank score of the present window; None before its first sample."""
        return self.hits / self.samples if self.samples else None


@dataclass(frozen=True, slots=True)
class Message(Kept):
    """One line of the story: what happened, for the log pane.

    Attributes:
        kind: the event's type.
    """

    step: int
    time: float
    kind: str
    text: str
    seq: int = 0


@dataclass
class RunView:
    """Everything that can be shown of a run, folded from its log by `events.fold`.

    `state` is created, running, paused, stopped, failed or completed as the log says; whoever knows
    that no process is alive may set it to `interrupted`.
    """

    run_id: str = ""
    state: str = "created"
    config: dict[str, Any] = field(default_factory=dict)
    synthetic_data: bool = False
    attempt: int = 0
    created: float | None = None
    updated: float | None = None
    step: int = 0
    epoch: float = 0.0
    total_steps: int = 0
    steps_per_epoch: int = 0
    epochs: int = 0
    decision_steps: list[int] = field(default_factory=list)
    groups: dict[str, GroupView] = field(default_factory=dict)
    switches: list[Switch] = field(default_factory=list)
    trainable: int = 0
    trainable_fft: int = 0
    trainable_lft: int | None = None
    total: int = 0
    train_examples: int = 0
    validation_examples: int = 0
    metric: str = ""
    device: str = ""
    precision: str = ""
    model_summary: str = ""
    best: float | None = None
    best_step: int | None = None
    last: float | None = None
    evaluations: list[Evaluation] = field(default_factory=list)
    generalisation: list[Generalised] = field(default_factory=list)
    loss: Series = field(default_factory=Series)
    learning_rate: Series = field(default_factory=Series)
    gradient_norm: Series = field(default_factory=Series)
    speed: Series = field(default_factory=Series)
    trainable_share: Series = field(default_factory=Series)
    cpu: Series = field(default_factory=Series)
    gpu: Series = field(default_factory=Series)
    memory: Series = field(default_factory=Series)
    examples_per_second: float | None = None
    seconds_per_step: float | None = None
    resources: dict[str, Any] = field(default_factory=dict)
    checkpoints: list[int] = field(default_factory=list)
    _saved: dict[int, int] = field(default_factory=dict)
    """Step -> place in the log, of the newest checkpoint of each step."""
    changes: list[tuple[int, str, Any, Any]] = field(default_factory=list)
    """(step, key, value before, value since) of settings that were changed between attempts."""
    warnings: list[Message] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    stop_reason: str | None = None
    failure: Failed | None = None
    summary: dict[str, Any] | None = None
    garbage: int = 0

    # What is asked often ------------------------------------------------------------------------

    def setting(self, section: str, key: str, default: Any = None) -> Any:
        """One setting of the run, `default` where the log does not hold it."""
        part = self.config.get(section)
        return part.get(key, default) if isinstance(part, dict) else default

    @property
    def model(self) -> str:
        return str(self.setting("model", "name", "?"))

    @property
    def task(self) -> str:
        return str(self.setting("task", "name", "?"))

    @property
    def method(self) -> str:
        return str(self.setting("method", "name", "?"))

    @property
    def variant(self) -> str:
        return str(self.setting("calibration", "variant", "off"))

    @property
    def control(self) -> str:
        """What switches in the score's stead ("off": the score does)."""
        return str(self.setting("calibration", "control", "off"))

    @property
    def regularizer(self) -> str:
        """What regularises it ("off": nothing)."""
        return str(self.setting("regularizer", "name", "off"))

    @property
    def reading(self) -> str:
        """What its samples compare."""
        return str(self.setting("calibration", "reading", "step"))

    @property
    def delta(self) -> float | None:
        return _number(self.setting("calibration", "delta"))

    @property
    def threshold(self) -> float | None:
        """Delta where it decides; None where the steps are given, or nothing can switch."""
        decides = self.variant != "off" and self.control in ("off", "coin")
        return self.delta if decides else None

    @property
    def votes(self) -> bool:
        """Whether matrices vote: each hit is the share of a group's matrices that have one."""
        vote = self.setting("calibration", "score", "sum") == "vote"
        return vote and self.control != "coin"

    @property
    def seed(self) -> int | None:
        seed = _number(self.setting("training", "seed"))
        return None if seed is None else int(seed)

    @property
    def share(self) -> float | None:
        """Trainable share now, in [0, 1]."""
        return self.trainable / self.total if self.total else None

    @property
    def fraction(self) -> float:
        """Share of the steps that is done, in [0, 1]."""
        return min(1.0, self.step / self.total_steps) if self.total_steps else 0.0

    @property
    def problem(self) -> str:
        """What is wrong with its log ("" if nothing is)."""
        one = self.garbage == 1
        lines = "1 line of its log was" if one else f"{self.garbage} lines of its log were"
        return f"{lines} no use and left out" if self.garbage else ""

    @property
    def eta_seconds(self) -> float | None:
        """Seconds to the last step at the present speed; None where no speed is known."""
        if self.state not in ("running", "paused") or not self.seconds_per_step:
            return None
        return max(0, self.total_steps - self.step) * self.seconds_per_step

    @property
    def duration(self) -> float | None:
        """Seconds between the first and the newest line."""
        if self.created is None or self.updated is None:
            return None
        return self.updated - self.created

    @property
    def switched(self) -> dict[str, int] | None:
        """Switch step of each group that switched; None where none did."""
        return {s.group: s.step for s in self.switches} or None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: all fields, and the derived ones that scripts ask for."""
        result: dict[str, Any] = _to_plain(self)
        result |= {
            "model": self.model,
            "task": self.task,
            "method": self.method,
            "variant": self.variant,
            "control": self.control,
            "reading": self.reading,
            "delta": self.delta,
            "seed": self.seed,
            "share": self.share,
            "eta_seconds": self.eta_seconds,
            "duration": self.duration,
            "switched": self.switched,
        }
        return result


def _number(value: Any) -> float | None:
    """A number of the settings; a damaged log may hold anything there."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


_OUR_OWN = ("seq",)
"""Fields that are no business of scripts."""


def _to_plain(value: Any) -> Any:
    if isinstance(value, Series):
        return {"x": value.x, "y": value.y}
    if is_dataclass(value):
        names = [f.name for f in fields(value) if f.name[0] != "_" and f.name not in _OUR_OWN]
        plain = {name: _to_plain(getattr(value, name)) for name in names}
        if isinstance(value, GroupView):
            plain["srs"] = value.srs
        if isinstance(value, Generalised):
            plain |= {"gap": value.gap, "log_bound": value.log_bound}
        return plain
    if isinstance(value, dict):
        return {key: _to_plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(each) for each in value]
    return value
