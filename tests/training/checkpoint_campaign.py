"""Damaged checkpoints: what goes on from them ends with the same weights, or is refused by name.

    python -m tests.training.checkpoint_campaign 2000 [SEED]

Each round copies a run that was killed (or one that is complete), damages its checkpoints, best
models or export in one to three ways, and resumes it, exports it or opens its best model.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from calisr_engine.config.load import from_resolved
from calisr_engine.errors import CalisrError
from calisr_engine.process.execute import execute
from calisr_engine.results.best_model import open_best
from calisr_engine.results.export_run import export_run
from calisr_engine.runs import load_view
from calisr_engine.runs.layout import RunPaths
from calisr_engine.storage.plain import read_plain
from tests.training.golden import digest
from tests.training.interrupt import kill_at
from tests.training.tiny_run import make_run, save_model

SETTINGS = (
    "task.max_train_examples=32",
    "training.epochs=4",
    "training.eval_every_steps=2",
    "output.checkpoint_every_steps=2",
    "output.keep_checkpoints=3",
)
METHODS = (
    ("method.name=lora", "calibration.variant=S", "calibration.delta=0.3"),
    ("method.name=mpop", "schedule.switch_at=0.5"),
    ("method.name=child_tuning_d",),
)
KILLED_AT = 7
OF_AN_EARLIER_DAMAGE = (OSError, ValueError, TypeError, KeyError, RecursionError)
HOSTILE_NUMBERS = (-1, 0, 1 << 31, 1 << 63, 10**30, 1e308, float("nan"), float("inf"))

Damage = Callable[[Path, random.Random], None]


# --- any damage: a checksum tells ---


def flip(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def letter(file: Path, rng: random.Random) -> None:
    """One letter of the manifest beside a file."""
    place = file.parent / "manifest.json"
    text = place.read_text() if place.is_file() else ""
    at = rng.randrange(len(text) or 1)
    if text:
        place.write_text(text[:at] + rng.choice('0123456789abcdef{}[]",: x') + text[at + 1 :])


def cut(file: Path, rng: random.Random) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: rng.randrange(len(content) or 1)])


def lengthen(file: Path, rng: random.Random) -> None:
    file.write_bytes(file.read_bytes() + rng.randbytes(rng.choice([1, 8, 4096])))


def zeros(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    at = rng.randrange(len(content) or 1)
    content[at : at + 512] = bytes(len(content[at : at + 512]))
    file.write_bytes(content)


def empty(file: Path, rng: random.Random) -> None:
    file.write_bytes(b"")


def delete(file: Path, rng: random.Random) -> None:
    file.unlink()


def swap(file: Path, rng: random.Random) -> None:
    """With a file of the same name in another folder, or with any other."""
    files = [each for each in file.parent.parent.parent.rglob("*") if each.is_file()]
    same = [each for each in files if each.name == file.name]
    other = rng.choice(same if rng.random() < 0.7 else files)
    first, second = file.read_bytes(), other.read_bytes()
    file.write_bytes(second)
    other.write_bytes(first)


def stray(file: Path, rng: random.Random) -> None:
    name = rng.choice(["stray", "x.safetensors", ".hidden", "step-3", "manifest.json.bak"])
    place = rng.choice([file.parent, file.parent.parent]) / name
    if not place.exists():
        place.write_bytes(rng.randbytes(30))


def folder_for_file(file: Path, rng: random.Random) -> None:
    file.unlink()
    file.mkdir()


def file_for_folder(file: Path, rng: random.Random) -> None:
    shutil.rmtree(file.parent)
    file.parent.write_text("no folder")


def pipe(file: Path, rng: random.Random) -> None:
    file.unlink()
    os.mkfifo(file)


def link(file: Path, rng: random.Random) -> None:
    """To itself moved away (then all is whole), to nothing, to a device, in a circle."""
    target = rng.choice([file.parent.parent / f"moved-{file.name}", "nowhere", "/dev/zero", file])
    if isinstance(target, Path) and target != file and not target.exists():
        file.rename(target)
    else:
        file.unlink()
    file.symlink_to(target)


def link_folder(file: Path, rng: random.Random) -> None:
    away = file.parent.parent / "away"
    if not away.exists():
        file.parent.rename(away)
        file.parent.symlink_to(away)


def remove_folder(file: Path, rng: random.Random) -> None:
    shutil.rmtree(file.parent)


def copy_folder(file: Path, rng: random.Random) -> None:
    """Under the name of a later step, or under one that is none."""
    names = ["step-9", "step-07", "step-1000000000000000000000", "step-7 (copy)", "Step-9", "step-"]
    place = file.parent.parent / rng.choice(names)
    if not place.exists():
        shutil.copytree(file.parent, place, symlinks=True)


def rename_folder(file: Path, rng: random.Random) -> None:
    place = file.parent.parent / rng.choice(["step-3", "step-99", "step-0", "old", "step--1"])
    if not place.exists():
        file.parent.rename(place)


def modes(file: Path, rng: random.Random) -> None:
    rng.choice([file, file.parent]).chmod(rng.choice([0o000, 0o444, 0o200]))


# --- hostile contents under a right checksum ---


def reseal(folder: Path) -> None:
    place = folder / "manifest.json"
    manifest = json.loads(place.read_text())
    for name in manifest["files"]:
        content = read_plain(folder / name, 1 << 30)
        sha256 = hashlib.sha256(content).hexdigest()
        manifest["files"][name] = {"bytes": len(content), "sha256": sha256}
    place.write_text(json.dumps(manifest))


def header(file: Path, rng: random.Random) -> None:
    """A header of a tensor file that is too long, too deep, or lies about its tensors."""
    tensors = sorted(f for f in file.parent.glob("*.safetensors") if f.is_file())
    if not tensors or not (file.parent / "manifest.json").is_file():
        return
    file = rng.choice(tensors)
    content = file.read_bytes()
    if len(content) < 8:
        return
    (length,) = struct.unpack("<Q", content[:8])
    try:
        entries: dict[str, Any] = json.loads(content[8 : 8 + length])
    except ValueError:
        return
    names = [name for name in entries if name != "__metadata__"]
    if not names:
        return
    entry = entries[rng.choice(names)]
    kind = rng.randrange(9)
    body = content[8 + length :]
    if kind == 0:  # a length beyond the file, or beyond any memory
        huge = rng.choice([length + 1, 1 << 27, 1 << 40, (1 << 64) - 1])
        file.write_bytes(struct.pack("<Q", huge) + content[8:])
        return reseal(file.parent)
    if kind == 1:
        deep = b"[" * 100_000
        file.write_bytes(struct.pack("<Q", len(deep)) + deep)
        return reseal(file.parent)
    if kind == 2:
        entry["data_offsets"] = [0, rng.choice([1, len(body) * 2, 1 << 60])]
    elif kind == 3:
        entry["dtype"] = rng.choice(["F8_E4M3", "I64", "BF16", "F128", "", None, 7])
    elif kind == 4:
        entry["shape"] = rng.choice([[1 << 40, 1 << 40], [-1], [0], [], ["a"], None, [2.5]])
    elif kind == 5:
        for each in names:
            entries[each]["data_offsets"] = entry["data_offsets"]
    elif kind == 6:
        entries["stranger"] = dict(entry)
    elif kind == 7:
        del entries[rng.choice(names)]
    else:
        entries["__metadata__"] = {"format": rng.choice(["pickle", "tf", ""])}
    text = json.dumps(entries).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + body)
    reseal(file.parent)


def state(file: Path, rng: random.Random) -> None:
    """A value of state.json of another type, gone, or too many."""
    place = file.parent / "state.json"
    if not place.is_file() or not (file.parent / "manifest.json").is_file():
        return
    try:
        plain = json.loads(place.read_text())
    except ValueError:
        return
    key = rng.choice(
        ["step", "fingerprint", "switches", "board", "score", "tally", "rng", "format"]
    )
    kind = rng.randrange(5)
    if kind == 0:
        plain.pop(key, None)
    elif kind == 1:
        plain[key] = rng.choice([None, "x", [], {}, True, [[[]]], *HOSTILE_NUMBERS])
    elif kind == 2:
        plain["stranger"] = 1
    elif kind == 3:
        place.write_text("[" * 100_000)
        return reseal(file.parent)
    elif isinstance(plain.get(key), dict) and plain[key]:
        inner = rng.choice(sorted(plain[key]))
        plain[key][inner] = rng.choice([None, "x", [], {}, [1, [2]]])
    place.write_text(json.dumps(plain))
    reseal(file.parent)


ANY: tuple[Damage, ...] = (
    flip, flip, letter, letter, cut, lengthen, zeros, empty, delete, swap, stray, folder_for_file,
    file_for_folder, pipe, link, link_folder, remove_folder, copy_folder, rename_folder, modes,
)  # fmt: skip
HOSTILE: tuple[Damage, ...] = (header, state)


class Runs:
    """A killed and a complete run of one method, and what they must come to."""

    def __init__(self, model: Path, root: Path, sets: tuple[str, ...]) -> None:
        name = sets[0].partition("=")[2]
        self.killed = make_run(model, root, f"{name}-killed", *SETTINGS, *sets)
        self.calm = make_run(model, root, f"{name}-calm", *SETTINGS, *sets)
        kill_at(self.killed, KILLED_AT)
        assert execute(self.calm, raise_errors=True) == 0
        self.weights = self.of(self.calm)
        self.exported = {p.name: p.read_bytes() for p in (self.calm / "model").iterdir()}
        self.best = self.opened(self.calm)

    def of(self, run: Path) -> tuple[Any, ...]:
        view = load_view(run)
        newest = RunPaths(run).checkpoint(view.step)
        best = run / f"best/step-{view.best_step}"
        return (
            digest(newest / "model.safetensors"),
            digest(newest / "optimizer.safetensors"),
            digest(best / "weights.safetensors"),
            digest(run / "model/model.safetensors"),
            (run / "predictions/validation.tsv").read_text(),
            view.best,
            view.switched,
        )

    def opened(self, run: Path) -> str:
        config = from_resolved(RunPaths(run).config)
        model, _ = open_best(run, config, ("unacceptable", "acceptable"), "classification")
        total = hashlib.sha256()
        for name, tensor in sorted(model.state_dict().items()):
            total.update(name.encode() + tensor.contiguous().numpy().tobytes())
        return total.hexdigest()


def damage(folders: list[Path], rng: random.Random, hostile: bool) -> list[str]:
    """Damage one to three files below `folders`; returns what was done."""
    told = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        files = [f for folder in folders for f in sorted(folder.rglob("*")) if f.is_file()]
        files = [f for f in files if f.parent.parent in folders or f.parent in folders]
        if not files:
            break
        file = rng.choice(files)
        act = rng.choice(ANY if rng.random() < 0.75 or not hostile else HOSTILE)
        with contextlib.suppress(*OF_AN_EARLIER_DAMAGE):
            act(file, rng)
            told.append(f"{act.__name__} {file.relative_to(folders[0].parent)}")
    return told


def round_(runs: Runs, place: Path, rng: random.Random) -> tuple[str, str]:
    """(what was done, how it came out: "same", "refused: ...", or what is wrong)."""
    door = rng.choice(["resume", "resume", "resume", "export", "open"])
    run = place / "run"
    shutil.copytree(runs.killed if door == "resume" else runs.calm, run)
    below = ["checkpoints", "best"] if door == "resume" else ["model", "best"]
    # Nobody can tell from an export alone that its tensors are not those that were trained.
    told = damage([run / each for each in below], rng, hostile=door != "export")
    what = f"{door} after {', '.join(told)}"
    try:
        if door == "resume":
            status = execute(run)
            if status:
                view = load_view(run)
                assert view.failure is not None, "failed without a word"
                raise CalisrError(view.failure.message)
            same = runs.of(run) == runs.weights
        elif door == "export":
            export_run(run, place / "out")
            there = {p.name: p.read_bytes() for p in (place / "out").iterdir() if p.is_file()}
            same = all(
                there.get(name) == content
                for name, content in runs.exported.items()
                if name != "manifest.json"
            )
        else:
            same = runs.opened(run) == runs.best
    except CalisrError as error:
        unexpected = error.message.startswith("unexpected") or "\n" in error.message
        return what, f"{'WRONG: ' if unexpected else 'refused: '}{error.message}"
    except Exception as error:
        return what, f"WRONG: {type(error).__name__}: {error}"
    return what, "same" if same else "WRONG: other weights"


def campaign(count: int, seed: int) -> list[str]:
    """What went wrong in `count` rounds."""
    torch.set_num_threads(1)
    counted: Counter[str] = Counter()
    wrong = []
    with tempfile.TemporaryDirectory(prefix="calisr-checkpoints-") as folder:
        root = Path(folder)
        model = save_model(root / "model")
        every = [Runs(model, root, sets) for sets in METHODS]
        for number in range(count):
            rng = random.Random(f"{seed}/{number}")
            place = root / "round"
            place.mkdir()
            what, how = round_(rng.choice(every), place, rng)
            counted[f"{what.partition(' ')[0]}: {how.partition(':')[0]}"] += 1
            if how.startswith("WRONG"):
                wrong.append(f"{number}: {what}: {how}")
                print(wrong[-1], flush=True)
            shutil.rmtree(place)
            if number % 100 == 99:
                print(number + 1, dict(counted), flush=True)
    return wrong


if __name__ == "__main__":
    with contextlib.redirect_stderr(io.StringIO()):
        found = campaign(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print(f"{sys.argv[1]} damaged runs: {len(found)} wrong")
    sys.exit(bool(found))
