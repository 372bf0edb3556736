"""The training loop, top to bottom.

    all groups start in FFT
    for each optimizer step:
        obey control requests (pause, stop, evaluate, checkpoint, switch)
        forward and backward over the micro-batches; dense gradients -> the method's parameters
        one global clip
        at a sampling step: remember the extra; step; compare stable ranks; count hits
        otherwise: step
        at the end of a decision window: groups whose score is above delta switch
        evaluate; the method may rework itself by the metric; checkpoint

Everything that happens is written to the event log; nothing here knows who reads it.

Several processes may run this loop together (`ranks.py`). Each takes its slice of every batch;
gradients are added before the clip. Rank 0 alone measures, decides, obeys requests and writes; the
others hear of it at the same step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from calisr_engine.calibration.score import ScoreBoard
from calisr_engine.errors import EXIT_STOPPED, RunFailedError
from calisr_engine.events import types as ev
from calisr_engine.runs.control import Request
from calisr_engine.training import checkpoint as checkpoints
from calisr_engine.training.determinism import rng_json, rng_tensors
from calisr_engine.training.resources import ResourceProbe
from calisr_engine.training.session import Session, rng_name

CONTROL_POLL_SECONDS = 0.1
RESOURCE_SECONDS = 2.0
STOP_EVENT = "stop event"
"""Stands among the requests for a stop that came by signal or from the thread's owner."""


@dataclass
class Counters:
    """What the loop adds up; a checkpoint keeps it."""

    best: float | None = None
    best_step: int = 0
    best_counts: bool = True
    """False while only a model that is not finished yet (diff pruning's), or one that has changed
    its shape since (MPOP's squeezing), was evaluated."""
    last: float | None = None
    without_gain: int = 0
    trainable_steps: int = 0
    """Sum over steps of the trainable parameters (for the mean trainable share)."""
    seconds: dict[str, float] = field(
        default_factory=lambda: {"fft": 0.0, "mixed": 0.0, "lft": 0.0}
    )
    steps: dict[str, int] = field(default_factory=lambda: {"fft": 0, "mixed": 0, "lft": 0})
    sample_seconds: float = 0.0
    samples: int = 0
    fallbacks: int = 0
    compared: int = 0
    wall_seconds: float = 0.0


