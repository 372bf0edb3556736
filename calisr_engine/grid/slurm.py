"""A grid's runs as SLURM jobs, submitted through submitit; run directories on shared storage.

A job that is preempted, or whose time is over, saves, goes back into the queue and goes on from
there. Jobs live on without the process that submitted them; the next one finds them again by the
job id in `RUN/slurm/`, where their output is, too.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calisr_engine.errors import ConfigError, UnavailableError
from calisr_engine.grid.executors import Ending, ending
from calisr_engine.grid.on_node import begin_on_node
from calisr_engine.plain_words import quoted
from calisr_engine.runs import control
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked
from calisr_engine.storage.plain import read_json
from calisr_engine.storage.whole import write_text

QUEUE_SECONDS = 10.0
"""How often the queue is asked which jobs are left."""

GONE_SECONDS = 30.0
"""How long a job may be missing in the queue before it counts as lost (file systems lag)."""

SAVE_SECONDS = 120
"""How long before its end a job is warned."""

OURS = ("array", "error", "job-name", "open-mode", "output", "requeue", "signal", "wait", "wrap")
"""Options of sbatch on which taking up a saved run and finding its job depend."""

CLOSE_SECONDS = 60.0
REQUEUES = 1000
POLL_SECONDS = 0.5
LARGEST_RECORD = 1 << 16


@dataclass(frozen=True)
class JobNeeds:
    """What each job asks for; None leaves it to the cluster.

    Attributes:
        minutes: time of a job; a run may take several.
        threads: CPU cores, and threads of the run.
        sbatch: other options of sbatch, by their long names.
    """

    minutes: int = 24 * 60
    partition: str | None = None
    gpus: int = 0
    threads: int = 1
    memory_gb: float | None = None
    sbatch: Mapping[str, str] = field(default_factory=dict)


class SlurmExecutor:
    """Runs as SLURM jobs.

    Args:
        at_once: how many jobs are queued or run at a time.
        cluster: "slurm", or "local" for processes of this machine in the same wrapping.

    Raises:
        UnavailableError: submitit or SLURM is not installed.
        ConfigError: an option cannot stand in a script of sbatch.
    """

    def __init__(self, needs: JobNeeds, at_once: int = 200, cluster: str = "slurm") -> None:
        try:
            import submitit
        except ImportError as error:
            raise UnavailableError(
                "--slurm needs submitit", "install it with: pip install 'calisr[slurm]'"
            ) from error
        if cluster == "slurm" and not all(map(shutil.which, ("sbatch", "srun", "squeue"))):
            raise UnavailableError(
                "--slurm: there is no SLURM on this machine (sbatch, srun and squeue are needed)",
                "call it on a login node of the cluster",
            )
        _check_options(needs)
        self._submitit: Any = submitit
        self._needs, self._at_once, self._cluster = needs, at_once, cluster
        self._running: dict[Path, Any] = {}
        self._cancelled: set[Path] = set()
        self._missing: dict[Path, float] = {}
        self._asked = 0.0

    def free(self) -> int:
        return max(0, self._at_once - len(self._running))

    def submit(self, run_dir: Path) -> None:
        """Queue the run; a job of it that is still there is taken up instead.

        Raises:
            ConfigError: sbatch refuses the job.
        """
        place = run_dir.resolve()
        self._running[run_dir] = self._found(place) or self._queued(place)

    def finished(self) -> list[tuple[Path, Ending]]:
        """Runs that ended since the last call, and how."""
        self._look_at_queue()
        ended = []
        for run_dir, job in list(self._running.items()):
            how = self._ending(run_dir, job)
            if how is not None:
                del self._running[run_dir]
                self._missing.pop(run_dir, None)
                ended.append((run_dir, how))
        return ended

    def stop(self) -> None:
        """Ask running runs to stop and save; take those that wait out of the queue."""
        for run_dir, job in self._running.items():
            if is_locked(RunPaths(run_dir)):
                control.request(run_dir, "stop_and_save")
            else:
                job.cancel(check=False)
                self._cancelled.add(run_dir)

    def close(self) -> None:
        """Wait up to a minute for runs that were asked to stop; jobs end without us, too."""
        deadline = time.monotonic() + CLOSE_SECONDS
        while self._running and time.monotonic() < deadline:
            self.finished()
            time.sleep(POLL_SECONDS)

    def _queued(self, run_dir: Path) -> Any:
        folder = run_dir / "slurm"
        _check_folder(folder)
        needs = self._needs
        options: dict[str, Any] = {
            "name": f"calisr-{run_dir.name}",
            "timeout_min": needs.minutes,
            "cpus_per_task": needs.threads,
            "slurm_signal_delay_s": SAVE_SECONDS,
            "slurm_additional_parameters": {"requeue": True, **needs.sbatch},
        }
        if needs.partition:
            options["slurm_partition"] = needs.partition
        if needs.gpus:
            options["gpus_per_node"] = needs.gpus
        if needs.memory_gb:
            options["mem_gb"] = needs.memory_gb
        executor = self._submitit.AutoExecutor(
            folder, cluster=self._cluster, slurm_max_num_timeout=REQUEUES
        )
        executor.update_parameters(**options)
        try:
            job = executor.submit(TrainingJob(str(run_dir), needs.threads))
        except self._submitit.core.utils.FailedJobError as error:
            raise ConfigError(f"sbatch refused the job: {_last_line(str(error))}") from error
        facts = {"id": job.job_id, "cluster": self._cluster}
        write_text(folder / "job.json", json.dumps(facts), "the id of the job")
        return job

    def _found(self, run_dir: Path) -> Any:
        """The run's job of an earlier call, if it is still in the queue."""
        job_id = job_of(run_dir) if self._cluster == "slurm" else None
        if job_id is None or job_id not in (queue() or ()):
            return None
        job = self._submitit.SlurmJob(run_dir / "slurm", job_id)
        # Where SLURM itself put a stopped job back into the queue, this is the end before that.
        job.paths.result_pickle.unlink(missing_ok=True)
        return job

    def _look_at_queue(self) -> None:
        now = time.monotonic()
        if now - self._asked < QUEUE_SECONDS or not self._running:
            return
        self._asked = now
        if self._cluster == "slurm":
            left = queue()
        else:
            left = {job.job_id for job in self._running.values() if not job.done()}
        if left is None:  # SLURM does not answer just now
            return
        for run_dir, job in self._running.items():
            if job.job_id in left:
                self._missing.pop(run_dir, None)
            else:
                self._missing.setdefault(run_dir, now)

    def _ending(self, run_dir: Path, job: Any) -> Ending | None:
        """How the job ended, or None while it is queued or runs."""
        lost = Ending.STOPPED if run_dir in self._cancelled else Ending.LOST
        with contextlib.suppress(OSError):  # listing a folder makes NFS look again
            os.listdir(job.paths.folder)
        if job.paths.result_pickle.exists():
            try:
                return ending(int(job.result()))
            except Exception:  # whatever ended the job, the run itself can go on
                return lost
        since = self._missing.get(run_dir)
        if since is None:
            return None
        gone = time.monotonic() - since > GONE_SECONDS
        return lost if gone or lost is Ending.STOPPED else None


