"""What a checkpoint holds: one type, how it is taken from a run, and how a run takes it back.

`TrainState` is the one owner of that list. Its figures go to `state.json`, its tensors to one
safetensors file a group. A field that is unknown or missing is an error that says which version
wrote it; the one format before this one is read by `_from_format_1`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from calisr_engine.calibration.score import ScoreBoard
from calisr_engine.errors import CalisrError
from calisr_engine.methods.base import Attachment
from calisr_engine.randomness import torch_states
from calisr_engine.regularizers.base import Regularization
from calisr_engine.training.calibrator import Calibrator, Measured
from calisr_engine.training.context import RunContext
from calisr_engine.training.determinism import restore_rng, rng_json, seed_rank
from calisr_engine.training.evaluation import Evaluation, Score, model_tensors
from calisr_engine.training.forms import form_tensors, load_forms
from calisr_engine.training.optim import StepOptimizer
from calisr_engine.training.reporter import Reporter, Tally
from calisr_engine.training.switch import PhaseChange
from calisr_engine.version import __version__

FORMAT = 2

Tensors = dict[str, Tensor]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TrainState:
    """Everything that a run needs to go on to the same bits.

    Attributes:
        step: optimizer steps done.
        fingerprint: of data and model; a run goes on only with the same.
        switches: groups that left FFT, in order; replayed before the tensors are loaded.
        board: hits and samples of the present window.
        measured, score, tally: what sampling, evaluations and steps have come to.
        rng: Python's and NumPy's random states of rank 0; streams: torch's, by rank.
        model: parameters and persistent buffers; optimizer: state by parameter name.
        forms: masks and the like, by target; comparison: anchors and start vectors.
        reading: what the reading keeps from sample to sample.
        regularizer: what the regulariser keeps from step to step.
    """

    step: int
    fingerprint: str
    switches: tuple[PhaseChange, ...]
    board: ScoreBoard
    measured: Measured
    score: Score
    tally: Tally
    rng: dict[str, Any]
    streams: tuple[Tensors, ...]
    model: Tensors
    optimizer: Tensors
    forms: Tensors
    comparison: Tensors
    reading: Tensors
    regularizer: Tensors

    def state_dict(self) -> tuple[dict[str, Any], dict[str, Tensors]]:
        """(plain JSON, named groups of tensors) for `load_state_dict`."""
        plain = {
            "format": FORMAT,
            "written_by": __version__,
            "step": self.step,
            "fingerprint": self.fingerprint,
            "switches": [dataclasses.asdict(change) for change in self.switches],
            "board": self.board.to_dict(),
            "measured": dataclasses.asdict(self.measured),
            "score": dataclasses.asdict(self.score),
            "tally": dataclasses.asdict(self.tally),
            "rng": self.rng,
        }
        groups = {_stream_name(rank): stream for rank, stream in enumerate(self.streams)}
        groups |= {name: getattr(self, name) for name in _TENSORS}
        return plain, groups

    @classmethod
    def load_state_dict(cls, plain: Mapping[str, Any], groups: Mapping[str, Tensors]) -> TrainState:
        """What `state_dict` gave, of this format or the one before.

        Raises:
            CalisrError: written by another version in another form; the message names both.
        """
        if "format" not in plain:
            plain = _from_format_1(plain)
        writer = f"calisr {plain.get('written_by', '?')} (format {plain.get('format')})"
        if plain.get("format") != FORMAT:
            raise _unreadable(writer, f"this version reads format {FORMAT}")
        figures = {k: v for k, v in plain.items() if k not in ("format", "written_by")}
        streams = [name for name in map(_stream_name, range(len(groups))) if name in groups]
        own = {f.name for f in dataclasses.fields(cls)} - {"streams"}
        _same_names(figures, own - set(_TENSORS), writer, "state.json")
        unknown = sorted(set(groups) - {*_TENSORS, *streams})
        if unknown or not streams:
            raise _unreadable(writer, f"unknown or missing tensors: {', '.join(unknown) or 'rng'}")
        return cls(
            step=int(figures["step"]),
            fingerprint=str(figures["fingerprint"]),
            switches=tuple(_typed(PhaseChange, each, writer) for each in figures["switches"]),
            board=ScoreBoard.from_dict(figures["board"]),
            measured=_typed(Measured, figures["measured"], writer),
            score=_typed(Score, {"best_loss": None} | figures["score"], writer),
            tally=_typed(Tally, figures["tally"], writer),
            rng=figures["rng"],
            streams=tuple(groups[name] for name in streams),
            **{name: groups.get(name, {}) for name in _TENSORS},
        )


_TENSORS = ("model", "optimizer", "forms", "comparison", "reading", "regularizer")


@dataclass
class Stateful:
    """The parts of a run that a checkpoint keeps, and nothing else."""

    context: RunContext
    fingerprint: str
    model: nn.Module
    attachment: Attachment
    optimizer: StepOptimizer
    calibrator: Calibrator
    evaluation: Evaluation
    reporter: Reporter
    regularization: Regularization | None = None

    def capture(self, step: int) -> TrainState:
        """The state after `step`; tensors are the run's own, not copies. All ranks must call it."""
        sampler = self.calibrator.sampler
        return TrainState(
            step=step,
            fingerprint=self.fingerprint,
            switches=tuple(self.calibrator.phases.changes),
            board=self.calibrator.board,
            measured=self.calibrator.measured,
            score=self.evaluation.score,
            tally=self.reporter.tally,
            rng=rng_json(),
            streams=tuple(self.context.ranks.gather(torch_states(self.context.device))),
            model=model_tensors(self.model),
            optimizer=self.optimizer.tensors(),
            forms=form_tensors(self.attachment),
            comparison={} if sampler is None else sampler.comparison.state_dict(),
            reading={} if sampler is None else sampler.reading.state(),
            regularizer={} if self.regularization is None else self.regularization.state(),
        )

    def restore(self, state: TrainState) -> None:
        """Take `state` back; its switches were replayed before the optimizer was built.

        Raises:
            CalisrError: the checkpoint is of another model.
        """
        present = self.model.state_dict()
        unknown = sorted(set(state.model) - set(present))
        lacking = sorted(set(model_tensors(self.model)) - set(state.model))
        reshaped = sorted(n for n, t in state.model.items() if present.get(n, t).shape != t.shape)
        for names, what in ((unknown, "which this model lacks"), (reshaped, "of another shape")):
            if names:
                raise unfit(state, f"it holds {', '.join(names[:3])}, {what}")
        if lacking:
            raise unfit(state, f"it lacks {', '.join(lacking[:3])}")
        with torch.no_grad():
            for name, value in state.model.items():
                present[name].copy_(value)
        load_forms(self.attachment, state.forms)
        self.optimizer.load_tensors(state.optimizer)
        if self.regularization is not None:
            self.regularization.load_state(state.regularizer)
        sampler = self.calibrator.sampler
        if sampler is not None:
            sampler.comparison.load_state_dict(state.comparison)
            sampler.reading.load_state(state.reading, self.calibrator.waiting())
        self.calibrator.board = state.board
        self.calibrator.measured = state.measured
        self.evaluation.score = state.score
        self.reporter.tally = state.tally
        self.calibrator.phases.count()
        self._restore_rng(state)

    def _restore_rng(self, state: TrainState) -> None:
        ranks, device = self.context.ranks, self.context.device
        known = ranks.rank < len(state.streams)
        restore_rng(state.streams[ranks.rank if known else 0], state.rng, device)
        if not known:  # the run went on with more processes than it had
            seed_rank(device, self.context.config.training.seed, ranks.rank, state.step)


