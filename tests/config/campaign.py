"""Many odd settings, through files, `--set` and presets, into runs: `python -m ... 10000`.

Each is accepted, and then it must come back the same from its own config.toml and start; or it is
refused with an error that names a setting and a mend. Whatever else comes is printed, and counts.
Every `REAL`-th of those that are accepted trains two steps of a tiny model; the others are put
together as far as the first step.
"""

from __future__ import annotations

import collections
import resource
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calisr_engine.config.describe import FieldInfo, by_key
from calisr_engine.config.load import ResolvedConfig, load
from calisr_engine.config.preset_files import preset_dir
from calisr_engine.errors import CalisrError, RunFailedError
from calisr_engine.forecast.dry_run import plan_run
from calisr_engine.methods.catalog import METHODS
from calisr_engine.process.execute import execute
from calisr_engine.runs import load_view
from calisr_engine.runs.create import create_run
from calisr_engine.settings import LARGEST_FLOAT, SMALLEST_FLOAT
from tests.config.any_config import anything, bounds_of, legal
from tests.training.tiny_run import save_model

REAL = 12
PATIENCE_SECONDS = 120
MEMORY_BYTES = 12 * 2**30
"""What a case may take; sizes are refused by it, as by the memory of a machine."""

EXTREMES: dict[str, list[Any]] = {
    "int": [-(2**63), -1, 0, 1, 2, 1023, 1024, 1025, 10**6, 10**9, 2**31, 2**63 - 1, 2**63, 10**30],
    "float": [-LARGEST_FLOAT, -1.0, -0.0, 0.0, 1e-300, SMALLEST_FLOAT, 1e-30, 1e-9, 0.5, 1.0, 1, 2],
    "text": ["", " ", "none", "x", "a/b", "\x1b[2J", "x" * 5000, "ü", "\u2028", "../..", "a\nb"],
}
EXTREMES["float"] += [1e9, 1e30, LARGEST_FLOAT, 1e39, 1e300, float("inf"), float("nan")]

SMALL = {  # what makes a run short, unless the case says otherwise
    "task.name": "demo",
    "task.max_train_examples": 24,
    "task.max_validation_examples": 12,
    "task.max_length": 32,
    "training.max_steps": 2,
    "training.batch_size": 8,
    "training.device": "cpu",
    "training.threads": 1,
}
SHIPPED = [
    "demo",
    *(f"published/{each.stem}" for each in (preset_dir() / "published").glob("lora*.toml")),
]


def _borders(info: FieldInfo) -> list[Any]:
    found: list[Any] = list(EXTREMES.get(info.kind, EXTREMES["text"]))
    for value in bounds_of(info).values():
        found += [value, value - 1, value + 1, float(value)]
    return [*found, info.default, *info.choices]


def _cases(method: str) -> st.SearchStrategy[dict[str, Any]]:
    infos = by_key(method)
    value = {
        key: st.one_of(*[legal(info)] * 4, st.sampled_from(_borders(info)), anything)
        for key, info in infos.items()
    }
    one = st.sampled_from(sorted(infos)).flatmap(lambda key: st.tuples(st.just(key), value[key]))
    return st.lists(one, min_size=1, max_size=3).map(
        lambda pairs: {"method.name": method, **dict(pairs)}
    )


cases = st.tuples(
    st.sampled_from(sorted(METHODS)).flatmap(_cases),
    st.sampled_from(["file", "set", "program"]),
    st.sampled_from([None, None, *SHIPPED]),
)


class _Slow(BaseException):
    """A case took longer than any may."""


class Campaign:
    """Runs cases one by one; `counts` by outcome, `faults` one line each."""

    def __init__(self, folder: Path) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.faults: list[str] = []
        self._folder = folder
        self._model = save_model(folder / "model")
        self._accepted = 0
        rows = "text,label\n" + "a good day,yes\na bad day,no\n" * 8
        (folder / "a.csv").write_text(rows)

    def take(self, values: dict[str, Any], way: str, preset: str | None) -> None:
        """One case, from what is written to the end of its run."""
        signal.alarm(PATIENCE_SECONDS)
        try:
            outcome = self._outcome(values, way, preset)
        except CalisrError as error:
            outcome = self._named(error, values)
        except (Exception, _Slow) as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            outcome = f"fault: {type(error).__name__}: {str(error)[:200]} ({last})"
        finally:
            signal.alarm(0)
        kind = outcome.partition(":")[0]
        self.counts[kind] += 1
        if kind in ("fault", "unnamed", "inconsistent"):
            self.faults.append(f"{outcome}\n    {way} {preset} {values!r}")
            print(self.faults[-1], flush=True)

    def _outcome(self, values: dict[str, Any], way: str, preset: str | None) -> str:
        resolved = self._load({"model.name": str(self._model), **SMALL, **values}, way, preset)
        again = self._folder / "again.toml"
        again.write_text(resolved.to_toml(), encoding="utf-8", newline="")
        if load(again).config != resolved.config:
            return "inconsistent: its own config.toml says something else"
        self._accepted += 1
        training = resolved.config.training
        if self._accepted % REAL or training.max_steps is None or training.max_steps > 2:
            plan = plan_run(resolved.config)
            steps = training.max_steps
            right = steps is None or plan["total_steps"] == steps
            return "planned" if right else f"inconsistent: {plan['total_steps']} steps planned"
        with tempfile.TemporaryDirectory(dir=self._folder) as runs:
            run_dir = create_run(resolved, Path(runs))
            status = execute(run_dir, raise_errors=True)
            view = load_view(run_dir)
        right = (status, view.state, view.step) == (0, "completed", training.max_steps)
        return "trained" if right else f"inconsistent: {status}, {view.state}, step {view.step}"

    def _load(self, values: dict[str, Any], way: str, preset: str | None) -> ResolvedConfig:
        if way == "file":
            file = self._folder / "my.toml"
            nested: dict[str, Any] = {} if preset is None else {"extends": preset}
            for key, value in values.items():
                section, _, name = key.rpartition(".")
                (nested.setdefault(section, {}) if section else nested)[name] = value
            try:
                text = tomli_w.dumps(nested).encode()
            except (TypeError, ValueError):  # no TOML file can hold it
                way = "program"
            else:
                file.write_bytes(text)
                return load(file)
        if way == "set":
            return load(preset, [f"{key}={value}" for key, value in values.items()])
        return load(preset, overrides=values)

    def _named(self, error: CalisrError, values: dict[str, Any]) -> str:
        """Whether a refusal names a setting and, where it is not plain, a mend."""
        problems = getattr(error, "problems", ())
        if problems:
            named = all(each.message and (each.keys or each.place) for each in problems)
        else:
            keys = [*SMALL, *values, *by_key(values["method.name"]), "[method]"]
            named = isinstance(error, RunFailedError) or any(key in str(error) for key in keys)
        kind = "refused" if problems else "refused by the run"
        return kind if named else f"unnamed: {type(error).__name__}: {error}"


def main(count: int) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))

    def alarm(*_: object) -> None:
        raise _Slow

    signal.signal(signal.SIGALRM, alarm)
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder))

        @settings(
            max_examples=count,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(cases)
        def every(case: tuple[dict[str, Any], str, str | None]) -> None:
            campaign.take(*case)

        every()
    print(dict(campaign.counts), f"{sum(campaign.counts.values())} cases")
    return len(campaign.faults)


if __name__ == "__main__":
    sys.exit(min(1, main(int(sys.argv[1]))))