def _check_options(needs: JobNeeds) -> None:
    """Refuse what would end an `#SBATCH` line and begin a line of the script."""
    for key, value in {"partition": needs.partition or "", **needs.sbatch}.items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", key):
            raise ConfigError(
                f"--sbatch {quoted(key)}: not the name of an option",
                "write the long name of one of sbatch's options, without dashes before it",
            )
        if key.replace("_", "-") in OURS:
            raise ConfigError(f"--sbatch {key}: calisr sets this itself", "leave it out")
        if not value.isprintable():
            raise ConfigError(
                f"--sbatch {key}: {quoted(value)} holds a control character", "write it on one line"
            )


def _check_folder(folder: Path) -> None:
    """Refuse a path that sbatch would change: it fills in patterns such as %j."""
    text = str(folder)
    if "%" in text or not text.isprintable():
        raise ConfigError(
            f"--slurm: sbatch cannot write to {quoted(text, 200)}",
            "choose an --output-dir whose path has no % and no control characters",
        )


class TrainingJob:
    """One run, as submitit calls it in a job; `checkpoint` is called when the job must end."""

    def __init__(self, run_dir: str, threads: int) -> None:
        self.run_dir, self.threads = run_dir, threads
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        """Train to the end; returns the worker's exit status (below 0: a signal killed it)."""
        begun = begin_on_node(RunPaths(Path(self.run_dir)), self.threads)
        if isinstance(begun, int):
            return begun
        self._process = begun
        # Not wait(): `checkpoint` interrupts this, and may not find a lock of Popen held.
        while (status := begun.poll()) is None:
            time.sleep(POLL_SECONDS)
        return status

    def checkpoint(self) -> Any:
        """Stop and save; returns what the job does when it is back from the queue."""
        import submitit

        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, 15)
            deadline = time.monotonic() + SAVE_SECONDS
            while is_locked(RunPaths(Path(self.run_dir))) and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
        return submitit.helpers.DelayedSubmission(TrainingJob(self.run_dir, self.threads))


def job_of(run_dir: Path) -> str | None:
    """Id of the job that was submitted last for a run; None if none was."""
    try:
        known = read_json(run_dir / "slurm" / "job.json", LARGEST_RECORD)
        return str(known["id"]) if known["cluster"] == "slurm" else None
    except (OSError, ValueError, KeyError):
        return None


def take_back(run_dirs: Iterable[Path]) -> int:
    """Take the jobs of runs that have not begun out of the queue; returns how many."""
    jobs = {job_id for run_dir in run_dirs if (job_id := job_of(run_dir)) is not None}
    waiting = jobs & (queue() or set()) if jobs else set()
    if waiting:
        with contextlib.suppress(OSError):
            subprocess.run(["scancel", *sorted(waiting)], check=False)
    return len(waiting)


def queue() -> set[str] | None:
    """Ids of this user's jobs that wait or run; None if SLURM does not answer."""
    command = ["squeue", "--noheader", "--format=%i", f"--user={getpass.getuser()}"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return set(answer.stdout.split())


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line for line in lines if "error" in line.lower()]
    return (said or lines or ["no reason given"])[-1].removeprefix("sbatch: error: ")
