"""What the app does to a study: begin it in a process of its own, go on with it, stop it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from calisr_engine.plain_words import command
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import is_locked
from calisr_engine.tune.reading import StudyReading
from calisr_engine.tune.study import Plan
from calisr_tui.grid_source import process_words
from calisr_tui.host import Host
from calisr_tui.screens.grid_training import ask_to_stop, say_end
from calisr_tui.screens.search_start import SearchStart, StartSearch
from calisr_tui.started import GridProcess


def is_free(app: Host, folder: Path) -> bool:
    """Whether nobody works on the study of a folder; says so where somebody does."""
    if is_locked(RunPaths(folder)) or app.started.trains_in(folder):
        app.notify(f"a process works on {folder} already: O shows it", severity="warning")
        return False
    return True


def begin(app: Host, study: Path, words: Sequence[str], folder: Path | None = None) -> bool:
    """Begin or go on with a study; whether that was possible.

    Args:
        words: what follows `calisr`; folder: where its relative paths are from.
    """
    try:
        app.started.start_grid(study.name, study, process_words([*words]), "study", folder)
    except OSError as error:
        app.notify(f"the search could not be started: {error}", severity="error")
        return False
    return True


def go_on(app: Host, study: StudyReading, then: Callable[[], None]) -> None:
    """Ask how many trials and how, and train what is left of a study."""
    begun = study.command
    if not is_free(app, study.folder):
        return
    if begun is None or not begun.folder.is_dir():
        why = "is not recorded" if begun is None else f"was given in {begun.folder}, now gone"
        app.notify(
            f"the command that began this study {why}; give it again to go on",
            severity="warning",
            timeout=10,
        )
        return
    words = begun.words

    def of(plan: Plan, jobs: int, devices: str) -> list[str]:
        changed = {
            "--trials": plan.trials,
            "--seeds": plan.seeds,
            "--sampler": plan.sampler,
            "--pruner": plan.pruner,
            "--search-seed": plan.seed,
            "--jobs": jobs,
            "--devices": devices,
        }
        usual = {
            "--trials": Plan.trials,
            "--seeds": Plan.seeds,
            "--sampler": Plan.sampler,
            "--pruner": Plan.pruner,
            "--search-seed": Plan.seed,
            "--jobs": 1,
            "--devices": "",
        }
        found = list(words)
        for option, value in changed.items():
            found = without(found, option)
            found += [option, str(value)] if value != usual[option] else []
        return found

    def go(start: SearchStart | None) -> None:
        if start is not None:
            words = of(start.plan, start.jobs, start.devices)
            if begin(app, study.folder, words, begun.folder):
                app.notify("started")
                then()

    jobs = value_of(words, "--jobs")
    title = "More trials" if study.complete else "Go on with the search"
    app.push_screen(
        StartSearch(
            title,
            study.plan,
            of,
            int(jobs) if jobs.isdecimal() else 1,
            value_of(words, "--devices"),
        ),
        go,
    )


def resume(app: Host, study: StudyReading) -> bool:
    """Go on with a study as it was last begun, without a question; whether that was possible."""
    begun = study.command
    if begun is None or not begun.folder.is_dir() or not is_free(app, study.folder):
        return False
    return begin(app, study.folder, begun.words, begun.folder)


def value_of(words: Sequence[str], option: str) -> str:
    """The value that an option has in a command; "" for none."""
    for at, word in enumerate(words):
        if word == option and at + 1 < len(words):
            return words[at + 1]
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return ""


def without(words: Sequence[str], option: str) -> list[str]:
    """A command without an option and its value."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == option:
            next(rest, None)
        elif not word.startswith(f"{option}="):
            kept.append(word)
    return kept


def ask_stop(app: Host, study: StudyReading, then: Callable[[], None]) -> None:
    """Ask the trials, whoever trains them, to stop and save."""
    running = sum(run.state in ("running", "paused") for run in (*study.trials, *study.seeds))
    if not study.worker and not running:
        begins = app.started.trains_in(study.folder)
        app.notify(
            "it only begins; ask again once a trial trains"
            if begins
            else "nothing of this study is in training"
        )
        return

    def cancel() -> int:
        from calisr_engine.tune.search import cancel_study

        return cancel_study(study.folder)

    ask_to_stop(app, "search", running, "s", cancel, then)


def copy_command(app: Host, study: StudyReading) -> None:
    """Copy the command line that goes on with the study."""
    if study.command is None:
        app.notify("the command that began this study is not recorded", severity="warning")
        return
    line = command(*study.command.words)
    app.copy_to_clipboard(line)
    app.notify(f"copied: {line}")


def tell_end(app: Host, ended: GridProcess) -> None:
    """Say how the process that this app started for a study has ended."""
    say_end(app, ended, "the search has ended; B trains its best settings anew")