def _stream_name(rank: int) -> str:
    return f"rng-{rank}" if rank else "rng"


def _typed(kind: type[T], data: Mapping[str, Any], writer: str) -> T:
    """A dataclass from its fields, all of them and no others."""
    names = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    _same_names(data, names, writer, kind.__name__)
    return kind(**data)


def _same_names(data: Mapping[str, Any], names: set[str], writer: str, what: str) -> None:
    unknown, missing = sorted(set(data) - names), sorted(names - set(data))
    if unknown or missing:
        told = [f"{what} has unknown {', '.join(unknown)}"] if unknown else []
        told += [f"{what} lacks {', '.join(missing)}"] if missing else []
        raise _unreadable(writer, "; ".join(told))


def unfit(state: TrainState, why: str) -> CalisrError:
    """The error for a checkpoint that is whole but of another run or model."""
    return CalisrError(
        f"the checkpoint of step {state.step} does not fit this run: {why}",
        "the software or the settings changed; start a new run",
    )


def _unreadable(writer: str, why: str) -> CalisrError:
    return CalisrError(
        f"the checkpoint was written by {writer} and cannot be read by calisr {__version__}: {why}",
        "go on with the version that wrote it, or start a new run",
    )


def _from_format_1(old: Mapping[str, Any]) -> dict[str, Any]:
    """The state of version 0.1.0, which had no format number and one table of counters."""
    counters = old["counters"]
    score = {key: counters[key] for key in ("best", "best_step", "best_counts", "last")}
    switches = []
    for group, step, why in old["phases"]:
        cause, _, reason = ("schedule", "", why) if why == "plain" else why.partition(": ")
        switches.append({"group": group, "step": step, "cause": cause, "why": reason})
    return {
        "format": FORMAT,
        "written_by": "0.1.0",
        "step": old["step"],
        "fingerprint": old["fingerprint"],
        "switches": switches,
        "board": old["board"],  # its counters held facts that nothing reads
        "measured": {
            "samples": counters["samples"],
            "seconds": counters["sample_seconds"],
            "compared": counters["compared"],
            "fallbacks": counters["fallbacks"],
        },
        "score": score
        | {
            "without_gain": counters["without_gain"],
            "evaluated_at": -1,
            "ended_early": old["ended_early"],
        },
        "tally": {key: counters[key] for key in ("trainable_steps", "seconds", "steps")}
        | {"wall_seconds": counters["wall_seconds"]},
        "rng": old["rng"],
    }
