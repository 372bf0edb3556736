"""What whole small runs must reproduce: `python -m tests.training.golden FILE.json` records it.

Every method plain, scheduled, calibrated, stopped and resumed, killed and resumed, with a tiny
random BERT on the demo task. Kept of each run: hashes of the final, best and exported weights, the
losses to the last bit, every sample, decision, switch and evaluation. A refactor records before and
after on one machine and compares. `golden.json` beside this file, the compact form (`--compact`),
is what the tests hold runs against: to the bit where machine and torch are the same, else to
rounding.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from calisr_engine.errors import EXIT_STOPPED
from calisr_engine.methods.registry import available, get
from calisr_engine.process.execute import execute
from tests.training.interrupt import kill_at, stop_at
from tests.training.tiny_run import make_run, save_model

CALIBRATED = ("calibration.variant=S", "calibration.delta=0.3", "calibration.samples_per_epoch=3")
KEPT = {
    "progress": ("loss", "learning_rate", "gradient_norm", "epoch"),
    "stable_rank_sampled": ("epoch",),
    "srs_evaluated": ("epoch",),
    "group_switched": ("group", "trainable_before", "trainable", "total", "epoch"),
    "evaluated": ("metrics", "value", "best", "best_step", "is_best", "loss"),
    "run_started": ("groups", "phases", "total_steps", "trainable", "trainable_lft", "total"),
}
SAMPLE = ("sr_lft", "sr_fft", "difference", "hit", "hits", "samples", "fallbacks")
DECISION = ("srs", "delta", "hits", "samples", "switch")


def cases() -> dict[str, tuple[tuple[str, ...], str]]:
    """Case -> (settings, how it is interrupted: "", "stop@N" or "kill@N")."""
    found: dict[str, tuple[tuple[str, ...], str]] = {}
    for method in available():
        name = f"method.name={method}"
        found[f"{method}/plain"] = ((name,), "")
        found[f"{method}/plain/killed"] = ((name, "output.checkpoint_every_steps=4"), "kill@9")
        if method == "fft" or get(method).settings_type.calibration_refused:
            continue
        found[f"{method}/scheduled"] = ((name, "schedule.switch_at=0.4"), "")
        for variant in ("S", "D", "S3"):
            sets = (name, f"calibration.variant={variant}", *CALIBRATED[1:])
            found[f"{method}/{variant}"] = (sets, "")
        often = (name, *CALIBRATED, "output.checkpoint_every_steps=4")
        found[f"{method}/S/stopped"] = (often, "stop@10")
        found[f"{method}/S/killed"] = (often, "kill@11")
    vote = ("method.name=lora", *CALIBRATED, "calibration.score=vote")
    found["lora/S/vote"] = (vote, "")
    found["lora/S/log_sum cumulative"] = (
        (*vote[:-1], "calibration.score=log_sum", "calibration.cumulative=true"),
        "kill@11",
    )
    found["lora/S/shadow"] = ((*vote[:-1], "method.parametrisation=shadow"), "kill@11")
    found["mpop/S/at_switch"] = (
        ("method.name=mpop", *CALIBRATED, "method.parametrisation=at_switch"),
        "kill@11",
    )
    found["mpop/S/squeezing"] = (
        ("method.name=mpop", "method.squeeze_gap=0.5", "training.eval_every_steps=2"),
        "kill@9",
    )
    found["mpop/S/embeddings"] = (
        ("method.name=mpop", *CALIBRATED, "method.embeddings=mpo", "method.bond=6"),
        "",
    )
    found["child_tuning_d/S/refresh"] = (
        ("method.name=child_tuning_d", *CALIBRATED, "method.refresh_at_switch=true"),
        "kill@11",
    )
    found["lora/S/accumulate sgd cosine"] = (
        (*vote[:-1], "training.accumulate=2", "training.optimizer=sgd", "training.schedule=cosine"),
        "stop@4",
    )
    return found


def record(case: str, model: Path, folder: Path) -> dict[str, Any]:
    """Train one case and return what is kept of it."""
    sets, interruption = cases()[case]
    keep_head(model)
    name = case.replace("/", "-").replace(" ", "-")
    run = make_run(model, folder, name, "model.head=by_name", *sets)
    if interruption:
        how, _, step = interruption.partition("@")
        if how == "kill":
            kill_at(run, int(step))
        else:
            assert stop_at(run, int(step)) == EXIT_STOPPED
    assert execute(run, raise_errors=True) == 0
    return {
        "weights": digest(newest_checkpoint(run) / "model.safetensors"),
        "best": digest(next(iter((run / "best").glob("step-*"))) / "weights.safetensors"),
        "model": digest(run / "model" / "model.safetensors"),
        "story": list(story(run)),
    }


def keep_head(model: Path) -> None:
    """Name the classes of the tiny model's head as the demo task does: the figures are those of
    runs that began with it."""
    file = model / "config.json"
    config = json.loads(file.read_text())
    config["id2label"] = {"0": "unacceptable", "1": "acceptable"}
    config["label2id"] = {"unacceptable": 0, "acceptable": 1}
    file.write_text(json.dumps(config))


def newest_checkpoint(run: Path) -> Path:
    folders = (run / "checkpoints").glob("step-*")
    return max(folders, key=lambda p: int(p.name.split("-")[1]))


def digest(file: Path) -> str:
    """Hash of names, shapes and bytes, not of the file's header order; "" without the file."""
    if not file.is_file():
        return ""
    total = hashlib.sha256()
    for name, tensor in sorted(load_file(file).items()):
        total.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        total.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:24]


