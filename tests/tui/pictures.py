"""Pictures of all screens at all sizes and in all themes, to look at one by one.

    PICTURES=/tmp/pictures [SIZE=80x24,120x40] [THEME=light] pytest tests/tui/pictures.py [-k runs]

WITHOUT_COLOUR=1 draws them as NO_COLOR has them. What can be tested without eyes is: a theme
changes colours only, all letters stand out from their background, no key of the footer is cut.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Footer

from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.lock import RunLock
from calisr_tui import themes
from calisr_tui.asking import Answered
from calisr_tui.dialogs import Reading
from calisr_tui.feed import EXAMPLE
from calisr_tui.screens.try_it import _line
from tests.tui.contrast import faint
from tests.tui.example import light_checks, lines_on, make_app, settle, workplace
from tests.tui.many_groups import names, write_run
from tests.tui.studies import make_study
from tests.tui.test_draft import write_reviews
from tests.tui.test_snapshots import SCREENS

__all__ = ["light_checks", "workplace"]
pytestmark = pytest.mark.usefixtures("light_checks")

SIZES = ((60, 18), (80, 24), (100, 30), (120, 40), (200, 60))

FILL = ["enter", "down", "enter", *"reviews.csv", "down"]
RUN = {"run_dir": Path("runs/run-1")}
HELD = {"run_dir": Path("runs/held")}
FAILED = {"run_dir": Path("runs/failed")}
NOWHERE = {"output_dir": Path("nowhere")}
STUDY = {"start": "study"}
TWO = ["f4", "space", "down", "space", "c"]


def answer_one(app: Any) -> None:
    """As if the model had answered what is typed, and an answer had been kept before."""
    from calisr_engine.results.predictor import Prediction

    found = Prediction("unacceptable", {"unacceptable": 0.8125, "acceptable": 0.1875}, None)
    for text in ("The book was read by she.", "The book was read by her."):
        app.screen._failed, app.screen._state = None, "on cpu, opened in 1.2 s"
        app.screen.newest = Answered((text,), found, 0.031)
        app.screen.kept = [app.screen.newest, *app.screen.kept]
    app.screen.query_one("#try-list").update("\n".join(str(_line(e, {})) for e in app.screen.kept))
    app.screen.redraw()


def answer_words(app: Any) -> None:
    """As if a model of entities had answered."""
    from calisr_engine.results.predictor import Prediction, TaggedWord

    tags = {"Ada": "B-PER", "Lovelace": "I-PER", "London": "B-LOC", "Analytical": "B-MISC"}
    text = "Ada Lovelace wrote in London of the Analytical engine"
    found = [TaggedWord(word, tags.get(word, "O"), 0.93) for word in text.split()]
    app.screen._failed, app.screen._state = None, "on cpu, opened in 1.2 s"
    answered = Prediction(tuple(each.tag for each in found), None, tuple(found))
    app.screen.newest = Answered((text,), answered, 0.031)
    app.screen.redraw()


def trains_detached(app: Any) -> None:
    """As if a run of this app trained in a process of its own."""
    app.started.detached_running = lambda: ["run-1"]


def export_failed(app: Any) -> None:
    app.push_screen(Reading("The export failed", "error: the folder exists\n  try: --force"))


def toasts(app: Any) -> None:
    for severity in ("information", "warning", "error"):
        app.notify(f"a message that is of the kind {severity}", severity=severity, timeout=600)


MORE: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "home": ({}, ["H"]),
    "home-empty": (NOWHERE, ["H"]),
    "setup-training": ({}, ["enter"] * 4),
    "setup-data-full": ({}, [*FILL, "ctrl+t"]),
    "setup-columns": ({}, [*FILL, "down", "ctrl+l"]),
    "setup-files": ({}, ["enter", "down", "enter", "ctrl+l"]),
    "setup-wrong": ({}, [*["enter"] * 4, "ctrl+u", "x"]),
    "setup-data-missing": ({}, ["enter", "down", "enter", *"no-such.csv", "down"]),
    "setup-data-words": ({}, ["enter", "down", "enter", *"tagged.conll", "down"]),
    "setup-presets": ({}, ["ctrl+o"]),
    "setup-save": ({}, ["ctrl+s"]),
    "setup-toml": ({}, ["f9"]),
    "live-empty": (NOWHERE, ["f3"]),
    "live-middle": ({"run_dir": Path("runs/middle")}, []),
    "live-held": (HELD, []),
    "live-paused": ({"run_dir": Path("runs/paused")}, []),
    "live-words": ({"run_dir": Path("runs/words")}, []),
    "live-stop": (HELD, ["x"]),
    "live-switch": (HELD, ["w"]),
    "live-switch-sure": (HELD, ["w", "enter"]),
    "live-failed": (FAILED, ["escape"]),
    "live-failure": (FAILED, []),
    "live-traceback": (FAILED, ["right", "enter"]),
    "live-stopped": ({"run_dir": Path("runs/stopped")}, []),
    "live-cursor": (RUN, ["4", "c", "left", "left"]),
    "live-full": (RUN, ["6", "g", "f"]),
    "live-full-score": (RUN, ["5", "f"]),
    "live-full-loss": (RUN, ["4", "f", "l"]),
    "live-log": (RUN, ["3"]),
    "live-settings": (RUN, ["o"]),
    "live-compare": (RUN, ["C"]),
    "live-toasts": (RUN, [toasts]),
    "live-explain": (RUN, ["i"]),
    "replay-begin": ({"replay": EXAMPLE}, ["home"]),
    "runs-empty": (NOWHERE, ["f4"]),
    "runs-grouped": ({}, ["f4", "slash", *"best>0.1", "enter"]),
    "runs-no-match": ({}, ["f4", "slash", *"best>9", "enter"]),
    "runs-columns": ({}, ["f4", "k"]),
    "runs-groups": ({}, ["f4", "g"]),
    "runs-by-task": ({}, ["f4", "g", *"task", "enter", "escape", "space", "down"]),
    "runs-delete": ({}, ["f4", "d"]),
    "runs-curves": ({}, ["f4", "l"]),
    "runs-name": ({}, ["f4", "n"]),
    "runs-tags": ({}, ["f4", "t"]),
    "runs-notes": ({}, ["f4", "i"]),
    "runs-settings": ({}, ["f4", "o"]),
    "compare-empty": (NOWHERE, ["f5"]),
    "compare-loss": ({}, [*TWO, "m"]),
    "compare-group": ({}, [*TWO, "m", "m"]),
    "compare-ranks": ({}, [*TWO, "m", "m", "m"]),
    "compare-band": ({}, [*TWO, "b", "x"]),
    "compare-add": ({}, [*TWO, "a"]),
    "errors-none": ({"run_dir": Path("runs/middle")}, ["E"]),
    "errors-matrix": ({}, ["f4", "E", "v"]),
    "errors-third": ({}, ["f4", "E", "v", "v"]),
    "errors-class": ({}, ["f4", "E", "l"]),
    "errors-row": ({}, ["f4", "E", "tab", "enter"]),
    "try": ({}, ["f4", "a"]),
    "try-answer": ({}, ["f4", "a", answer_one]),
    "try-words": ({}, ["f4", "a", answer_words]),
    "export": ({}, ["f4", "X"]),
    "export-failed": ({}, ["f4", export_failed]),
    "grid-empty": (NOWHERE, ["ctrl+g"]),
    "grid-start": ({}, ["ctrl+g", "s"]),
    "grid-choose": ({}, ["ctrl+g", "o"]),
    "grid-file": ({}, ["ctrl+g", "o", "down", "enter"]),
    "grid-stop": ({}, ["ctrl+g", "x"]),
    "grid-cell": ({}, ["ctrl+g", "enter"]),
    "report-latex": ({}, ["ctrl+g", "t", "m", "m"]),
    "report-against": ({}, ["ctrl+g", "t", "a"]),
    "report-statistics": ({}, ["ctrl+g", "t", "s"]),
    "figures-second": ({}, ["ctrl+g", "f", "right"]),
    "figures-third": ({}, ["ctrl+g", "f", "right", "right"]),
    "figures-fourth": ({}, ["ctrl+g", "f", "right", "right", "right"]),
    "figures-choose": ({}, ["ctrl+g", "f", "o"]),
    "study-empty": (NOWHERE, ["O"]),
    "study-by-score": (STUDY, ["v"]),
    "study-choose": (STUDY, ["o"]),
    "help-setup": ({}, ["f1"]),
    "help-runs": ({}, ["f4", "f1"]),
    "quit": (RUN, [trains_detached, "q"]),
    "palette": (RUN, ["ctrl+p"]),
}


def cut_off(run: Path, folder: Path, step: int, *last: dict[str, Any]) -> None:
    """A run that came to a step, and what its log says then."""
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    kept = [line for line in lines if line["step"] < step]
    head = {key: kept[-1][key] for key in ("v", "attempt", "time")}
    for number, said in enumerate(last):
        kept.append({**head, "seq": kept[-1]["seq"] + 1 + number, "step": step, **said})
    folder.mkdir()
    (folder / "config.toml").write_text((run / "config.toml").read_text())
    (folder / "events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in kept))


def of_words(log: Path) -> None:
    """Make the run one that finds entities: its data, its metric."""
    text = log.read_text().replace('"matthews"', '"entity_f1"')
    text = text.replace('"name":"demo","data_dir"', '"name":"own","data_dir"')
    text = text.replace('"kind":null', '"kind":"words"').replace('"kind": null', '"kind": "words"')
    log.write_text(text)


@pytest.fixture
def runs(workplace: Path) -> Iterator[Path]:
    """Runs that were stopped in the middle, or failed; one is held as if it trained."""
    run = workplace / "runs" / "run-1"
    failed = {
        "type": "failed",
        "message": "the training loss is not a number (nan) at step 260",
        "hint": "lower training.learning_rate, or set training.max_grad_norm",
        "traceback": "",
    }
    cut_off(run, workplace / "runs" / "middle", 230)
    cut_off(run, workplace / "runs" / "failed", 260, failed)
    cut_off(
        run,
        workplace / "runs" / "stopped",
        300,
        {"type": "stopped", "reason": "asked", "saved": True},
    )
    cut_off(run, workplace / "runs" / "held", 230)
    cut_off(run, workplace / "runs" / "paused", 230, {"type": "paused"})
    cut_off(run, workplace / "runs" / "words", 400)
    of_words(workplace / "runs" / "words" / "events.jsonl")
    (workplace / "tagged.conll").write_text("Ada B-PER\nwrote O\n\nLondon B-LOC\nslept O\n\n" * 40)
    write_reviews(workplace / "reviews.csv")
    held = RunLock(RunPaths(workplace / "runs" / "held"))
    with held, RunLock(RunPaths(workplace / "runs" / "paused")):
        yield workplace


def asked(variable: str, name: str) -> bool:
    """Whether one of the parts in the variable, with commas between, is in the name."""
    return any(part in name for part in os.environ.get(variable, "").split(","))


@pytest.mark.parametrize("name", [*SCREENS, *MORE])
async def test_picture(name: str, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.environ.get("PICTURES")
    if not folder:
        pytest.skip("PICTURES names no folder")
    from calisr_tui.asking import Asking

    monkeypatch.setattr(Asking, "start", lambda self: None)
    if os.environ.get("WITHOUT_COLOUR"):
        monkeypatch.setenv("NO_COLOR", "1")
    options, keys = (SCREENS | MORE)[name]
    if name.startswith("live-map"):
        write_run(runs / "runs" / "many", names(12))
    if options.get("start") == "study":
        make_study(Path("runs"))
    sizes = [each for each in SIZES if asked("SIZE", f"{each[0]}x{each[1]}")]
    chosen = [each for each in themes.NAMES if asked("THEME", each)]
    app = make_app(runs, **options, clock=lambda: 0.0)
    async with app.run_test(size=sizes[0], notifications=toasts in keys) as pilot:
        app.theme = chosen[0]
        for key in keys:
            if callable(key):
                key(app)
            else:
                await pilot.press(key)
            await settle(pilot)
        if toasts not in keys:
            app.clear_notifications()
        unread: set[tuple[str, float, str]] = set()
        for theme, size in itertools.product(chosen, sizes):
            if app.theme != theme:
                app.theme = theme
            await pilot.resize_terminal(*size)
            await pilot.pause(0.3)
            await settle(pilot)
            name = f"{name.split('-at-')[0]}-at-{size[0]}x{size[1]}"
            path = Path(folder) / f"{name}-{theme}.svg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(app.export_screenshot(), encoding="utf-8")
            said = "\n".join(lines_on(app))
            plain = path.parent / f"{name}.txt"
            if theme == chosen[0]:
                plain.write_text(said)
            assert said == plain.read_text()
            for footer in app.screen.query(Footer):
                assert all(key.region.right <= size[0] for key in footer.children)
            if not app.native_ansi_color:
                unread.update(faint(app))
    assert not unread
