"""The fold: from the records of a log to what a screen, a table or a script shows of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

Record = dict[str, Any]
SERIES_LIMIT = 4000


@dataclass
class Series:
    """Points (x, y) in order of x, thinned so that memory stays flat.

    Beyond SERIES_LIMIT points every second one is dropped and the stride doubles; the newest point
    is always there.
    """

    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    stride: int = 1
    _skip: int = 0

    def add(self, x: float, y: float | None) -> None:
        if y is None:
            return
        if self._skip and self.x:
            self.x[-1], self.y[-1] = x, y
        else:
            self.x.append(x)
            self.y.append(y)
            if len(self.x) > SERIES_LIMIT:
                self.x, self.y = self.x[::2], self.y[::2]
                self.stride *= 2
                self._skip = 0
                return
        self._skip = (self._skip + 1) % self.stride

    def cut_after(self, x: float) -> None:
        """Drop all points beyond `x`."""
        while self.x and self.x[-1] > x:
            self.x.pop()
            self.y.pop()

    @property
    def last(self) -> float | None:
        return self.y[-1] if self.y else None

    def __len__(self) -> int:
        return len(self.x)


@dataclass
class Sample:
    """One stable rank sample of one group."""

    step: int
    sr_lft: float
    sr_fft: float
    difference: float
    hit: float
    hits: float
    samples: int
    fallbacks: int


@dataclass
class Decision:
    """One window's decision on one group."""

    step: int
    srs: float | None
    delta: float
    hits: float
    samples: int
    switch: bool
    why: str


@dataclass
class Switch:
    """One group's change from FFT to LFT."""

    group: str
    step: int
    epoch: float
    why: str
    trainable_before: int
    trainable: int
    freed_bytes: int | None


@dataclass
class GroupView:
    """One group: phase, counter and history."""

    name: str
    phase: str = "fft"
    hits: float = 0.0
    samples: int = 0
    switch: Switch | None = None
    history: list[Sample] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    @property
    def latest(self) -> Sample | None:
        return self.history[-1] if self.history else None

    @property
    def srs(self) -> float | None:
        """Stable rank score of the present window; None before its first sample."""
        return self.hits / self.samples if self.samples else None


@dataclass
class Evaluation:
    step: int
    epoch: float
    metrics: dict[str, float]
    value: float
    is_best: bool
    loss: float | None


@dataclass
class Failure:
    message: str
    hint: str
    traceback: str


@dataclass
class Message:
    """One line of the story: what happened, for the log pane. `kind` is the event's type."""

    step: int
    time: float
    kind: str
    text: str


@dataclass
class RunView:
    """Everything that can be shown of a run, folded from its log by `apply`.

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
    loss: Series = field(default_factory=Series)
    learning_rate: Series = field(default_factory=Series)
    speed: Series = field(default_factory=Series)
    trainable_share: Series = field(default_factory=Series)
    cpu: Series = field(default_factory=Series)
    gpu: Series = field(default_factory=Series)
    memory: Series = field(default_factory=Series)
    examples_per_second: float | None = None
    seconds_per_step: float | None = None
    resources: Record = field(default_factory=dict)
    checkpoints: list[int] = field(default_factory=list)
    warnings: list[Message] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    stop_reason: str | None = None
    failure: Failure | None = None
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
    def delta(self) -> float | None:
        return self.setting("calibration", "delta")

    @property
    def seed(self) -> int | None:
        return self.setting("training", "seed")

    @property
    def share(self) -> float | None:
        """Trainable share now, in [0, 1]."""
        return self.trainable / self.total if self.total else None

    @property
    def eta_seconds(self) -> float | None:
        """Seconds to the last step at the present speed; None where no speed is known."""
        if self.state not in ("running", "paused") or not self.seconds_per_step:
            return None
        return (self.total_steps - self.step) * self.seconds_per_step

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

    def apply_all(self, records: Iterable[Record]) -> RunView:
        for record in records:
            self.apply(record)
        return self

    def apply(self, record: Record) -> RunView:
        """Take in one record; unknown types are passed over, malformed ones counted."""
        handler = _HANDLERS.get(record["type"])
        if handler is None:
            return self
        try:
            handler(self, record)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.garbage += 1
            return self
        self.step = max(self.step, record["step"])
        self.updated = record.get("time", self.updated)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: all fields, and the derived ones that scripts ask for."""
        result = _to_plain(self)
        result |= {
            "model": self.model,
            "task": self.task,
            "method": self.method,
            "variant": self.variant,
            "delta": self.delta,
            "seed": self.seed,
            "share": self.share,
            "eta_seconds": self.eta_seconds,
            "duration": self.duration,
            "switched": self.switched,
        }
        return result


