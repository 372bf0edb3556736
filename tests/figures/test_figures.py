"""The data of each figure from small runs and hand-written logs; drawing them; the command."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from calisr_engine.analysis.weights import checkpoint_weights, read_weights, total_stable_rank
from calisr_engine.errors import CalisrError, ConfigError, NotFoundError, UnavailableError
from calisr_engine.events import types as ev
from calisr_engine.events.log import EventWriter
from calisr_engine.figures import curves, picture, switches, thresholds
from calisr_engine.figures.catalog import NAMES, default_grid, make_figure, panel_names
from calisr_engine.figures.data import Figure, Panel, Series, looks
from calisr_engine.figures.runs import begun_views, gather
from calisr_engine.grid.spec import grid_names
from calisr_engine.process.execute import execute
from calisr_engine.training.checkpoint import steps
from calisr_tui.charts.figure_text import legend_lines, panel_text
from calisr_tui.cli.app import run_command_line
from tests.training.golden import keep_head
from tests.training.tiny_run import make_run, save_model

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None,
    reason="matplotlib is not installed (extra: figures)",
)


def write_log(
    folder: Path,
    name: str,
    switched: dict[str, int | None],
    best: float = 0.5,
    share: float = 0.5,
    end: str = "completed",
    **settings: Any,
) -> Path:
    """A log as a run of 100 steps would write it."""
    values = {"method": "mpop", "variant": "S", "delta": 0.5, "seed": 1, "task": "mrpc"} | settings
    config = {
        "model": {"name": "tiny"},
        "task": {"name": values["task"]},
        "method": {"name": values["method"], "components": None},
        "calibration": {"variant": values["variant"], "delta": values["delta"], "score": "sum"},
        "training": {"seed": values["seed"]},
    }
    run = folder / name
    run.mkdir(parents=True)
    with EventWriter(run / "events.jsonl", attempt=1) as log:
        log.write(0, ev.RunCreated(run_id=name, config=config))
        log.write(
            0,
            ev.RunStarted(
                groups=tuple(switched),
                phases=dict.fromkeys(switched, "fft"),
                total_steps=100,
                steps_per_epoch=25,
                epochs=4,
                trainable=1000,
                total=1000,
                trainable_lft=100,
                train_examples=1,
                validation_examples=1,
                metric="f1",
                device="cpu",
                precision="fp32",
            ),
        )
        for group, step in sorted(switched.items(), key=lambda pair: pair[1] or 0):
            if step is not None:
                log.write(
                    step,
                    ev.GroupSwitched(
                        epoch=0.0,
                        group=group,
                        cause="calibration",
                        why="",
                        trainable_before=1,
                        trainable=1,
                        total=1000,
                    ),
                )
        log.write(
            100,
            ev.Evaluated(
                epoch=4.0,
                metrics={"f1": best, "accuracy": best / 2},
                metric="f1",
                value=best,
                best=best,
                best_step=100,
                is_best=True,
            ),
        )
        if end == "completed":
            log.write(100, ev.Completed(summary={"mean_trainable_share": share}))
        else:
            log.write(100, ev.Stopped(reason="", saved=True))
    return run


# Figure 2 ----------------------------------------------------------------------------------------


def test_figure_2a_is_the_mean_moment_of_each_switch(tmp_path: Path) -> None:
    write_log(tmp_path, "a", {"query": 20, "value": 40}, seed=1)
    write_log(tmp_path, "b", {"query": 40, "value": None}, seed=2)
    write_log(tmp_path, "c", {"query": 20}, variant="off")
    write_log(tmp_path, "d", {"query": None}, delta=1.0)
    write_log(tmp_path, "e", {"query": 80}, end="stopped")
    runs = gather([str(tmp_path)], tmp_path)
    panel = switches.switch_steps(runs)
    assert panel.x_names == ("query", "value")
    (series,) = panel.series
    assert series.label == "MPOP+CaliSr-S"
    assert (series.x, series.y) == ((0.0, 1.0), (30.0, 40.0))
    assert series.spread == pytest.approx((200**0.5, 0.0))
    assert "value 1 of 2" in panel.notes[0]
    assert runs.left_out == {"stopped": 1}
    assert any("1 stopped" in note for note in runs.notes())


def test_figure_2a_takes_each_run_s_own_steps_and_says_what_it_averages(tmp_path: Path) -> None:
    write_log(tmp_path, "a", {"query": 20}, seed=1)
    write_log(tmp_path, "b", {"query": 60}, seed=2, delta=0.6)
    log = tmp_path / "b" / "events.jsonl"
    log.write_text(log.read_text().replace('"total_steps":100', '"total_steps":200'))
    panel = switches.switch_steps(gather([str(tmp_path)], tmp_path))
    assert panel.series[0].y == (25.0,)  # of 20 and 30 percent
    assert panel.notes == ("averaged over different calibration.delta: MPOP+CaliSr-S",)


def test_of_runs_with_the_same_settings_and_seed_the_newest_is_drawn(tmp_path: Path) -> None:
    write_log(tmp_path / "one", "a", {"query": 20})
    write_log(tmp_path / "two", "a", {"query": 40})
    sources = [str(tmp_path / "two"), str(tmp_path / "one")]
    runs = gather(sources, tmp_path)
    assert [run.path.parent.name for run in runs.runs] == ["two"]
    assert runs.notes()[-1] == "left out, as newer ones have the same settings and seed: 1"


def test_runs_of_one_id_and_damaged_ones_are_not_lost_in_silence(tmp_path: Path) -> None:
    write_log(tmp_path / "one", "a", {"query": 20}, seed=1)
    write_log(tmp_path / "two", "a", {"query": 40}, seed=2)
    (tmp_path / "two" / "b").mkdir()
    (tmp_path / "two" / "b" / "events.jsonl").write_bytes(b"\x00\xff\n")
    views, problems = begun_views([str(tmp_path / "one"), str(tmp_path / "two")], tmp_path)
    assert {name: view.seed for name, view in views.items()} == {"one/a": 1, "two/a": 2}
    assert list(problems) == ["b"]


def test_figure_2b_sets_trainable_share_against_the_fft_share(tmp_path: Path) -> None:
    for number, (step, share) in enumerate([(0, 0.1), (50, 0.6), (None, 1.0)]):
        write_log(tmp_path, str(number), {"model": step}, share=share, variant="off")
    write_log(tmp_path, "s", {"query": 20, "value": 60, "key": None}, share=0.7)
    line, points = switches.trainable_shares(gather([str(tmp_path)], tmp_path)).series
    assert line.x == (0.0, 50.0, 100.0)
    assert line.y == pytest.approx((10.0, 60.0, 100.0))
    assert points.x == pytest.approx(((20 + 60 + 100) / 3,))
    assert points.y == pytest.approx((70.0,))
    assert points.hollow == (True,)


# Figure 5 ----------------------------------------------------------------------------------------


def test_figure_5_finds_the_best_delta_and_deltas_that_decide_alike(tmp_path: Path) -> None:
    for task, delta, seed, best, at in [
        ("mrpc", 0.4, 1, 0.80, 20), ("mrpc", 0.4, 2, 0.84, 40),
        ("mrpc", 0.5, 1, 0.80, 20), ("mrpc", 0.5, 2, 0.84, 40),
        ("mrpc", 0.6, 1, 0.70, None), ("mrpc", 0.6, 2, 0.74, 40),
        ("rte", 0.4, 1, 0.50, 20), ("rte", 0.6, 1, 0.60, 40),
    ]:  # fmt: skip
        write_log(
            tmp_path, f"{task}{delta}{seed}", {"query": at}, best, task=task, delta=delta, seed=seed
        )
    runs = gather([str(tmp_path)], tmp_path)
    best = thresholds.best_thresholds(runs)
    assert best.x_names == ("MRPC", "RTE")
    (points,) = best.series
    assert set(zip(points.x, points.y, points.hollow, strict=True)) == {
        (0.0, 0.4, False), (0.0, 0.5, True), (1.0, 0.6, False),
    }  # fmt: skip
    assert "MRPC: 82.00 at delta 0.4, 0.5, 10.00 points before the next" in best.notes
    panels = thresholds.metric_by_threshold(runs)
    mrpc, rte = (panel.series[0] for panel in panels)
    assert mrpc.x == (0.4, 0.5, 0.6)
    assert mrpc.y == pytest.approx((82.0, 82.0, 72.0))
    assert mrpc.spread == pytest.approx((8**0.5,) * 3)
    assert rte.y == pytest.approx((50.0, 60.0))
    assert panels[0].notes == ("MRPC: the same switches in every run with delta 0.4, 0.5",)
    assert panels[1].notes == ()


def test_figure_5_says_where_deltas_do_not_compare(tmp_path: Path) -> None:
    for delta, seed, method in [(0.4, 1, "mpop"), (0.4, 2, "mpop"), (0.6, 1, "lora")]:
        write_log(tmp_path, f"{delta}{seed}", {"query": 20}, seed=seed, delta=delta, method=method)
    (panel,) = thresholds.metric_by_threshold(gather([str(tmp_path)], tmp_path))
    assert panel.notes[:2] == (
        "averaged over different method.name: MRPC",
        "MRPC: not every delta has the same seeds (runs: 2 at 0.4, 1 at 0.6)",
    )


# Figures 3 and 4, from real runs -----------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Full fine-tuning that is measured, the light method, and CaliSr-D, of a tiny model."""
    torch.set_num_threads(1)
    model = save_model(tmp_path_factory.mktemp("model"))
    keep_head(model)  # with which CaliSr-D switches
    folder = tmp_path_factory.mktemp("runs")
    common = (
        "model.head=by_name",
        "method.name=mpop",
        "training.seed=2",
        "output.export=false",
        "output.keep_checkpoints=9",
    )
    for name, sets in {
        "measured": ("calibration.variant=D", "calibration.delta=1.0"),
        "light": ("schedule.switch_at=0.0",),
        "calibrated": ("calibration.variant=D", "calibration.delta=0.5"),
    }.items():
        run = make_run(model, folder, name, *common, *sets)
        assert execute(run, raise_errors=True) == 0
    return folder


