"""Random settings: a run that trains two steps, or a refusal that names the setting.

    python -m tests.config.campaign 10000 [TRAIN_EVERY] [FIRST_SEED]

Legal, borderline and illegal values of one to five settings, over all methods. What loads must be
the same after it is written and read again; one in TRAIN_EVERY that loads is trained, on a tiny
model: it ends well, or with an error of ours. Memory is limited to 6 GiB, time to two minutes a
run, so that a size which is allocated before it is refused is seen.
"""

from __future__ import annotations

import random
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from calisr_engine.config.describe import FieldInfo, all_fields
from calisr_engine.config.load import load
from calisr_engine.errors import CalisrError, ConfigError
from calisr_engine.methods.catalog import METHODS
from calisr_engine.runs import load_view
from calisr_engine.runs.create import create_run

LEFT_ALONE = ("model.name", "output.dir", "output.name", "training.device", "method.name")
BIG = (2**15, 2**31, 2**40, 2**63, 10**30)
REAL = (0.0, 1e-300, 1e-8, 0.1, 0.5, 0.999, 1.0, 1.5, 7.0, 1e30, float("inf"), float("nan"))
WORDS = ("", "none", "x", "rte", "demo", "a b", "[x]", "-1", "1e3", "true", "nan", "/nowhere", "é")


def value_of(info: FieldInfo, chance: random.Random) -> Any:
    """Any value: mostly legal, some at or beyond a bound, some of another type."""
    if chance.random() < 0.1:
        return chance.choice([*WORDS, 0, -1, 2.5, True, ["x"], 10**400])
    if info.optional and chance.random() < 0.15:
        return "none"
    bounds = [
        getattr(each, name)
        for each in info.model.model_fields.get(info.name, _NO_FIELD).metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(each, name, None) is not None
    ]
    if info.kind == "int":
        near = [int(bound) + move for bound in bounds for move in (-1, 0, 1)]
        return chance.choice([*near, 0, 1, 2, 3, 5, 8, 64, *BIG[: chance.choice((0, 0, 1, 5))]])
    if info.kind == "float":
        near = [bound * (1 + move) for bound in bounds for move in (-1e-9, 0, 1e-9)]
        return chance.choice([*near, *REAL])
    if info.kind == "flag":
        return chance.random() < 0.5
    if info.kind == "choice":
        return chance.choice(info.choices)
    if info.kind == "list":
        size = chance.randint(0, len(info.choices))
        return ",".join(chance.sample(info.choices, size))
    return chance.choice(WORDS)


class _NoField:
    metadata: tuple[Any, ...] = ()


_NO_FIELD: Any = _NoField()


def settings_of(seed: int) -> list[str]:
    """One case as `--set` takes it."""
    chance = random.Random(seed)
    method = chance.choice(sorted(METHODS))
    infos = [info for info in all_fields(method) if info.key not in LEFT_ALONE]
    chosen = chance.sample(infos, chance.randint(1, 5))
    return [f"method.name={method}"] + [f"{i.key}={_as_text(value_of(i, chance))}" for i in chosen]


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def outcome(seed: int, model: Path, folder: Path, train: bool) -> str:
    """What became of a case: "loads", "trained", "refused at load", "... at start", or a fault."""
    common = [
        f"model.name={model}",
        "task.name=demo",
        "task.max_train_examples=48",
        "task.max_validation_examples=16",
        "task.max_length=32",
        "training.batch_size=16",
        "training.max_steps=2",
        "training.device=cpu",
        "training.threads=1",
    ]
    own = settings_of(seed)
    keys = {each.partition("=")[0] for each in own}
    sets = [each for each in common if each.partition("=")[0] not in keys] + own
    try:
        resolved = load(None, sets, {"output.dir": folder})
    except ConfigError as error:
        named = all(each.message and (each.keys or each.place) for each in error.problems)
        return "refused at load" if error.problems and named else f"FAULT unnamed: {error}"
    except Exception as error:
        return f"FAULT {type(error).__name__} at load: {error}"
    again = folder / "again.toml"
    again.write_text(resolved.to_toml(), encoding="utf-8")
    if load(again).config != resolved.config:
        return "FAULT changed by writing"
    if not train:
        return "loads"
    if (resolved.config.training.max_steps or 10**9) > 64:
        return "loads"  # would train for long, which is what was asked for
    from calisr_engine.process.execute import execute

    try:
        run = create_run(resolved)
        signal.alarm(120)
        status = execute(run)
    except CalisrError:
        return "refused at start"
    except Exception as error:
        return f"FAULT {type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    view = load_view(run)
    if status == 0:
        return "trained"
    told = view.failure.message if view.failure else "no message"
    if "unexpected" in told or not view.failure:
        return f"FAULT {told}"
    return "memory" if "memory ran out" in told else "refused at start"


def _too_long(*_: object) -> None:
    raise TimeoutError("two minutes are over")


def campaign(count: int, train_every: int = 20, first: int = 0) -> Counter[str]:
    """Outcomes over `count` seeds; a fault counts under its own words and settings."""
    import torch

    from tests.training.tiny_run import save_model

    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, _too_long)
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        model = save_model(Path(place, "model"))
        for seed in range(first, first + count):
            folder = Path(place, "runs")
            folder.mkdir()
            end = outcome(seed, model, folder, train=seed % train_every == 0)
            shutil.rmtree(folder)
            found[end if not end.startswith("FAULT") else f"{end} <- {settings_of(seed)}"] += 1
    return found


def main() -> None:
    numbers = [int(each) for each in sys.argv[1:]] or [1000]
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    found = campaign(*numbers)
    for end, times in found.most_common():
        print(f"{times:>6}  {end}")
    sys.exit(any(end.startswith("FAULT") for end in found))


if __name__ == "__main__":
    main()
