"""What the shell offers when Tab is pressed. Quick, light, and silent whatever is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from calisr_engine.errors import CalisrError

PLAIN = re.compile(r"[\w][\w.,+@%=-]*")
"""Names that mean themselves in every shell: some evaluate what is offered to them."""


def names_of_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Run ids of the folder that --output-dir names, else of `runs`."""
    from calisr_engine.runs.store import run_ids

    return _beginning(incomplete, run_ids(_output_dir(ctx)))


def names_of_runs_in_training(ctx: typer.Context, incomplete: str) -> list[str]:
    """As `names_of_runs`, those that a process trains now and that were not named before."""
    from calisr_engine.runs.layout import RunPaths
    from calisr_engine.runs.lock import is_locked
    from calisr_engine.runs.store import is_starting

    root = _output_dir(ctx)
    named = ctx.params.get("names") or ()
    return [
        name
        for name in names_of_runs(ctx, incomplete)
        if name not in named and (is_locked(RunPaths(root / name)) or is_starting(root / name))
    ]


def names_of_presets(incomplete: str) -> list[str]:
    """Presets that ship and a user's own; the shell adds files where none begins so."""
    from calisr_engine.config.preset_files import names

    return _beginning(incomplete, _or_nothing(names), path=True)


def names_of_grids(incomplete: str) -> list[str]:
    """Grids that ship."""
    from calisr_engine.grid.spec import grid_names

    return _beginning(incomplete, _or_nothing(grid_names), path=True)


def names_of_tasks(incomplete: str) -> list[str]:
    """The demo task and those of GLUE."""
    return _beginning(incomplete, _tasks())


def names_of_methods(incomplete: str) -> list[str]:
    """The methods, also those of CALISR_METHODS."""
    return _beginning(incomplete, _or_nothing(_methods))


def variants(incomplete: str) -> list[str]:
    """What `--calibration` takes."""
    return _beginning(incomplete, _or_nothing(lambda: _setting("calibration.variant").choices))


def settings(ctx: typer.Context, incomplete: str) -> list[str]:
    """Keys for `--set`, each with its `=`; behind that, the values of a choice or a flag."""
    method = _method_named(ctx)
    key, given, value = incomplete.partition("=")
    if given:
        return [f"{key}={each}" for each in _beginning(value, _or_nothing(lambda: _values(key)))]
    return [f"{each}=" for each in _beginning(incomplete, _or_nothing(lambda: _keys(method)))]


def names_of_regularizers(incomplete: str) -> list[str]:
    return _beginning(incomplete, _or_nothing(_regularizers))


def _regularizers() -> list[str]:
    from calisr_engine.regularizers.catalog import REGULARIZERS

    return list(REGULARIZERS)


def _output_dir(ctx: typer.Context) -> Path:
    given = ctx.params.get("output_dir")
    return Path(given or "runs").expanduser()


def _method_named(ctx: typer.Context) -> str | None:
    """The method that the command line names so far."""
    sets = [each.partition("=") for each in ctx.params.get("sets") or ()]
    named = [value for key, _, value in sets if key == "method.name"]
    return ctx.params.get("method") or (named[-1] if named else None)


def _keys(method: str | None) -> list[str]:
    from calisr_engine.config.describe import by_key
    from calisr_engine.methods.catalog import METHODS

    chosen = [method] if method in METHODS else list(METHODS)
    return sorted({key for name in chosen for key in by_key(name)})


def _values(key: str) -> Iterable[str]:
    if key == "task.name":
        return _tasks()
    if key == "method.name":
        return _methods()
    info = _setting(key)
    return ("true", "false") if info.kind == "flag" else info.choices


def _setting(key: str) -> Any:
    from calisr_engine.config.describe import by_key
    from calisr_engine.methods.catalog import METHODS

    return next(known[key] for known in map(by_key, METHODS) if key in known)


def _methods() -> list[str]:
    from calisr_engine.methods.catalog import METHODS

    return list(METHODS)


def _tasks() -> list[str]:
    from calisr_engine.tasks import glue

    return ["demo", *glue.known()]


def _or_nothing(ask: Any) -> Iterable[str]:
    """What `ask` gives; a broken file of the user's is told by commands, not between prompts."""
    try:
        found: Iterable[str] = ask()
    except (CalisrError, OSError, ValueError, StopIteration):
        return ()
    return found


def _beginning(incomplete: str, names: Iterable[str], path: bool = False) -> list[str]:
    return [
        name
        for name in names
        if name.startswith(incomplete) and PLAIN.fullmatch(name.replace("/", "") if path else name)
    ]