def test_figure_3_total_stable_rank_is_that_of_the_weights(trained: Path) -> None:
    runs = {run.path.name: run for run in gather([str(trained)], trained).runs}
    assert {name: run.kind for name, run in runs.items()}["measured"] == "fft"
    assert runs["light"].kind == "lft"
    for name in ("measured", "light"):
        ranks = curves.total_stable_ranks(runs[name])
        for folder in steps(trained / name / "checkpoints"):
            step = float(folder.name.removeprefix("step-"))
            wanted = total_stable_rank(checkpoint_weights(folder))
            assert ranks[step] == pytest.approx(wanted, rel=1e-9)
    # Five samples an epoch, but for step 1, at the start of the warm-up, where nothing moves.
    assert len(curves.total_stable_ranks(runs["measured"])) == 14
    assert len(curves.total_stable_ranks(runs["light"])) == 3  # three checkpoints


def test_figure_3_suggests_what_calibration_did(trained: Path) -> None:
    """A run that is only measured suggests the step at which the calibrated one switched."""
    runs = {run.path.name: run for run in gather([str(trained)], trained).runs}
    assert runs["calibrated"].kind == "calibrated"
    (switch,) = runs["calibrated"].view.switches
    assert 0 < switch.step < 18
    assert curves.suggested_step(runs["measured"]) == switch.step
    figure = make_figure("3", [str(trained)], trained)
    assert all(panel.marks == (float(switch.step),) for panel in figure.panels)


