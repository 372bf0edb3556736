"""First half of gpu.py: whether a GPU does what a CPU does, killed or not, and does not wait."""

from __future__ import annotations

import signal
import time
import warnings
from collections import Counter

import throughput
import torch
from gpu_bench import Bench, events, table
from kill_and_resume import facts, worker

from calisr_engine.methods.catalog import METHODS
from calisr_engine.process.execute import execute
from calisr_engine.training.loop import TrainingLoop


def decisions(bench: Bench) -> str:
    """Each method that can be calibrated: hits and switches on the CPU and on the device."""
    rows = []
    for method in [name for name, each in METHODS.items() if not each.calibration_refused]:
        stories = []
        for device in ("cpu", bench.device):
            run = bench.run(
                f"method.name={method}",
                f"training.device={device}",
                "training.precision=fp32",
                "training.dropout=0",
                f"training.max_steps={10 * bench.size.windows}",
                "training.learning_rate=1e-4",
                "calibration.variant=S",
                "calibration.decide_every_steps=10",
            )
            assert execute(run, raise_errors=True) == 0
            hits = [
                f"{each['step']} {name} {group['hit']:g}"
                for each in events(run, "stable_rank_sampled")
                for name, group in each["groups"].items()
            ]
            switches = [(each["group"], each["step"]) for each in events(run, "group_switched")]
            stories.append((hits, switches, events(run, "evaluated")[-1]["loss"]))
        (here, switched, loss), (there, switched_there, loss_there) = stories
        same = sum(a == b for a, b in zip(here, there, strict=False))
        rows.append(
            f"{method} | {same} of {max(len(here), len(there))} | {len(switched)} | "
            f"{'yes' if switched == switched_there else 'NO'} | {abs(loss - loss_there):.1e}"
        )
    return (
        f"{bench.size.small[0]} layers of {bench.size.small[1]}, fp32 without dropout, "
        f"{bench.size.windows} windows of 10 steps. ChildTuning-F draws its masks on the "
        "device, so after a switch it trains other entries there.\n\n"
        + table("method | equal hits | switches | same switches | difference of the loss", rows)
    )


def killed(bench: Bench) -> str:
    """SIGKILL after a checkpoint, resume, and compare with an undisturbed run."""
    rows = []
    for method in bench.size.killed:
        sets = (
            f"method.name={method}",
            "training.max_steps=40",
            "training.learning_rate=1e-4",
            "calibration.variant=S",
            "calibration.decide_every_steps=10",
            "output.checkpoint_every_steps=5",
            "output.keep_checkpoints=2",
        )
        calm, disturbed = bench.run(*sets), bench.run(*sets)
        assert worker(calm).wait() == 0
        process = worker(disturbed)
        while process.poll() is None and not (disturbed / "checkpoints/step-15").is_dir():
            time.sleep(0.02)
        alive = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert worker(disturbed).wait() == 0
        first, second = facts(calm), facts(disturbed)
        equal = all(torch.equal(t, second["weights"][n]) for n, t in first["weights"].items())
        switches = [
            [(e["group"], e["step"]) for e in each["story"] if e["type"] == "group_switched"]
            for each in (first, second)
        ]
        rows.append(
            f"{method} | {'yes' if alive else 'no, it was done'} | {'yes' if equal else 'no'} | "
            f"{'yes' if switches[0] == switches[1] else 'NO'} | "
            f"{'yes' if first['story'] == second['story'] else 'no'}"
        )
    return table("method | killed | same bits | same switches | same samples and metrics", rows)


SYNCHRONISING = "synchronizing CUDA operation"
"""What torch calls it in its warning."""


def waiting(bench: Bench) -> str:
    """Operations of ordinary steps for which the host waited, as torch's CUDA calls tell them.

    Each run has one more, put there to see that it is counted. On a CPU that is all there can be.
    """
    rows = []
    for method, each in METHODS.items():

        def listen(loop: TrainingLoop) -> None:
            # From the third step to the last but two nothing is reported, sampled or evaluated.
            if loop.step == 10:
                wait(bench, loop)
            if bench.on_gpu:
                ordinary = 2 <= loop.step < 18
                torch.cuda.set_sync_debug_mode("warn" if ordinary else "default")

        light = "" if each.calibration_refused else "schedule.switch_at=0.0"
        sets = [throughput.PLAIN, f"method.name={method}", "training.max_steps=20"]
        sets += ["output.progress_every_seconds=1000", *([light] if light else [])]
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                throughput.ours(
                    bench.sets(bench.small, "MRPC", *sets), bench.root / "runs", each_step=listen
                )
            finally:
                if bench.on_gpu:
                    torch.cuda.set_sync_debug_mode("default")
        waits = [each for each in said if SYNCHRONISING in str(each.message)]
        others = [each for each in waits if each.filename != __file__]
        places = Counter(f"{each.filename}:{each.lineno}" for each in others)
        where = ", ".join(f"{place} ({count})" for place, count in places.most_common(3))
        seen = "yes" if len(waits) - len(others) == 1 else "NO"
        rows.append(f"{method} | {seen} | {len(others)} | {where or '-'}")
    return (
        "16 steps in the light phase"
        + (".\n\n" if bench.on_gpu else "; nothing waits on a CPU.\n\n")
        + table("method | the wait put there is seen | other waits | where", rows)
    )


def wait(bench: Bench, loop: TrainingLoop) -> None:
    """Wait for the GPU; on a CPU say what torch would say."""
    if bench.on_gpu:
        loop.prepared.step.loss.item()
    else:
        warnings.warn(f"called a {SYNCHRONISING}", stacklevel=1)