def _to_plain(value: Any) -> Any:
    if isinstance(value, Series):
        return {"x": value.x, "y": value.y}
    if is_dataclass(value):
        names = [f.name for f in fields(value) if not f.name.startswith("_")]
        plain = {name: _to_plain(getattr(value, name)) for name in names}
        if isinstance(value, GroupView):
            plain["srs"] = value.srs
        return plain
    if isinstance(value, dict):
        return {key: _to_plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(each) for each in value]
    return value


# One handler for each type of event ---------------------------------------------------------------


def _say(view: RunView, record: Record, text: str) -> None:
    view.messages.append(Message(record["step"], record.get("time", 0.0), record["type"], text))
    if len(view.messages) > SERIES_LIMIT:
        del view.messages[: SERIES_LIMIT // 2]


def _run_created(view: RunView, record: Record) -> None:
    view.run_id = record["run_id"]
    view.config = record["config"]
    view.synthetic_data = bool(record.get("synthetic_data"))
    view.created = record.get("time")
    _say(view, record, "run created")


def _run_started(view: RunView, record: Record) -> None:
    resumed_from = record.get("resumed_from")
    if resumed_from is not None:
        _rewind(view, int(resumed_from))
    view.state = "running"
    view.stop_reason = view.failure = view.summary = None
    view.attempt = record["attempt"]
    for name in (
        "total_steps",
        "steps_per_epoch",
        "epochs",
        "trainable",
        "total",
        "trainable_lft",
        "train_examples",
        "validation_examples",
        "metric",
        "device",
        "precision",
    ):
        setattr(view, name, record[name])
    view.model_summary = record.get("model_summary", "")
    view.decision_steps = list(record.get("decision_steps", ()))
    for name in record["groups"]:
        group = view.groups.setdefault(name, GroupView(name))
        group.phase = record["phases"].get(name, "fft")
    if resumed_from is None or not view.trainable_fft:
        view.trainable_fft = record["trainable"]
    if view.total:
        view.trainable_share.add(record["step"], view.trainable / view.total)
    _say(
        view,
        record,
        "training started"
        if resumed_from is None
        else f"training goes on from step {resumed_from} (attempt {record['attempt']})",
    )


def _rewind(view: RunView, step: int) -> None:
    """Forget what a lower attempt did after `step`: the highest attempt holds."""
    view.step = step
    for series in (view.loss, view.learning_rate, view.speed, view.trainable_share):
        series.cut_after(step)
    view.evaluations = [e for e in view.evaluations if e.step <= step]
    view.last = view.evaluations[-1].value if view.evaluations else None
    bests = [e for e in view.evaluations if e.is_best]
    view.best = bests[-1].value if bests else None
    view.best_step = bests[-1].step if bests else None
    view.checkpoints = [s for s in view.checkpoints if s <= step]
    view.switches = [s for s in view.switches if s.step <= step]
    view.messages = [m for m in view.messages if m.step <= step]
    for group in view.groups.values():
        if group.switch is not None and group.switch.step > step:
            group.switch, group.phase = None, "fft"
        group.history = [s for s in group.history if s.step <= step]
        group.decisions = [d for d in group.decisions if d.step <= step]
        latest = group.latest
        closed = group.decisions and latest and group.decisions[-1].step >= latest.step
        group.hits, group.samples = (
            (latest.hits, latest.samples) if latest and not closed else (0.0, 0)
        )


def _progress(view: RunView, record: Record) -> None:
    step = record["step"]
    view.epoch = record["epoch"]
    view.loss.add(step, record["loss"])
    view.learning_rate.add(step, record["learning_rate"])
    view.examples_per_second = record.get("examples_per_second")
    view.speed.add(step, view.examples_per_second)
    view.seconds_per_step = record.get("seconds_per_step")


def _sampled(view: RunView, record: Record) -> None:
    view.epoch = record["epoch"]
    for name, said in record["groups"].items():
        group = view.groups.setdefault(name, GroupView(name))
        sample = Sample(
            record["step"],
            said["sr_lft"],
            said["sr_fft"],
            said["difference"],
            said["hit"],
            said["hits"],
            said["samples"],
            said.get("fallbacks", 0),
        )
        group.history.append(sample)
        if len(group.history) > SERIES_LIMIT:
            del group.history[: SERIES_LIMIT // 2]
        group.hits, group.samples = sample.hits, sample.samples


def _srs_evaluated(view: RunView, record: Record) -> None:
    cumulative = bool(view.setting("calibration", "cumulative", False))
    for name, said in record["groups"].items():
        group = view.groups.setdefault(name, GroupView(name))
        decision = Decision(
            record["step"],
            said["srs"],
            said["delta"],
            said["hits"],
            said["samples"],
            said["switch"],
            said["why"],
        )
        group.decisions.append(decision)
        if not cumulative:
            group.hits, group.samples = 0.0, 0
        _say(view, record, decision.why)


def _group_switched(view: RunView, record: Record) -> None:
    switch = Switch(
        record["group"],
        record["step"],
        record["epoch"],
        record["why"],
        record["trainable_before"],
        record["trainable"],
        record.get("freed_bytes"),
    )
    group = view.groups.setdefault(switch.group, GroupView(switch.group))
    group.phase, group.switch = "lft", switch
    view.switches.append(switch)
    view.trainable, view.total = record["trainable"], record["total"]
    if switch.step > 0 and view.trainable_share.last is not None:
        view.trainable_share.add(switch.step, view.trainable_share.last)
    view.trainable_share.add(switch.step, view.trainable / view.total)
    _say(
        view,
        record,
        f"{switch.group} switched at step {switch.step} ({switch.why}); trainable now "
        f"{view.trainable:,} = {view.trainable / view.total:.2%}",
    )


def _evaluated(view: RunView, record: Record) -> None:
    evaluation = Evaluation(
        record["step"],
        record["epoch"],
        record["metrics"],
        record["value"],
        record["is_best"],
        record.get("loss"),
    )
    view.evaluations.append(evaluation)
    view.metric = record["metric"]
    view.last, view.best, view.best_step = record["value"], record["best"], record["best_step"]
    named = ", ".join(f"{name} {value:.4f}" for name, value in evaluation.metrics.items())
    _say(view, record, f"evaluated: {named}{' (best)' if evaluation.is_best else ''}")


def _checkpoint_saved(view: RunView, record: Record) -> None:
    view.checkpoints.append(record["step"])
    _say(view, record, f"checkpoint saved ({record['bytes'] / 1e6:.1f} MB)")


def _resources(view: RunView, record: Record) -> None:
    view.resources = {
        key: record.get(key)
        for key in (
            "cpu_percent",
            "memory_bytes",
            "gpu_percent",
            "gpu_memory_bytes",
            "gpu_memory_total_bytes",
        )
    }
    view.cpu.add(record["time"], record.get("cpu_percent"))
    view.gpu.add(record["time"], record.get("gpu_percent"))
    view.memory.add(record["time"], record.get("memory_bytes"))


def _state(state: str, text: str) -> Callable[[RunView, Record], None]:
    def handler(view: RunView, record: Record) -> None:
        view.state = state
        _say(view, record, text)

    return handler


def _warning(view: RunView, record: Record) -> None:
    hint = record.get("hint", "")
    text = record["message"] + (f" ({hint})" if hint else "")
    view.warnings.append(Message(record["step"], record.get("time", 0.0), "warning", text))
    _say(view, record, f"warning: {text}")


def _stopped(view: RunView, record: Record) -> None:
    view.state = "stopped"
    view.stop_reason = record["reason"]
    _say(view, record, f"{record['reason']}{'; saved' if record.get('saved') else ''}")


def _failed(view: RunView, record: Record) -> None:
    view.state = "failed"
    view.failure = Failure(record["message"], record.get("hint", ""), record.get("traceback", ""))
    _say(view, record, f"failed: {record['message']}")


def _completed(view: RunView, record: Record) -> None:
    view.state = "completed"
    view.summary = record["summary"]
    _say(view, record, "completed")


_HANDLERS: dict[str, Callable[[RunView, Record], None]] = {
    "run_created": _run_created,
    "run_started": _run_started,
    "progress": _progress,
    "stable_rank_sampled": _sampled,
    "srs_evaluated": _srs_evaluated,
    "group_switched": _group_switched,
    "evaluated": _evaluated,
    "checkpoint_saved": _checkpoint_saved,
    "resources": _resources,
    "paused": _state("paused", "paused"),
    "resumed": _state("running", "goes on"),
    "warning": _warning,
    "stopped": _stopped,
    "failed": _failed,
    "completed": _completed,
}