def test_figure_3_counts_all_groups_and_leaves_the_last_step_out(tmp_path: Path) -> None:
    run = write_log(tmp_path, "run", {"query": None, "value": None})

    def suggestion(*windows: tuple[int, float, float]) -> int | None:
        log = run / "events.jsonl"
        before = log.read_text()
        with EventWriter(log, attempt=1) as writer:
            for step, query, value in windows:
                writer.write(
                    step,
                    ev.SrsEvaluated(
                        epoch=0.0,
                        groups={
                            name: ev.GroupDecision(
                                srs=hits / 5, delta=1.0, hits=hits, samples=5, switch=False, why=""
                            )
                            for name, hits in (("query", query), ("value", value))
                        },
                    ),
                )
        found = curves.suggested_step(gather([str(run)], tmp_path).runs[0])
        log.write_text(before)
        return found

    assert suggestion((25, 5, 0), (50, 4, 1), (75, 4, 2)) == 75
    assert suggestion((25, 5, 1), (50, 5, 5)) == 25
    assert suggestion((25, 0, 0), (100, 5, 5)) is None


def test_figure_3_has_three_panels_of_all_runs(trained: Path) -> None:
    figure = make_figure("3", [str(trained)], trained)
    assert [panel.title for panel in figure.panels] == [
        "Total stable rank", "Training loss", "Validation",
    ]  # fmt: skip
    labels = [series.label for series in figure.panels[1].series]
    assert labels[:2] == ["MPOP FFT", "MPOP LFT"]
    loss = figure.panels[1].series[0]
    view = gather([str(trained / "measured")], trained).runs[0].view
    assert sum(loss.y) / len(loss.y) == pytest.approx(sum(view.loss.y) / len(view.loss.y), rel=1e-6)
    assert figure.panels[2].y_label == "accuracy, %"