def story(run: Path) -> Iterator[dict[str, Any]]:
    """The figures of the log in order, without times and prose, after what a resume took back."""
    kept: list[dict[str, Any]] = []
    for line in (run / "events.jsonl").read_text().splitlines():
        said = json.loads(line)
        if said["type"] == "run_started" and said["resumed_from"] is not None:
            kept = [each for each in kept if each["step"] <= said["resumed_from"]]
        if said["type"] not in KEPT:
            continue
        figures = {key: said[key] for key in ("type", "step", *KEPT[said["type"]])}
        inner = {"stable_rank_sampled": SAMPLE, "srs_evaluated": DECISION}.get(said["type"])
        if inner is not None:
            figures["groups"] = {
                group: {key: each[key] for key in inner} for group, each in said["groups"].items()
            }
        kept.append(figures)
    yield from kept


def machine() -> dict[str, str]:
    """What bits depend on."""
    wanted = ("model name", "cpu family", "model", "stepping", "cache size")
    facts: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in wanted:
                facts.setdefault(key.strip(), value.strip())
    return {
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "processor": "; ".join(f"{key} {value}" for key, value in sorted(facts.items())),
    }


def record_all(names: list[str]) -> dict[str, Any]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model = save_model(Path("/tmp/calisr-golden-model"))  # its path is in the events' settings
        return {"machine": machine(), "cases": {n: record(n, model, Path(folder)) for n in names}}


def compact(found: dict[str, Any]) -> dict[str, Any]:
    """A record small enough to keep: the story as one hash, and its figures to six digits."""
    cases = {}
    for name, case in found["cases"].items():
        story = case["story"]
        cases[name] = {
            "weights": case["weights"],
            "best": case["best"],
            "model": case["model"],
            "story": hashlib.sha256(json.dumps(story).encode()).hexdigest()[:24],
            "losses": [float(f"{s['loss']:.6g}") for s in story if s["type"] == "progress"],
            "hits": [
                "".join(f"{g['hit']:g}" for g in s["groups"].values())
                for s in story
                if s["type"] == "stable_rank_sampled"
            ],
            "switches": {s["group"]: s["step"] for s in story if s["type"] == "group_switched"},
            "trainable": [s["trainable"] for s in story if s["type"] == "group_switched"],
            "values": [s["value"] for s in story if s["type"] == "evaluated"],
        }
    return {"machine": found["machine"], "cases": cases}


if __name__ == "__main__":
    arguments = [each for each in sys.argv[1:] if each != "--compact"]
    found = record_all(arguments[1:] or list(cases()))
    if "--compact" in sys.argv:
        found = compact(found)
    Path(arguments[0]).write_text(json.dumps(found) + "\n")
