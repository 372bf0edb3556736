"""`calisr tune`: search settings with trials, and tell how good the best ones are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calisr_engine.errors import ConfigError
from calisr_engine.plain_words import command, counted
from calisr_tui.cli import complete, own_data
from calisr_tui.cli.listings import print_table
from calisr_tui.cli.options import (
    Calibration,
    DataDir,
    Devices,
    Gpus,
    Jobs,
    Json,
    Method,
    Model,
    Ray,
    Sets,
    Task,
    Threads,
)
from calisr_tui.cli.out import put, put_json, say

if TYPE_CHECKING:
    from calisr_engine.tune.reading import StudyReading, StudyRun
    from calisr_engine.tune.study import Plan


def add_to(app: typer.Typer) -> None:
    app.command(
        "tune",
        epilog="Example: calisr tune --train reviews.csv --method lora --search "
        "training.learning_rate=1e-5..1e-2 --search method.rank=4,8,16 --trials 20",
    )(tune)


@own_data.with_options(after="data_dir")
def tune(
    ctx: typer.Context,
    name_or_file: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME_OR_FILE]",
            help="A preset's name or a TOML file that the trials start from.",
            autocompletion=complete.names_of_presets,
        ),
    ] = None,
    searched: Annotated[
        list[str] | None,
        typer.Option(
            "--search",
            metavar="KEY=VALUES",
            help="A setting to search: KEY=LOW..HIGH (add :log or :linear) or KEY=A,B,C.",
            autocompletion=complete.settings,
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials in all.")] = 20,
    seeds: Annotated[
        int, typer.Option(min=0, help="Further seeds that the best settings are trained with.")
    ] = 3,
    sampler: Annotated[str, typer.Option(help="tpe (learns from the trials) or random.")] = "tpe",
    pruner: Annotated[
        str, typer.Option(help="Which trials end early: median, hyperband or none.")
    ] = "median",
    search_seed: Annotated[
        int, typer.Option(min=0, help="Of the choice of trials; runs have training.seed.")
    ] = 0,
    name: Annotated[str, typer.Option(help="Folder of the study in the output folder.")] = "tune",
    sets: Sets = None,
    model: Model = None,
    task: Task = None,
    method: Method = None,
    calibration: Calibration = None,
    delta: Annotated[
        float | None, typer.Option(help="Short for --set calibration.delta=...")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Short for --set training.seed=...")] = None,
    data_dir: DataDir = None,
    output_dir: Annotated[
        Path, typer.Option("--output-dir", help="Folder in which the study's folder is made.")
    ] = Path("runs"),
    jobs: Jobs = None,
    devices: Devices = None,
    threads: Threads = None,
    ray: Ray = None,
    gpus: Gpus = 0,
    show: Annotated[
        bool, typer.Option("--show", help="Show the study as it is; train nothing.")
    ] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="Ask its trials, whoever trains them, to stop and save.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Search settings: trials are ordinary runs, and the same command goes on after a stop."""
    from calisr_engine.tune.reading import StudyReader
    from calisr_engine.tune.space import read_space
    from calisr_engine.tune.study import Command, Plan, Study, is_study

    folder = _folder(output_dir, name)
    if show or stop:
        found_now = StudyReader(folder).read()
        if stop:
            return _stop(folder)
        _show(found_now, as_json)
        return 0
    from calisr_engine.config.load import ResolvedConfig, load, read_base
    from calisr_engine.config.own_data import guess
    from calisr_engine.forecast.before_start import require_ends
    from calisr_engine.tune.by_optuna import check_installed
    from calisr_engine.tune.search import search
    from calisr_tui.cli.given import given_words
    from calisr_tui.cli.grid_live import GridLive
    from calisr_tui.cli.grid_places import Place, at_work

    plan = Plan(read_space(searched or ()), trials, seeds, sampler, pruner, search_seed)
    check_installed()
    overrides: dict[str, Any] = {
        "model.name": model,
        "task.name": task,
        "method.name": method,
        "calibration.variant": calibration,
        "calibration.delta": delta,
        "training.seed": seed,
        "task.data_dir": data_dir,
        **own_data.task_options(ctx),
    }
    given = {key: value for key, value in overrides.items() if value is not None}
    twice = [each.key for each in plan.space if each.key in given]
    if twice:
        raise ConfigError(f"{', '.join(twice)} is given and searched, too", "leave one of them out")
    base = read_base(name_or_file)
    found, guessed = guess(base, sets or [], given)
    rows = None if found is None else len(found.table)

    def resolve(chosen: Any) -> ResolvedConfig:
        settings = [*(sets or []), *chosen]
        return load(base, settings, given, guessed=guessed, examples=rows)

    study = Study(folder, plan, resolve)
    if found is not None:
        own_data.say_guesses(found, own_data.check(study.ends[""], found))
    require_ends({told: each.config for told, each in study.ends.items()}, folder)
    for each in plan.space:
        say(f"searching {each}")
    executor = Place(jobs, devices, threads, gpus, ray).executor(folder)
    reader = StudyReader(folder)
    done = sum(run.ended for run in reader.read().trials) if is_study(folder) else 0
    again = Command(tuple(given_words(ctx, without=("as_json",))), Path.cwd())

    def on_change(run_dir: Path, what: str) -> None:
        live.say(f"{run_dir.name} {what}{_told(run_dir, plan) if what[0] != 'b' else ''}")
        live.change(run_dir, what)

    with at_work(executor) as asked, GridLive(trials + seeds, done) as live:
        status = search(study, executor, on_change, live.update, asked.is_set, again)
    _show(reader.read(), as_json)
    return status


