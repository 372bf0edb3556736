"""Whole runs whose groups are layers, single matrices, or the user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calisr_engine.config.load import load
from calisr_engine.errors import ConfigError
from calisr_engine.forecast.before_start import check
from calisr_engine.process.execute import execute
from calisr_engine.results.audit import audit
from calisr_engine.runs import load_view
from calisr_engine.trackers.scalars import scalars
from calisr_tui.cli.show_text import describe
from tests.training.interrupt import kill_at
from tests.training.test_runs import same, story, weights
from tests.training.tiny_run import events, make_run, save_model

WINDOWS = (
    "calibration.delta=0.2",
    "calibration.score=vote",
    "calibration.samples_per_epoch=3",
    "training.epochs=2",
)
OWN = "calibration.groups=first: 0.*, attention: 1.query+key 1.value, others: rest"
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize(
    ("method", "sets", "count"),
    [
        ("lora", ("calibration.variant=LC",), 12),
        pytest.param("lora", ("calibration.variant=L",), 2, marks=SLOW),
        pytest.param("mpop", ("calibration.variant=LC",), 12, marks=SLOW),
        pytest.param("child_tuning_d", ("calibration.variant=LC",), 12, marks=SLOW),
        pytest.param("mask_bert", ("calibration.variant=L",), 2, marks=SLOW),
        ("lora", ("calibration.variant=own", OWN), 3),
    ],
)
def test_a_killed_run_goes_on_exactly_and_its_audit_agrees(
    model: Path, tmp_path: Path, method: str, sets: tuple[str, ...], count: int
) -> None:
    sets = (f"method.name={method}", *sets, *WINDOWS, "output.checkpoint_every_steps=4")
    kept = (*sets, "calibration.keep_samples=true")
    calm, killed = (make_run(model, tmp_path, name, *kept) for name in ("calm", "killed"))
    assert execute(calm, raise_errors=True) == 0
    kill_at(killed, 7)
    assert execute(killed, raise_errors=True) == 0
    assert same(weights(calm), weights(killed))
    assert sorted(map(json.dumps, story(calm))) == sorted(map(json.dumps, story(killed)))

    view = load_view(killed)
    assert len(view.groups) == count
    assert 0 < len(view.switches) <= count
    report = audit(killed)
    assert report.clean, [*report.disagreements, *report.missing]
    assert report.groups >= 3 * count
    told = describe(view, killed).plain
    assert f"{len(view.switches)} of {count} groups" in told or all(n in told for n in view.groups)
    (first, *_) = events(killed, "stable_rank_sampled")
    assert len(scalars(first)) == 2 * count

    control = ("calibration.control=shuffled", f"calibration.matched_to={calm}")
    dealt = make_run(model, tmp_path, "dealt", *sets, *control)
    assert execute(dealt, raise_errors=True) == 0
    steps = sorted((view.switched or {}).values())
    assert sorted((load_view(dealt).switched or {}).values()) == steps
    assert audit(dealt).clean


def test_a_run_may_be_matched_in_some_components(model: Path, tmp_path: Path) -> None:
    sets = ("method.name=lora", "method.components=query,output", "calibration.variant=S", *WINDOWS)
    first = make_run(model, tmp_path, "first", *sets, "training.epochs=1")
    execute(first, raise_errors=True)
    control = ("calibration.control=matched", f"calibration.matched_to={first}")
    second = make_run(model, tmp_path, "second", *sets, *control, "training.epochs=1")
    execute(second, raise_errors=True)
    assert list(load_view(second).groups) == ["query", "output"]


def test_a_grouping_that_does_not_fit_the_model_is_told_before_the_start(
    model: Path, tmp_path: Path
) -> None:
    sets = ["method.name=lora", "calibration.variant=own", f"model.name={model}", "task.name=demo"]
    config = load(None, [*sets, "calibration.groups=low: 0-3.*, high: rest"]).config
    (problem,) = check(config)
    assert problem.keys == ("calibration.groups",)
    assert "names layer 3, but the layers are 0 to 1" in problem.message
    run = make_run(model, tmp_path, "unfit", *sets, "calibration.groups=low: 0-3.*, high: rest")
    with pytest.raises(ConfigError, match="layer 3"):
        execute(run, raise_errors=True)
