"""What keeps a run from beginning, found before there is a run directory.

Every check is the one that training makes: on the data as it reads it, and on a model of which the
headers alone are read. What needs no torch comes first; torch is imported only where that finds
nothing.

    for problem in check(load("demo").config): print(problem)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from calisr_engine.config import toml_text
from calisr_engine.config.describe import by_key
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import CalisrError, ConfigError, Place, Problem, explain
from calisr_engine.models.folder import find_folder, has_weights
from calisr_engine.runs.create import check_names
from calisr_engine.runs.installed import check_installed
from calisr_engine.runs.matching import with_steps
from calisr_engine.runs.place import check_place
from calisr_engine.tasks.data import load_task

if TYPE_CHECKING:
    from calisr_engine.models.load import LoadedModel
    from calisr_engine.tasks.data import TaskData
    from calisr_engine.tasks.source import Source

P = ParamSpec("P")
T = TypeVar("T")

WITHOUT_INFLUENCE = (
    *("training.seed", "training.learning_rate", "training.lft_learning_rate"),
    "calibration.delta",
)
"""Settings whose value, once it is a right one, makes no difference to whether a run can begin."""

_KEYS = re.compile(r"((?:[a-z_]+\.\w+)(?:, [a-z_]+\.\w+)*): (.+)", re.DOTALL)
"""How a message begins that is about settings."""


@dataclass(frozen=True)
class Checked:
    """What was found about a run that is about to begin.

    Attributes:
        config: its settings, with the switch steps of the run they are matched to.
        errors: why it cannot begin, as training would say; none where it can.
        notes: what the user should know of model and data; empty where it cannot begin.
        data: what the settings name; None where that cannot be used.
        loaded: the model for that data, of its headers alone; None where it was not looked at.
    """

    config: RunConfig
    errors: tuple[CalisrError, ...] = ()
    notes: tuple[str, ...] = ()
    data: TaskData | None = None
    loaded: LoadedModel | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The errors with the settings to mend, the likeliest first."""
        return tuple(as_problem(error, self.config.method.name) for error in self.errors)


def check(config: RunConfig, last: Checked | None = None) -> tuple[Problem, ...]:
    """Why a run with these settings cannot begin; empty where nothing is known against it.

    Takes a second or so, more for large data and the first time in a process: call it in the
    background where somebody waits. Weights are not downloaded, data is.

    Args:
        last: what `look` found for other settings; what did not change is not read again.
    """
    return look(config, last).problems


def require(config: RunConfig, root: Path | None = None, source: Source | None = None) -> Checked:
    """Refuse to begin a run that cannot.

    Args:
        root, source: as for `look`.

    Raises:
        CalisrError: the one that training would end with; for several, one with all `problems`.
    """
    found = look(config, root=root, source=source)
    if len(found.errors) == 1:
        raise found.errors[0]
    if found.errors:
        error = ConfigError(
            f"{len(found.errors)} mistakes keep this run from beginning",
            "Nothing was started.",
            found.problems,
        )
        error.exit_code = min(each.exit_code for each in found.errors)
        raise error
    return found


def kind(config: RunConfig) -> str:
    """The same text for settings of which all or none can begin, once each is a right one."""
    flat = toml_text.flat(config)
    return repr({key: value for key, value in flat.items() if key not in WITHOUT_INFLUENCE})


def look(
    config: RunConfig,
    last: Checked | None = None,
    root: Path | None = None,
    with_torch: bool = True,
    source: Source | None = None,
) -> Checked:
    """As `check`, with all that was found on the way.

    Args:
        root: the folder of run directories, above what the settings say.
        with_torch: also what needs torch: device, tokenizer, headers of weights, method and steps.
        source: what the settings of [task] name, where it was read just before.
    """
    errors = _Errors()
    root = root or config.output.dir
    config = errors.of(with_steps, config, root) or config
    errors.of(check_names, config)
    errors.of(check_installed, config.output.trackers)
    errors.of(check_place, root, config)
    data = last.data if last and last.config.task == config.task else None
    data = data or errors.of(load_task, config.task, source)
    folder = errors.of(find_folder, config.model, fetch=False)
    if data is None or errors or not with_torch:
        return Checked(config, tuple(errors), data=data)
    loaded = None
    if config.model.random_weights or (folder is not None and has_weights(folder)):
        same = last and last.data is data and _asks_of_model(last.config) == _asks_of_model(config)
        loaded = last.loaded if last and same else None
        loaded = loaded or errors.of(_model_for, config, data)
    notes = _as_training(config, data, loaded, errors)
    return Checked(config, tuple(errors), () if errors else tuple(notes), data, loaded)


