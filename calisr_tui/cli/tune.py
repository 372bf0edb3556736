"""`calisr tune`: search settings with trials, and tell how good the best ones are."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calisr_engine.errors import ConfigError
from calisr_engine.plain_words import command
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
    from calisr_engine.tune.study import Plan, Trial


def add_to(app: typer.Typer) -> None:
    app.command(
        "tune",
        epilog="Example: calisr tune --train reviews.csv --method lora --search "
        "training.learning_rate=1e-5..1e-2 --search method.rank=4,8,16 --trials 20",
    )(tune)


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
    data_dir: DataDir = None,
    train: own_data.Train = None,
    validation: own_data.Validation = None,
    dataset: own_data.Dataset = None,
    train_split: own_data.TrainSplit = None,
    validation_split: own_data.ValidationSplit = None,
    text: own_data.TextColumn = None,
    text_pair: own_data.PairColumn = None,
    label: own_data.LabelColumn = None,
    labels: own_data.LabelColumns = None,
    label_separator: own_data.LabelSeparator = None,
    kind: own_data.Kind = None,
    metric: own_data.Metric = None,
    encoding: own_data.Encoding = None,
    header: own_data.Header = None,
    validation_share: own_data.ValidationShare = None,
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
    as_json: Json = False,
) -> int:
    """Search settings: trials are ordinary runs, and the same command goes on after a stop."""
    from calisr_engine.tune.space import read_space
    from calisr_engine.tune.study import Plan, Study, read_record, read_trials

    folder = _folder(output_dir, name)
    if show:
        _show(folder, read_record(folder)[0], as_json)
        return 0
    from calisr_engine.config.load import ResolvedConfig, load, read_base
    from calisr_engine.forecast.before_start import require
    from calisr_engine.forecast.own_data import guess
    from calisr_engine.tune.search import search
    from calisr_tui.cli.grid_live import GridLive
    from calisr_tui.cli.grid_places import Place, at_work

    plan = Plan(read_space(searched or ()), trials, seeds, sampler, pruner, search_seed)
    overrides: dict[str, Any] = {
        "model.name": model,
        "task.name": task,
        "method.name": method,
        "calibration.variant": calibration,
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
        own_data.say_guesses(found, own_data.check(resolve(study.firsts), found))
    require(resolve(study.firsts).config, folder)
    for each in plan.space:
        say(f"searching {each}")
    executor = Place(jobs, devices, threads, gpus, ray).executor(folder)
    done = sum(each.ended for each in read_trials(folder, plan.space))

    def on_change(run_dir: Path, what: str) -> None:
        live.say(f"{run_dir.name} {what}{_told(run_dir, plan) if what[0] != 'b' else ''}")
        live.change(run_dir, what)

    with at_work(executor) as stop, GridLive(trials + seeds, done) as live:
        status = search(study, executor, on_change, live.update, stop.is_set)
    _show(folder, plan, as_json)
    return status


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


def _show(folder: Path, plan: Plan, as_json: bool) -> None:
    from calisr_engine.tune.study import BEST, best_of, read_trials, seed_runs

    trials = read_trials(folder, plan.space)
    best = best_of(trials)
    fresh = [] if best is None else seed_runs(folder, best)
    scores = {view.seed: view.best for view in fresh if view.state == "completed"}
    values = [value for value in scores.values() if value is not None]
    if as_json:
        put_json(
            {
                "folder": str(folder),
                "trials": [
                    {
                        "run": each.run_dir.name,
                        "state": each.state,
                        "step": each.view.step,
                        "score": each.score,
                        "values": each.values,
                    }
                    for each in trials
                ],
                "best": None if best is None else best.run_dir.name,
                "seeds": scores,
            }
        )
        return
    keys = [each.key for each in plan.space]
    rows, so_far = [], float("-inf")
    for each in trials:
        so_far = max(so_far, each.score if each.score is not None else so_far)
        rows.append(
            [
                each.run_dir.name,
                *(_short(each.values[key]) for key in keys),
                "" if each.score is None else f"{each.score:.4f}",
                "" if so_far == float("-inf") else f"{so_far:.4f}",
                _state(each),
            ]
        )
    print_table(
        f"Study {folder}",
        ["trial", *keys, trials[0].view.metric if trials else "metric", "best so far", "state"],
        rows,
    )
    if best is None:
        say("no trial has a metric yet")
        return
    assert best.score is not None
    put("")
    put(f"Best: {best.run_dir.name}, {best.view.metric} {best.score:.4f}, as {folder / BEST}")
    if values:
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        put(
            f"With {len(values)} other seeds: {statistics.mean(values):.4f}{spread} (mean and "
            "standard deviation). Expect that; the best of many trials is partly luck."
        )
    say(f"train with it: {command('run', folder / BEST)}")


def _state(trial: Trial) -> str:
    where = f" at step {trial.view.step}" if trial.state != "completed" else ""
    return f"{trial.state}{where}"
