"""A run directory from its present state to its end: prepare, train, export, say how it went."""

from __future__ import annotations

import contextlib
import gc
import json
import math
import threading
import time
import traceback
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from calisr_engine.config.load import from_resolved
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import EXIT_STOPPED, StorageError, explain
from calisr_engine.events.log import EventWriter, last_attempt
from calisr_engine.events.types import Completed, Failed, Noted, RunStarted, Warned
from calisr_engine.process.environment import environment
from calisr_engine.results import finish
from calisr_engine.runs.changes import check_as_recorded
from calisr_engine.runs.control import forget_requests
from calisr_engine.runs.create import run_created
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_engine.storage.whole import sweep, write_text
from calisr_engine.tasks.data import TaskData
from calisr_engine.trackers.follow import following
from calisr_engine.training import checkpoint
from calisr_engine.training.build import PreparedRun, prepare
from calisr_engine.training.context import RunContext
from calisr_engine.training.device import choose_device, precision_notes
from calisr_engine.training.loop import TrainingLoop
from calisr_engine.training.ranks import Place, Ranks, SilentWriter
from calisr_engine.training.schedule import without_effect


def execute(
    run_dir: Path,
    stop_event: threading.Event | None = None,
    raise_errors: bool = False,
    place: Place | None = None,
    since: float | None = None,
    data: TaskData | None = None,
) -> int:
    """Train the run in `run_dir` until it ends or is stopped.

    A run that has checkpoints goes on from the newest that verifies. Errors are written to the log
    as a `failed` event; the exit status follows the error's type.

    Args:
        stop_event: set it to stop and save at the next step.
        raise_errors: raise instead of returning an exit status (for tests).
        place: which of several processes this is that train the run together; none is alone. Rank
            0 alone holds the lock and writes; the others raise their errors.
        since: Unix time at which this start was asked for; requests to the run from before that
            were meant for an earlier process. None is now.
        data: what the run's settings name, where it was read just before; None reads it.

    Returns:
        0 done, 75 stopped and resumable, else the error's exit code.

    Raises:
        LockedError: another process trains in this directory.
        StorageError: the log cannot be opened.
        CalisrError: what ended the run, where the log took no more lines to say so.
    """
    paths = RunPaths(run_dir)
    ranks = Ranks(place)
    since = time.time() if since is None else since
    stop_event = stop_event or threading.Event()
    if not ranks.is_first:
        return _run(paths, SilentWriter(paths.events), stop_event, ranks, data)
    with RunLock(paths), EventWriter(paths.events, _attempt(paths)) as writer:
        forget_requests(run_dir, since)
        for folder in (paths.root, paths.checkpoints, paths.best, paths.samples, paths.predictions):
            sweep(folder)  # what a killed process left keeps a full disk full
        try:
            return _run(paths, writer, stop_event, ranks, data)
        except Exception as error:
            failure = explain(error)
            said = Failed(
                message=failure.message,
                hint=failure.hint,
                traceback=traceback.format_exc(),
                keys=tuple(failure.keys),
            )
            try:
                writer.write(writer.last_step, said)
            except StorageError:  # so the caller must say it
                if not raise_errors:
                    raise failure from error
            if raise_errors:
                raise
            return failure.exit_code


def _attempt(paths: RunPaths) -> int:
    """1 for the first process that trains a run. Checkpoints are of an earlier one, whatever became
    of the log: a lost log never makes a run start anew."""
    began = 1 if checkpoint.steps(paths.checkpoints) else 0
    return max(last_attempt(paths.events), began) + 1


def _run(
    paths: RunPaths,
    writer: EventWriter,
    stop_event: threading.Event,
    ranks: Ranks,
    data: TaskData | None,
) -> int:
    config = from_resolved(paths.config)
    if ranks.is_first:
        check_as_recorded(paths, config)
    if writer.is_empty:
        _begin_log(config, paths, writer)
    device = choose_device(ranks.device_name(config.training.device))
    threads = torch.get_num_threads()
    try:
        with ranks.joined(device):
            writer.attempt = ranks.from_first(writer.attempt)
            return _train(config, paths, writer, stop_event, ranks, data)
    finally:
        torch.set_num_threads(threads)  # the next run of this process has settings of its own


def _train(
    config: RunConfig,
    paths: RunPaths,
    writer: EventWriter,
    stop_event: threading.Event,
    ranks: Ranks,
    data: TaskData | None,
) -> int:
    started = time.monotonic()
    run = prepare(config, paths, writer, resume=writer.attempt > 1, ranks=ranks, data=data)
    run.step.stop = stop_event
    resumed_from = run.start_step if writer.attempt > 1 else None
    followed: AbstractContextManager[None] = contextlib.nullcontext()
    if ranks.is_first:
        facts = json.dumps(environment(run), indent=1, sort_keys=True) + "\n"
        write_text(paths.environment, facts, "the run's environment")
        followed = following(config, paths, writer, resumed_from)
    with followed:
        _announce(run, resumed_from)
        loop = TrainingLoop(run)
        status = _loop(loop)
        if status == EXIT_STOPPED or not ranks.is_first:
            return status
        summary = finish.finish(run, loop.step)
    summary["wall_seconds"] = run.reporter.tally.wall_seconds
    summary["seconds_this_attempt"] = time.monotonic() - started
    writer.write(loop.step, Completed(summary=summary))
    return 0


def _begin_log(config: RunConfig, paths: RunPaths, writer: EventWriter) -> None:
    """The first line of a log that was lost."""
    writer.write(0, run_created(paths.root.name, config))
    if writer.attempt > 1:
        writer.write(
            0,
            Warned(
                message="the log of this run was lost; it goes on from its checkpoints",
                hint="curves and decisions before that are missing here",
            ),
        )


def _loop(loop: TrainingLoop) -> int:
    # What is there now lives as long as the run. Sweeps for garbage (one at each switch) would
    # look at all of it again and again, and hold up every other thread, such as the screen's.
    gc.freeze()
    try:
        return loop.run()
    finally:
        gc.unfreeze()


def _announce(run: PreparedRun, resumed_from: int | None) -> None:
    context, plan, phases = run.context, run.plan, run.calibrator.phases
    context.emit(
        run.start_step,
        RunStarted(
            groups=tuple(phases.groups),
            phases={group: phases.phase(group) for group in phases.groups},
            total_steps=plan.total_steps,
            steps_per_epoch=plan.steps_per_epoch,
            epochs=math.ceil(plan.total_steps / plan.steps_per_epoch),
            trainable=phases.counted,
            total=run.total_parameters,
            trainable_lft=phases.trainable_when_complete() if phases.groups else None,
            train_examples=run.batches.train_count,
            validation_examples=run.batches.validation_count,
            metric=run.data.metric,
            device=_device_words(context),
            precision=context.precision,
            decision_steps=plan.decision_steps() if context.config.calibration.decides else (),
            model_summary=run.loaded.description,
            resumed_from=resumed_from,
        ),
    )
    notes = [f"a damaged checkpoint was skipped: {skipped}" for skipped in run.skipped]
    notes += precision_notes(context.device, context.precision)
    if run.start_step == 0:
        notes += [*run.loaded.notes, *run.attachment.notes, *run.data.notes, *run.batches.notes]
        notes += without_effect(context.config, plan, run.batches.train_count)
        for fact in run.attachment.facts:
            context.emit(0, Noted(message=fact))
    for note in notes:
        context.emit(run.start_step, Warned(message=note))


def _device_words(context: RunContext) -> str:
    size = context.ranks.size
    return str(context.device) if size == 1 else f"{size} x {context.device.type}"