class StopTraining(Exception):  # noqa: N818
    """Leaves the loop on a user's request."""

    def __init__(self, reason: str, save: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.save = save


class TrainingLoop:
    """One run from its present step to its end.

    `run()` returns the exit status: 0 at the end of the run, 75 when it was stopped before.
    """

    def __init__(self, session: Session) -> None:
        self.s = session
        self.step = session.start_step
        self.board: ScoreBoard = session.board
        self.counters = Counters(**session.counters) if session.counters else Counters()
        self._losses: list[Tensor] = []
        self._examples = 0
        self._since = time.monotonic()
        self._train_seconds = 0.0
        self._last_resources = 0.0
        self._last_poll = 0.0
        self._norm: Tensor | None = None
        self._evaluated_at = -1
        self._saved_at = session.start_step if session.resumed else -1
        self._probe = ResourceProbe(session.device)
        self._ended_early = False
        self._told: set[str] = set()

    def run(self) -> int:
        plan = self.s.plan
        started = time.monotonic()
        before = self.counters.wall_seconds
        self.s.model.train()
        try:
            while self.step < plan.total_steps and not self._ended_early:
                self._obey_requests()
                self.step += 1
                self._train_step()
                self.counters.wall_seconds = before + time.monotonic() - started
                if self.s.sampler is not None and plan.is_window_end(self.step):
                    self._close_window()
                if self.step == self.s.switch_step:
                    self._switch_on_schedule()
                if plan.is_evaluation(self.step):
                    self._evaluate()
                    self._rework()
                if plan.is_checkpoint(self.step):
                    self._checkpoint()
        except StopTraining as stop:
            if stop.save:
                self._checkpoint()
            saved = self._saved_at == self.step
            self.s.emit(self.step, ev.Stopped(reason=stop.reason, saved=saved))
            return EXIT_STOPPED
        if self._evaluated_at != self.step:
            self._evaluate()
        if self._saved_at != self.step:
            self._checkpoint()
        return 0

    # One optimizer step -------------------------------------------------------------------------

    def _train_step(self) -> None:
        s, plan = self.s, self.s.plan
        began = time.monotonic()
        phase = self._phase()
        # Measuring changes nothing, so one rank can do it for all.
        sampled = s.sampler is not None and plan.is_sample(self.step) and s.ranks.is_first
        groups = {name: s.phases.groups[name] for name in s.phases.in_fft()} if sampled else {}
        factor = s.learning_rate_factor(self.step - 1)
        s.optimizer.set_factor(factor)
        for form in s.attachment.forms.values():
            form.begin_step(self.step)

        loss = self._gradients()
        for form in s.attachment.forms.values():
            form.pull()
        loss, stop = s.ranks.add_gradients(s.optimizer.parameters(), loss, s.stop_event.is_set())
        if stop:
            s.stop_event.set()
        self._norm = self._clip()
        self._check_finite(loss)

        measure_seconds = 0.0
        if groups:
            assert s.sampler is not None
            mark = time.monotonic()
            s.sampler.remember(groups)
            measure_seconds += time.monotonic() - mark
        s.optimizer.step()
        for form in s.attachment.forms.values():
            form.push()
        if s.attachment.after_step is not None and s.attachment.after_step(self.step):
            s.trainable = s.phases.trainable()
        s.optimizer.zero_grad()
        if groups:
            mark = time.monotonic()
            self._sample(groups, mark - measure_seconds)
            measure_seconds += time.monotonic() - mark

        spent = time.monotonic() - began - measure_seconds
        self._train_seconds += spent
        self.counters.seconds[phase] += spent
        self.counters.steps[phase] += 1
        self.counters.trainable_steps += s.trainable
        self._losses.append(loss)
        self._report_progress(factor)

    def _gradients(self) -> Tensor:
        """Forward and backward over this step's micro-batches.

        Returns the mean loss; with several ranks, what this rank's slices add to it. A slice weighs
        as many examples as it has, so uneven slices add up to the gradient of the whole batch.
        """
        s = self.s
        epoch, _ = s.plan.epoch_of(self.step)
        batches = [s.train_batch(epoch, index) for index in s.plan.micro_batches(self.step)]
        examples = sum(count for _, count in batches)
        mean = torch.zeros((), device=s.device)
        for batch, _ in batches:
            if batch is None:
                continue
            weight = len(batch["labels"]) / examples
            with s.autocast():
                loss = s.forward_loss(s.model, batch)
            mean += loss.detach().float() * weight
            s.accelerator.backward(loss * weight if weight != 1.0 else loss)
        if s.attachment.penalty is not None and s.ranks.is_first:
            s.accelerator.backward(s.attachment.penalty())
        self._examples += examples
        return mean

    def _clip(self) -> Tensor | None:
        limit = self.s.config.training.max_grad_norm
        if limit == 0:
            return None
        parameters = self.s.optimizer.parameters()
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit, foreach=True)
        return norm

    def _check_finite(self, loss: Tensor) -> None:
        """Stop before a bad step reaches the weights."""
        total = loss if self._norm is None else loss + self._norm
        if not math.isfinite(total.item()):
            what = "loss" if not math.isfinite(loss.item()) else "gradient norm"
            raise RunFailedError(
                f"the {what} is not a number at step {self.step}",
                "lower training.learning_rate or use training.precision=fp32; the last "
                "checkpoint is intact, so a changed run can start from there",
            )

    def _phase(self) -> str:
        """ "fft", "lft", or "mixed" while some groups have switched."""
        waiting = len(self.s.phases.in_fft())
        if waiting == 0:
            return "lft" if self.s.attachment.has_light_phase else "fft"
        return "fft" if waiting == len(self.s.phases.groups) else "mixed"

    # Calibration --------------------------------------------------------------------------------

    def _sample(self, groups: Mapping[str, Any], began: float) -> None:
        s = self.s
        assert s.sampler is not None
        measured = {}
        for name, result in s.sampler.measure(groups, self.step).items():
            self.board = self.board.record(name, hit=result.hit)
            counter = self.board.counters[name]
            self.counters.fallbacks += result.fallbacks
            self.counters.compared += len(groups[name])
            measured[name] = ev.GroupSample(
                sr_lft=result.sr_lft,
                sr_fft=result.sr_fft,
                difference=result.difference,
                hit=float(result.hit),
                hits=float(counter.hits),
                samples=counter.samples,
                fallbacks=result.fallbacks,
            )
        seconds = time.monotonic() - began
        self.counters.samples += 1
        self.counters.sample_seconds += seconds
        s.emit(
            self.step,
            ev.StableRankSampled(epoch=self._epoch(), groups=measured, seconds=seconds),
        )

    def _close_window(self) -> None:
        s = self.s
        if not s.phases.in_fft():
            return
        switching = self._decide() if s.ranks.is_first else []
        decided = s.ranks.from_first(switching)
        self._switch({name: f"calibration: {why}" for name, why in decided})

    def _decide(self) -> list[tuple[str, str]]:
        """Close the window's counters; the groups that switch now, each with its reason."""
        s = self.s
        self.board, decisions = self.board.close_window()
        at_end = self.step >= s.plan.total_steps
        reported: dict[str, ev.GroupDecision] = {}
        switching: list[tuple[str, str]] = []
        for name, decision in decisions.items():
            switch, why = decision.switch, decision.reason
            if switch and at_end:
                switch = False
                why += "; but training ends with this step, so nothing switches"
            reported[name] = ev.GroupDecision(
                srs=None if decision.srs is None else float(decision.srs),
                delta=s.config.calibration.delta,
                hits=float(decision.hits),
                samples=decision.samples,
                switch=switch,
                why=why,
                held_back=decision.switch and at_end,
            )
            if switch:
                switching.append((name, why))
        s.emit(self.step, ev.SrsEvaluated(epoch=self._epoch(), groups=reported))
        return switching

    def _switch_on_schedule(self) -> None:
        why = f"schedule: fixed at {self.s.config.schedule.switch_at:.0%} of all steps"
        self._switch(dict.fromkeys(self.s.phases.in_fft(), why))

    def _switch(self, reasons: Mapping[str, str]) -> None:
        """Switch these groups. Memory is swept once for all: a sweep stops every thread."""
        for group, why in reasons.items():
            self._switch_one(group, why)
        if reasons:
            self.s.free_memory()

    def _switch_one(self, group: str, why: str) -> None:
        s = self.s
        forms = s.phases.groups[group]
        result = s.phases.switch(group, self.step, why, s.optimizer)
        self.board = self.board.switched(group)
        if s.sampler is not None:
            s.sampler.forget(forms)
        s.trainable = result.trainable
        s.emit(
            self.step,
            ev.GroupSwitched(
                epoch=self._epoch(),
                group=group,
                cause=why.partition(":")[0],  # type: ignore[arg-type]
                why=why,
                trainable_before=result.trainable_before,
                trainable=result.trainable,
                total=s.total_parameters,
                freed_bytes=result.freed_bytes,
            ),
        )

    # Evaluation and checkpoints -----------------------------------------------------------------

    def _evaluate(self) -> None:
        s, c = self.s, self.counters
        began = time.monotonic()
        metrics, loss = s.ranks.from_first(s.evaluate())
        value = metrics[s.metric]
        # A model that is not finished yet stands in until the first one that counts.
        counts = self.step >= s.attachment.counts_from
        is_best = c.best is None or (counts and (value > c.best or not c.best_counts))
        if is_best:
            c.best_counts = counts
            c.best, c.best_step, c.without_gain = value, self.step, 0
            if s.ranks.is_first:
                s.save_best(self.step)
        else:
            c.without_gain += 1
        c.last = value
        for note in s.score_notes():
            if note not in self._told:
                self._told.add(note)
                s.emit(self.step, ev.Warned(message=note))
        self._evaluated_at = self.step
        assert c.best is not None
        s.emit(
            self.step,
            ev.Evaluated(
                epoch=self._epoch(),
                metrics=metrics,
                metric=s.metric,
                value=value,
                best=c.best,
                best_step=c.best_step,
                is_best=is_best,
                loss=loss,
                seconds=time.monotonic() - began,
            ),
        )
        patience = s.config.training.early_stopping
        if patience is not None and c.without_gain >= patience and not self._ended_early:
            self._ended_early = True
            s.emit(
                self.step,
                ev.Warned(
                    message=f"stopped early: {s.metric} has not improved in {patience} evaluations",
                ),
            )
        self._since = time.monotonic()

    def _rework(self) -> None:
        """Let the method change itself by the metric (MPOP's dimension squeezing)."""
        s, c = self.s, self.counters
        hook = s.attachment.after_evaluation
        if hook is None or self._ended_early or self.step >= s.plan.total_steps:
            return
        assert c.last is not None
        change = hook(self.step, c.last)
        if change is None:
            return
        if change.fresh:
            s.optimizer.forget(change.fresh)
            s.trainable = s.phases.trainable()
            # What was evaluated before is another model: the next evaluation begins a new best.
            c.best_counts, c.without_gain = False, 0
        for message in change.messages:
            s.emit(self.step, ev.Warned(message=message))

    def _checkpoint(self) -> None:
        if self._saved_at == self.step:
            return
        s = self.s
        began = time.monotonic()
        s.ranks.check_equal(s.optimizer.parameters(), self.step)
        streams = s.ranks.gather(rng_tensors(s.device))
        if s.ranks.is_first:
            self._write_checkpoint(streams, began)
        self._saved_at = self.step
        self._since = time.monotonic()

    def _write_checkpoint(self, streams: list[dict[str, Tensor]], began: float) -> None:
        s = self.s
        tensors: dict[str, dict[str, Tensor]] = {
            "model": s.model_tensors(),
            "optimizer": s.optimizer.tensors(),
            "forms": s.form_tensors(),
        }
        for rank, stream in enumerate(streams):
            tensors[rng_name(rank)] = stream
        if s.sampler is not None:
            tensors["comparison"] = s.sampler.comparison.state_dict()
        state = {
            "step": self.step,
            "phases": [[p.group, p.step, p.why] for p in s.phases.changes],
            "board": self.board.to_dict(),
            "counters": vars(self.counters),
            "rng": rng_json(),
            "ended_early": self._ended_early,
            "fingerprint": s.fingerprint,
        }
        path, size = checkpoints.save(s.paths.checkpoints, self.step, tensors, state)
        checkpoints.prune(s.paths.checkpoints, s.config.output.keep_checkpoints)
        s.prune_best(self.counters.best_step)
        s.emit(
            self.step,
            ev.CheckpointSaved(
                path=str(path.relative_to(s.paths.root)),
                bytes=size,
                seconds=time.monotonic() - began,
            ),
        )

    # Requests and reports -----------------------------------------------------------------------

    def _obey_requests(self) -> None:
        paused = False
        while True:
            for request in self.s.ranks.from_first(self._new_requests()):
                if request.kind == STOP_EVENT:
                    raise StopTraining(self.s.stop_reason, save=True)
                if request.kind == "pause" and not paused:
                    paused = True
                    self.s.emit(self.step, ev.Paused())
                elif request.kind == "resume" and paused:
                    paused = False
                    self.s.emit(self.step, ev.Resumed())
                elif request.kind == "stop":
                    raise StopTraining("stopped on request, without saving", save=False)
                elif request.kind == "stop_and_save":
                    raise StopTraining("stopped on request", save=True)
                elif request.kind == "evaluate" and self._evaluated_at != self.step:
                    self._evaluate()
                elif request.kind == "checkpoint":
                    self._checkpoint()
                elif request.kind == "switch":
                    self._switch_by_hand(str(request.args.get("group", "")))
            if not paused:
                return
            time.sleep(CONTROL_POLL_SECONDS)
            self._since = time.monotonic()

    def _new_requests(self) -> list[Request]:
        """Requests since the last poll; only rank 0 reads them."""
        if not self.s.ranks.is_first:
            return []
        if self.s.stop_event.is_set():
            return [Request(STOP_EVENT)]
        now = time.monotonic()
        if now - self._last_poll < CONTROL_POLL_SECONDS:
            return []
        self._last_poll = now
        return self.s.take_requests()

    def _switch_by_hand(self, group: str) -> None:
        if group in self.s.phases.in_fft():
            self._switch({group: "hand: asked for by the user"})
        else:
            choices = ", ".join(self.s.phases.in_fft()) or "none is left in FFT"
            message = f"cannot switch {group!r}: not a group in FFT"
            self.s.emit(self.step, ev.Warned(message=message, hint=f"groups in FFT: {choices}"))

    def _report_progress(self, factor: float) -> None:
        s = self.s
        now = time.monotonic()
        if not s.ranks.is_first:
            self._losses.clear()
            return
        first_or_last = self.step in (s.start_step + 1, s.plan.total_steps)
        if now - self._since < s.config.output.progress_every_seconds and not first_or_last:
            return
        elapsed = max(now - self._since, 1e-9)
        count = len(self._losses)
        mean_loss = float(torch.stack(self._losses).mean())
        s.emit(
            self.step,
            ev.Progress(
                epoch=self._epoch(),
                loss=mean_loss,
                learning_rate=s.config.training.learning_rate * factor,
                gradient_norm=None if self._norm is None else float(self._norm),
                examples_per_second=self._examples / elapsed,
                seconds_per_step=self._train_seconds / count,
            ),
        )
        self._losses, self._examples, self._train_seconds = [], 0, 0.0
        self._since = now
        if now - self._last_resources >= RESOURCE_SECONDS:
            self._last_resources = now
            s.emit(self.step, self._probe.read())

    def _epoch(self) -> float:
        return self.step / self.s.plan.steps_per_epoch