def test_figure_4_is_signed_and_against_the_start(trained: Path) -> None:
    figure = make_figure("4", [str(trained)], trained, ["1.value"])
    assert [panel.name for panel in figure.panels] == ["4a", "4b", "4c", "4d"]
    start = read_weights(Path(read_config(trained / "light")["model"]["name"]))
    end = read_weights(trained / "light")
    wanted = torch.linalg.svdvals(end.matrices["1.value"].double()) - torch.linalg.svdvals(
        start.matrices["1.value"].double()
    )
    assert figure.panels[1].series[0].y == pytest.approx(tuple(wanted.tolist()), abs=1e-12)
    assert figure.panels[1].series[0].label == "MPOP 1.value"
    assert min(figure.panels[0].series[0].y) < 0 < max(figure.panels[0].series[0].y)
    alone = make_figure("4d", [str(trained)], trained)
    assert [panel.name for panel in alone.panels] == ["4d"]
    assert alone.panels[0].series[0].label == "MPOP 1.intermediate"
    with pytest.raises(ConfigError, match="too many"):
        make_figure("4a", [str(trained)], trained, ["0", "1"])
    with pytest.raises(NotFoundError, match="no target"):
        make_figure("4a", [str(trained)], trained, ["9.value"])


def read_config(run: Path) -> dict[str, Any]:
    line = (run / "events.jsonl").read_text().splitlines()[0]
    return dict(json.loads(line)["config"])


# Sources and names -------------------------------------------------------------------------------


def test_every_figure_has_both_grids() -> None:
    for name in NAMES:
        assert default_grid(name) in grid_names()
        assert default_grid(name).replace("small", "paper") in grid_names()
    assert panel_names("Figure 2a") == ("2a",)
    with pytest.raises(NotFoundError, match="no figure '6'"):
        panel_names("6")


