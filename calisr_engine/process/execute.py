"""A run directory from its present state to its end: prepare, train, export, say how it went."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import traceback
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from calisr_engine.config.load import from_resolved
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import EXIT_STOPPED, CalisrError, RunFailedError
from calisr_engine.events import types as ev
from calisr_engine.events.log import EventWriter, last_attempt
from calisr_engine.results import finish
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_engine.trackers.follow import following
from calisr_engine.training.device import choose_device
from calisr_engine.training.loop import TrainingLoop
from calisr_engine.training.ranks import Place, Ranks, SilentWriter
from calisr_engine.training.session import Session, environment, prepare, write_json


def execute(
    run_dir: Path,
    stop_event: threading.Event | None = None,
    raise_errors: bool = False,
    place: Place | None = None,
) -> int:
    """Train the run in `run_dir` until it ends or is stopped.

    A run that has checkpoints goes on from the newest that verifies. Errors are written to the log
    as a `failed` event; the exit status follows the error's type.

    Args:
        stop_event: set it to stop and save at the next step.
        raise_errors: raise instead of returning an exit status (for tests).
        place: which of several processes this is that train the run together; none is alone. Rank
            0 alone holds the lock and writes; the others raise their errors.

    Returns:
        0 done, 75 stopped and resumable, else the error's exit code.

    Raises:
        LockedError: another process trains in this directory.
    """
    paths = RunPaths(run_dir)
    ranks = Ranks(place)
    stop_event = stop_event or threading.Event()
    if not ranks.is_first:
        return _run(paths, SilentWriter(paths.events), stop_event, ranks)
    with RunLock(paths):
        attempt = last_attempt(paths.events) + 1
        with EventWriter(paths.events, attempt) as writer:
            try:
                return _run(paths, writer, stop_event, ranks)
            except Exception as error:
                failure = _explain(error)
                step = writer.last_step
                with contextlib.suppress(CalisrError, OSError):  # a full disk takes no more lines
                    writer.write(
                        step,
                        ev.Failed(
                            message=failure.message,
                            hint=failure.hint,
                            traceback=traceback.format_exc(),
                        ),
                    )
                if raise_errors:
                    raise
                return failure.exit_code


def _run(paths: RunPaths, writer: EventWriter, stop_event: threading.Event, ranks: Ranks) -> int:
    config = from_resolved(paths.config)
    device = choose_device(ranks.device_name(config.training.device))
    with ranks.joined(device):
        writer.attempt = ranks.from_first(writer.attempt)
        return _train(config, paths, writer, stop_event, ranks)


def _train(
    config: RunConfig,
    paths: RunPaths,
    writer: EventWriter,
    stop_event: threading.Event,
    ranks: Ranks,
) -> int:
    started = time.monotonic()
    session = prepare(config, paths, writer, resume=writer.attempt > 1, ranks=ranks)
    session.stop_event = stop_event
    if ranks.is_first:
        write_json(paths.environment, environment(session))
    followed: AbstractContextManager[None] = contextlib.nullcontext()
    if ranks.is_first:
        resumed_from = session.start_step if writer.attempt > 1 else None
        followed = following(config, paths, writer, resumed_from)
    with followed:
        _announce(session)
        if session.switch_step == 0 and not session.phases.changes:
            for group in session.phases.in_fft():
                _switch_at_start(session, group)
        loop = TrainingLoop(session)
        status = _loop(loop)
        if status == EXIT_STOPPED or not ranks.is_first:
            return status
        summary = finish.finish(session, loop)
    summary["wall_seconds"] = loop.counters.wall_seconds
    summary["seconds_this_attempt"] = time.monotonic() - started
    writer.write(loop.step, ev.Completed(summary=summary))
    return 0


def _loop(loop: TrainingLoop) -> int:
    # What is there now lives as long as the run. Sweeps for garbage (one at each switch) would
    # look at all of it again and again, and hold up every other thread, such as the screen's.
    gc.freeze()
    try:
        return loop.run()
    finally:
        gc.unfreeze()


def _switch_at_start(session: Session, group: str) -> None:
    result = session.phases.switch(group, 0, "plain", session.optimizer)
    session.board = session.board.switched(group)
    session.trainable = result.trainable
    session.emit(
        0,
        ev.GroupSwitched(
            epoch=0.0,
            group=group,
            cause="schedule",
            why="schedule: the light method from the first step",
            trainable_before=result.trainable_before,
            trainable=result.trainable,
            total=session.total_parameters,
        ),
    )


def _announce(session: Session) -> None:
    config, plan = session.config, session.plan
    phases = session.phases
    session.emit(
        session.start_step,
        ev.RunStarted(
            groups=tuple(phases.groups),
            phases={group: phases.phase(group) for group in phases.groups},
            total_steps=plan.total_steps,
            steps_per_epoch=plan.steps_per_epoch,
            epochs=config.training.epochs,
            trainable=session.trainable,
            total=session.total_parameters,
            trainable_lft=phases.trainable_when_complete() if phases.groups else None,
            train_examples=session.batches.train_count,
            validation_examples=session.batches.validation_count,
            metric=session.metric,
            device=_device_words(session),
            precision=session.precision,
            decision_steps=plan.decision_steps() if session.sampler is not None else (),
            model_summary=session.loaded.description,
            resumed_from=session.start_step if session.writer.attempt > 1 else None,
        ),
    )
    for skipped in session.skipped_checkpoints:
        session.emit(
            session.start_step,
            ev.Warned(message=f"a damaged checkpoint was skipped: {skipped}"),
        )
    if session.start_step == 0:
        for note in [*session.data.notes, *session.batches.notes]:
            session.emit(0, ev.Warned(message=note))


def _device_words(session: Session) -> str:
    size = session.ranks.size
    return str(session.device) if size == 1 else f"{size} x {session.device.type}"


def _explain(error: Exception) -> CalisrError:
    """The user's version of any exception."""
    if isinstance(error, CalisrError):
        return error
    if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error).lower():
        return RunFailedError(
            "memory ran out",
            "lower training.batch_size and raise training.accumulate by the same factor; "
            "then `calisr resume` or start anew",
        )
    detail: Any = str(error).strip().splitlines()
    return RunFailedError(
        f"unexpected {type(error).__name__}: {detail[0] if detail else 'no message'}",
        "this is a bug or a broken installation; the traceback is in the log",
    )
