"""The training loop, top to bottom.

    all groups start in FFT
    for each optimizer step:
        obey requests (pause, stop, evaluate, checkpoint, switch)
        forward and backward over the micro-batches; dense gradients -> the method's parameters
        one global clip
        at a sampling step: remember the extra; step; compare stable ranks; count hits
        otherwise: step
        the regulariser acts on the new weights
        at the end of a decision window: groups whose score is above delta switch
        evaluate; the method may rework itself by the metric; checkpoint

Everything that happens is written to the event log; nothing here knows who reads it. Several
processes may run this loop together (`ranks.py`).
"""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from calisr_engine.errors import EXIT_STOPPED
from calisr_engine.events.types import (
    ENDED_EARLY,
    CheckpointSaved,
    Paused,
    Resumed,
    Stopped,
    Warned,
)
from calisr_engine.models.components import head_parameters
from calisr_engine.training.build import PreparedRun
from calisr_engine.training.requests import POLL_SECONDS, STOP_EVENT, Requests, StopTraining

NOTHING_MOVED = (
    "no weight of the head has moved: nothing was trained. Its steps are too small for 32-bit "
    "weights (training.learning_rate, training.max_grad_norm, training.adam_epsilon), or its "
    "gradient is 0"
)


class TrainingLoop:
    """One run from its present step to its end.

    Attributes:
        step: optimizer steps done.
    """

    def __init__(self, run: PreparedRun) -> None:
        self.prepared = run
        self.plan = run.plan
        self.step = run.start_step
        self._requests = Requests(run.context, run.step.stop)

    def run(self) -> int:
        """Returns the exit status: 0 at the end of the run, 75 when it was stopped before."""
        run, plan = self.prepared, self.plan
        calibrator, evaluation = run.calibrator, run.evaluation
        run.model.train()
        run.reporter.begin()
        head = _matrices_of_head(run.model)
        if self.step == 0:
            calibrator.switch_on_schedule(0)
        try:
            while self.step < plan.total_steps and not evaluation.score.ended_early:
                self._obey_requests()
                self.step += 1
                with run.context.stream.turn():
                    self._train_step()
                calibrator.close_window(self.step)
                calibrator.switch_on_schedule(self.step)
                if plan.is_evaluation(self.step):
                    self._evaluate()
                    self._rework()
                if plan.is_checkpoint(self.step):
                    self._checkpoint()
        except StopTraining as stop:
            if stop.save:
                self._checkpoint()
            saved = run.checkpoints.saved_at == self.step
            run.context.emit(self.step, Stopped(reason=stop.reason, saved=saved))
            return EXIT_STOPPED
        if evaluation.score.evaluated_at != self.step:
            self._evaluate()
        self._checkpoint()
        if self.step > run.start_step and _same(head, _matrices_of_head(run.model)):
            run.context.emit(self.step, Warned(message=NOTHING_MOVED))
        return 0

    def _train_step(self) -> None:
        run, step = self.prepared, self.prepared.step
        calibrator, phases = run.calibrator, run.calibrator.phases
        began, sampling = time.monotonic(), calibrator.measured.seconds
        phase = phases.of_run()
        calibrator.begin_step(self.step)
        step.gradients(self.step)
        if self._is_looked_at():
            step.settle()
        calibrator.remember(self.step)
        if step.apply(self.step):
            phases.count()
        calibrator.sample(self.step)
        step.finish(self.step)
        seconds = time.monotonic() - began - (calibrator.measured.seconds - sampling)
        run.reporter.step_done(self.step, step, phase, phases.counted, seconds)

    def _is_looked_at(self) -> bool:
        """Whether weights or figures of this step are read; nobody reads those of a bad one."""
        run, plan, step = self.prepared, self.plan, self.step
        looks = (plan.is_evaluation, plan.is_checkpoint, run.calibrator.looks)
        return any(at(step) for at in looks) or run.reporter.is_due(step, time.monotonic())

    def _evaluate(self, planned: bool = True) -> None:
        with self.prepared.reporter.aside():
            self.prepared.evaluation.run(self.step, planned)

    def _rework(self) -> None:
        """Let the method change itself by the metric (MPOP's dimension squeezing)."""
        run, score = self.prepared, self.prepared.evaluation.score
        hook = run.attachment.after_evaluation
        if hook is None or score.ended_early or self.step >= self.plan.total_steps:
            return
        assert score.last is not None
        change = hook(self.step, score.last)
        if change is None:
            return
        if change.fresh:
            run.optimizer.forget(change.fresh)
            run.calibrator.phases.count()
            score.begin_anew()
        for message in change.messages:
            run.context.emit(self.step, Warned(message=message))

    def _checkpoint(self) -> None:
        run = self.prepared
        began = time.monotonic()
        with run.reporter.aside(), run.context.stream.turn():
            saved = run.checkpoints.save(run.stateful, self.step)
        if saved is not None:
            path, size = saved
            seconds = time.monotonic() - began
            run.context.emit(self.step, CheckpointSaved(path=path, bytes=size, seconds=seconds))

    def _obey_requests(self) -> None:
        run = self.prepared
        paused = False
        while True:
            for request in self._requests.new():
                run.step.settle()
                if request.kind == STOP_EVENT:
                    raise StopTraining("stopped on request", save=True)
                if request.kind == "pause" and not paused:
                    paused = True
                    run.context.emit(self.step, Paused())
                elif request.kind == "resume" and paused:
                    paused = False
                    run.context.emit(self.step, Resumed())
                elif request.kind == "stop":
                    raise StopTraining("stopped on request, without saving", save=False)
                elif request.kind == "stop_and_save":
                    raise StopTraining("stopped on request", save=True)
                elif request.kind == "end_early":
                    raise StopTraining(ENDED_EARLY, save=True)
                elif request.kind == "evaluate":
                    if run.evaluation.score.evaluated_at != self.step:
                        self._evaluate(planned=False)
                        run.checkpoints.outdated()
                elif request.kind == "checkpoint":
                    self._checkpoint()
                elif request.kind == "switch":
                    run.calibrator.switch_by_hand(str(request.args.get("group", "")), self.step)
                    run.checkpoints.outdated()
            if not paused:
                return
            with run.reporter.aside():
                time.sleep(POLL_SECONDS)


def _matrices_of_head(model: nn.Module) -> list[Tensor]:
    """Copies; whatever the method, the head trains from the first step to the last."""
    return [each.detach().clone() for each in head_parameters(model) if each.dim() > 1]


def _same(before: list[Tensor], after: list[Tensor]) -> bool:
    return bool(before) and all(map(torch.equal, before, after))