def _stop(folder: Path) -> int:
    from calisr_engine.tune.search import cancel_study

    asked = cancel_study(folder)
    say(f"asked {counted(asked, 'run')} to stop and save; the same command goes on with the study")
    return 0


def _folder(output_dir: Path, name: str) -> Path:
    if not name or name in (".", "..") or Path(name).name != name:
        raise ConfigError(f"--name: {name!r} is no name of a folder", "such as --name rates")
    return output_dir / name


def _told(run_dir: Path, plan: Plan) -> str:
    """What a run was given and reached, for one line."""
    from calisr_engine.tune.study import read_trial

    trial = read_trial(run_dir, plan.space)
    if trial is None:
        return ""
    values = ", ".join(f"{key.rpartition('.')[2]} {_short(v)}" for key, v in trial.values.items())
    return f": {trial.view.metric} {trial.score:.4f} ({values})" if trial.score is not None else ""


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def _show(study: StudyReading, as_json: bool) -> None:
    from calisr_engine.tune.study import BEST

    best = study.best
    if as_json:
        put_json(
            {
                "folder": str(study.folder),
                "trials": [
                    {
                        "run": run.name,
                        "state": run.state,
                        "step": run.step,
                        "score": run.score,
                        "values": run.values,
                    }
                    for run in study.trials
                ],
                "best": None if best is None else best.name,
                "seeds": {run.seed: run.score for run in study.seeds if run.state == "completed"},
            }
        )
        return
    keys = [each.key for each in study.plan.space]
    rows = [
        [
            run.name,
            *(_short(run.values[key]) for key in keys),
            "" if run.score is None else f"{run.score:.4f}",
            "" if run.best is None else f"{run.best:.4f}",
            _state(run),
        ]
        for run in study.trials
    ]
    print_table(
        f"Study {study.folder}",
        ["trial", *keys, study.metric or "metric", "best so far", "state"],
        rows,
    )
    if best is None:
        say("no trial has a metric yet")
        return
    put("")
    put(f"Best: {best.name}, {best.metric} {best.score:.4f}, as {study.folder / BEST}")
    if study.spread is not None:
        mean, deviation = study.spread
        spread = "" if deviation is None else f" ± {deviation:.4f}"
        count = len(study.fresh)
        others = counted(count, "other seed")
        what = "" if deviation is None else " (mean and standard deviation)"
        put(
            f"With {others}: {mean:.4f}{spread}{what}. Expect that; the best of many trials is "
            "partly luck."
        )
    say(f"train with it: {command('run', study.folder / BEST)}")


def _state(run: StudyRun) -> str:
    return run.state if run.state == "completed" else f"{run.state} at step {run.step}"