def test_figures_without_runs_say_how_to_train_them(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        make_figure("5b", ["small/figure5"], tmp_path)
    assert "30 waiting" in caught.value.message
    assert f"calisr grid run small/figure5 --output-dir {tmp_path}" in caught.value.hint
    write_log(tmp_path, "only", {"query": 20})
    with pytest.raises(NotFoundError, match="in full fine-tuning"):
        make_figure("3", [str(tmp_path / "only")], tmp_path)
    with pytest.raises(CalisrError, match="no-such"):
        make_figure("3", ["no-such"], tmp_path)


# Drawing -----------------------------------------------------------------------------------------

PICTURE = Figure(
    "A picture",
    (
        Panel(
            "2a", "Named", "group", "share",
            (
                Series("mean", (0.0, 1.0), (1.0, 2.0), (0.1, 0.2), style="points"),
                Series(
                    "other", (0.0, 1.0), (2.0, 1.0),
                    hollow=(True, False), style="points", colour=1,
                ),
            ),
            x_names=("query", "attention_output"),
        ),
        Panel(
            "3", "Curve", "step", "loss",
            (
                Series("one", (0.0, 1.0, 2.0), (1.0, -1.0, 2.0), (0.1, 0.1, 0.1)),
                Series("two", (0.0, 2.0), (1.0, 1.0), style="line+points", colour=1),
            ),
            marks=(1.0,), mark_label="suggested", levels=(0.0,), notes=("a note",),
        ),
        Panel("2b", "Empty", "x", "y", ()),
    ),
)  # fmt: skip


@needs_matplotlib
def test_labels_of_others_are_drawn_as_they_were_typed(tmp_path: Path) -> None:
    foreign = "<b>x</b> $\\frac{$ & [red]\x1b[2J\x9b\u202e"
    series = (
        Series(foreign, (0.0, 1.0), (1.0, 2.0)),
        Series(foreign, (0.0,), (1.0,), hollow=(True,)),
    )
    panel = Panel("1", foreign, foreign, foreign, series, (foreign, "b"), (0.5,), foreign)
    picture.draw(Figure(foreign, (panel,)), tmp_path / "a.svg")
    root = ElementTree.fromstring((tmp_path / "a.svg").read_bytes())
    texts = [each.text for each in root.iter() if each.text and "[red]" in each.text]
    assert len(texts) >= 6
    assert set(texts) == {"<b>x</b> $\\frac{$ & [red]␛[2J\\x9b\\u202e"}


@needs_matplotlib
def test_a_figure_is_drawn_to_files_and_always_alike(tmp_path: Path) -> None:
    picture.draw(PICTURE, tmp_path / "a.svg")
    picture.draw(PICTURE, tmp_path / "b.svg")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    for word in ("(2a) Named", "attention", "suggested", "one", "two"):
        assert f">{word}" in text
    picture.draw(PICTURE, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_figure_is_drawn_in_the_terminal() -> None:
    named, curve, empty = (panel_text(panel, 80, 14).plain for panel in PICTURE.panels)
    assert "query" in named
    assert "attention_output" in named
    assert {"●", "△"} <= set(named)
    assert "│ suggested: 1" in curve
    assert "a note" in curve
    assert {"●", "▲"} <= set(curve)
    assert "nothing to draw" in empty
    assert max(map(len, named.splitlines())) <= 80


def test_a_panel_below_its_title_says_it_once() -> None:
    series = (Series("a", (0.0, 1.0), (0.0, 1.0)),)
    for title, head in (("Best delta", "delta"), ("Best delta, RTE", "RTE: delta")):
        panel = Panel("5a", title, "task", "delta", series)
        assert panel_text(panel, 60, 9, below="best delta").plain.split("\n")[0] == head
        assert panel_text(panel, 60, 9).plain.startswith(f"(5a) {title}: delta\n")


@pytest.mark.parametrize(("width", "lines"), [(30, 9), (80, 3), (120, 2)])
def test_a_legend_stands_in_columns(width: int, lines: int) -> None:
    series = tuple(Series(f"method {n} task", (0.0,), (float(n),), colour=n) for n in range(9))
    panel = Panel("2a", "Many", "group", "share", series)
    text = panel_text(panel, width, 14).plain.splitlines()
    assert legend_lines(panel, width) == lines
    legend = text[1 : 1 + lines]
    assert len(text) == 1 + lines + 14 + 1
    assert [each for line in legend for each in line.split() if each.isdigit()] == list("012345678")
    assert max(map(len, text)) <= width
    places = [[at for at, sign in enumerate(line) if sign == "m"] for line in legend]
    assert all(each == places[0][: len(each)] for each in places)


def test_colours_are_for_methods_and_markers_for_tasks() -> None:
    assert looks([("LoRA", "RTE"), ("MPOP", "RTE")]) == [(0, None), (1, None)]
    both = [("LoRA", "RTE"), ("LoRA", "CoLA"), ("MPOP", "RTE"), ("MPOP", "CoLA")]
    assert looks(both) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    same = Series("a", (0.0,), (1.0,), style="points", colour=1, marker=0)
    panel = Panel("2a", "Two", "group", "share", (same, replace(same, label="b", marker=1)))
    assert {"●", "▲"} <= set(panel_text(panel, 40, 8).plain)


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name == "matplotlib" else found(name, *a),
    )
    with pytest.raises(UnavailableError) as caught:
        picture.draw(PICTURE, tmp_path / "a.svg")
    assert "calisr[figures]" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.svg or \.png"):
        picture.check_out(tmp_path / "a.gif")
    with pytest.raises(ConfigError, match="does not exist"):
        picture.check_out(tmp_path / "no" / "a.svg")


# The command -------------------------------------------------------------------------------------


def test_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for seed in (1, 2):
        write_log(tmp_path, f"run{seed}", {"query": 20, "value": 40}, seed=seed)
    at = [str(tmp_path), "--output-dir", str(tmp_path)]
    assert run_command_line(["figure", "2a", *at, "--json"]) == 0
    said = json.loads(capfd.readouterr()[0])
    assert said["panels"][0]["series"][0]["y"] == [20.0, 40.0]
    assert run_command_line(["figure", "2", *at]) == 0
    assert "When each group switches" in capfd.readouterr()[0]
    assert run_command_line(["figure", "2a", "run1", "--output-dir", str(tmp_path)]) == 0
    assert "1 run of run1" in capfd.readouterr()[0]


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["7"], 4, "the figures are 2, 2a"),
        (["5a"], 4, "calisr grid run small/figure5"),
        (["5a", "no-such-grid"], 4, "no-such-grid"),
        (["5a", "--out", "a.gif"], 2, ".svg"),
    ],
)
def test_mistakes(
    words: list[str], status: int, text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["figure", *words, "--output-dir", str(tmp_path)]) == status
    out, err = capfd.readouterr()
    assert out == ""
    assert text in err
    assert "Traceback" not in err