def require_all(configs: Mapping[str, RunConfig], root: Path) -> None:
    """Refuse to begin many runs of which some cannot, by what is known without torch.

    The rest each run says itself when it begins, in a process of its own, beside the others.

    Args:
        configs: settings by the name of the run.

    Raises:
        ConfigError: `problems` has each mistake once, with the runs that have it.
    """
    found: dict[Problem, list[str]] = {}
    alike: dict[str, tuple[Problem, ...]] = {}  # of the same data, model and source of switch steps
    last = None
    in_order = sorted(configs.items(), key=lambda each: str((each[1].task, each[1].model)))
    for name, config in in_order:
        kind = str((config.task, config.model, config if config.calibration.matched_to else None))
        if kind not in alike:
            last = look(config, last, root, with_torch=False)
            alike[kind] = last.problems
        for problem in alike[kind]:
            found.setdefault(problem, []).append(name)
    if found:
        raise ConfigError(
            f"{len({name for names in found.values() for name in names})} of {len(configs)} runs "
            "cannot begin",
            "Nothing was started.",
            [replace(each, place=Place(_names(names))) for each, names in found.items()],
        )


def require_ends(configs: Mapping[str, RunConfig], root: Path) -> None:
    """Refuse a search of whose trials some cannot begin.

    Args:
        configs: settings with each end of what is searched, by what is told of that; the first is
            checked for all.

    Raises:
        CalisrError: the one of the first settings; or of others, with what they have.
    """
    last, known = None, set[str]()
    for told, config in configs.items():
        if kind(config) in known:
            continue
        known.add(kind(config))
        last = look(config, last, root)
        if last.errors and not told:
            require(config, root)
        if last.errors:
            raise ConfigError(
                f"trials with {told} cannot begin", "Nothing was started.", last.problems
            )


def _names(runs: list[str]) -> str:
    return runs[0] if len(runs) == 1 else f"{runs[0]} and {len(runs) - 1} more"


def _asks_of_model(config: RunConfig) -> tuple[object, ...]:
    """Settings that say which model it is, its head included."""
    return config.model, config.training.dropout


def _model_for(config: RunConfig, data: TaskData) -> LoadedModel:
    from calisr_engine.training.model import model_for

    return model_for(config, data, headers_only=True)


class _Errors(list[CalisrError]):
    def of(self, step: Callable[P, T], *args: P.args, **named: P.kwargs) -> T | None:
        """What the step gives; None where it fails, and its error is one more of these."""
        try:
            return step(*args, **named)
        except (CalisrError, OSError, MemoryError) as error:
            told = explain(error)
            if str(told) not in map(str, self):
                self.append(told)
            return None


def _as_training(
    config: RunConfig, data: TaskData, loaded: LoadedModel | None, errors: _Errors
) -> list[str]:
    """The steps of `training.build.prepare` that need no weights and no run; notes on the way."""
    from calisr_engine.methods import registry
    from calisr_engine.models import first_token, packing
    from calisr_engine.models.components import find_targets, groups
    from calisr_engine.training import batching, room
    from calisr_engine.training.device import choose_device, precision_notes, precision_of
    from calisr_engine.training.model import check_method
    from calisr_engine.training.planned import planned_switches
    from calisr_engine.training.schedule import step_plan, without_effect

    device = errors.of(choose_device, config.training.device)
    precision = device and errors.of(precision_of, device, config)
    per_epoch = batching.batches_in(len(data.train), config.training.batch_size)
    plan = errors.of(step_plan, config, per_epoch)
    notes = [*data.notes, *(precision_notes(device, precision) if device and precision else ())]
    if plan is not None:
        notes += without_effect(config, plan, len(data.train))
    if loaded is None:
        return notes
    targets = find_targets(loaded.model)
    longest = errors.of(batching.longest_input, loaded.tokenizer, config.task.max_length, data)
    errors.of(registry.get(config.method.name).check_model, loaded.model)
    if config.training.last_layer == "first_token":
        errors.of(first_token.check, loaded.model)
    if config.training.packing:
        errors.of(packing.check, loaded.model)
    told = len(errors)
    if device is not None:
        errors.of(room.check_method, config, device, loaded.model, targets)
    if len(errors) == told:  # a tuner is tried on real matrices
        errors.of(check_method, config, targets)
    if plan is not None:
        covered = config.method.covered(config.is_calibrated)
        own = errors.of(groups, targets, config.calibration.grouping, covered)
        if own is not None:
            errors.of(planned_switches, config, plan, tuple(own))
    return [*loaded.notes, *notes, *(longest[1] if longest else ())]


def as_problem(error: CalisrError, method: str) -> Problem:
    """The error as a problem of settings; what its message says of keys becomes `keys`.

    Args:
        method: whose settings the run has.
    """
    found = _KEYS.fullmatch(error.message)
    known = by_key(method)
    keys = found[1].split(", ") if found else []
    if found and all(key in known for key in keys):
        return Problem(found[2], error.hint, tuple(keys))
    return Problem(error.message, error.hint, error.keys)
