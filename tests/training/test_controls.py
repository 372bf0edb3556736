"""Runs whose groups a control switches in the score's stead."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from calisr_engine.calibration.controls import coin, deal
from calisr_engine.config.load import from_resolved
from calisr_engine.errors import ConfigError
from calisr_engine.events.fold import fold_all
from calisr_engine.events.view import RunView
from calisr_engine.process.execute import execute
from calisr_engine.results.audit import audit
from calisr_engine.runs import load_view, store
from calisr_engine.runs.layout import RunPaths
from calisr_engine.training import checkpoint
from calisr_tui import words
from calisr_tui.cli.show_text import describe
from tests.training.interrupt import stop_at
from tests.training.tiny_run import events, make_run, save_model

CALIBRATED = ("method.name=lora", "calibration.variant=S", "calibration.samples_per_epoch=3")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("controls")
    model = save_model(folder / "model")
    source = make_run(model, folder, "source", *CALIBRATED)
    execute(source, raise_errors=True)
    return model, folder, source


def trained(place, name, *sets):
    model, folder, _ = place
    run = make_run(model, folder, name, *CALIBRATED, *sets)
    execute(run, raise_errors=True)
    return run


def weights(run):
    state, _ = checkpoint.newest(RunPaths(run))
    return state.model


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_the_source_switched_some_groups_and_not_others(place):
    switched = load_view(place[2]).switched
    assert switched is not None
    assert 0 < len(switched) < 6


def test_a_matched_run_of_the_same_seed_ends_with_the_same_bits(place):
    run = trained(place, "matched", "calibration.control=matched", "calibration.matched_to=source")
    view, source = load_view(run), load_view(place[2])
    assert view.switched == source.switched
    assert {switch.cause for switch in view.switches} == {"matched"}
    assert events(run, "stable_rank_sampled") == events(run, "srs_evaluated") == []
    assert same(weights(run), weights(place[2]))


def test_a_matched_run_may_measure_and_decides_nothing_by_it(place):
    control = ("calibration.control=matched", "calibration.matched_to=source")
    run = trained(place, "measured", *control, "calibration.measure=true")
    sampled = events(run, "stable_rank_sampled")
    own = events(place[2], "stable_rank_sampled")
    assert [each["groups"] for each in sampled] == [each["groups"] for each in own]
    assert events(run, "srs_evaluated") == []
    assert same(weights(run), weights(place[2]))


def test_a_shuffled_run_deals_the_steps_by_its_seed(place):
    control = ("calibration.control=shuffled", "calibration.matched_to=source")
    run = trained(place, "shuffled", *control, "calibration.control_seed=5")
    source = load_view(place[2]).switched
    dealt = deal({group: source.get(group) for group in load_view(run).groups}, 5)
    assert load_view(run).switched == {g: step for g, step in dealt.items() if step is not None}
    assert {switch.cause for switch in load_view(run).switches} == {"shuffled"}


def test_the_source_may_go_once_the_control_is_made(place, tmp_path):
    model, _, source = place
    shutil.copytree(source, tmp_path / "gone")
    control = ("calibration.control=matched", f"calibration.matched_to={tmp_path / 'gone'}")
    run = make_run(model, tmp_path, "late", *CALIBRATED, *control)
    shutil.rmtree(tmp_path / "gone")
    execute(run, raise_errors=True)
    assert load_view(run).switched == load_view(source).switched


def test_a_coin_run_counts_flips_and_switches_by_them(place):
    run = trained(place, "coin", "calibration.control=coin", "calibration.control_seed=3")
    view = load_view(run)
    flipped = events(run, "coin_flipped")
    assert events(run, "stable_rank_sampled") == []
    assert [each["step"] for each in flipped] == [
        each["step"] for each in events(place[2], "stable_rank_sampled")
    ]
    for each in flipped:
        for group, flip in each["groups"].items():
            assert flip["hit"] == coin(3, group, each["step"])
    expected = {}
    for group in view.groups:
        for end in (6, 12):  # the window that ends with training switches nothing
            window = [coin(3, group, step) for step in (end - 4, end - 2, end)]
            if sum(window) >= 2:
                expected.setdefault(group, end)
    assert view.switched == expected
    assert {switch.cause for switch in view.switches} == {"coin"}


def test_a_coin_run_may_measure_beside_the_coin(place):
    run = trained(
        place, "coin-measured", "calibration.control=coin", "calibration.control_seed=3",
        "calibration.measure=true",
    )  # fmt: skip
    plain = load_view(place[1] / "coin")
    assert load_view(run).switched == plain.switched
    assert same(weights(run), weights(place[1] / "coin"))
    first = events(run, "stable_rank_sampled")[0]["groups"]
    assert first == events(place[2], "stable_rank_sampled")[0]["groups"]


@pytest.mark.parametrize(("stop", "cumulative"), [(5, "false"), (9, "true")])
def test_a_coin_run_resumes_to_the_same_bits(place, tmp_path, stop, cumulative):
    model = place[0]
    sets = (*CALIBRATED, "calibration.control=coin", f"calibration.cumulative={cumulative}")
    whole = make_run(model, tmp_path, "whole", *sets)
    execute(whole, raise_errors=True)
    run = make_run(model, tmp_path, "stopped", *sets)
    stop_at(run, stop)
    execute(run, raise_errors=True)
    assert same(weights(run), weights(whole))
    one, other = load_view(run), load_view(whole)
    assert one.switched == other.switched
    assert {g: (v.hits, v.samples) for g, v in one.groups.items()} == {
        g: (v.hits, v.samples) for g, v in other.groups.items()
    }


REFUSED = {
    "another method": ("method.name=bitfit",),
    "other groups": ("calibration.variant=S3",),
    "other steps": ("training.epochs=2",),
    "other batches": ("training.batch_size=8",),
}


@pytest.mark.parametrize("sets", REFUSED.values(), ids=REFUSED.keys())
def test_a_source_that_does_not_fit_is_refused_before_anything_is_made(place, sets):
    model, folder, _ = place
    control = ("calibration.control=matched", "calibration.matched_to=source")
    with pytest.raises(ConfigError) as caught:
        make_run(model, folder, "unfit", *CALIBRATED, *control, *sets)
    (problem,) = caught.value.problems
    assert sets[0].partition("=")[0] in str(problem)
    assert not (folder / "unfit").exists()


def test_a_source_that_is_no_calibrated_complete_run_is_refused(place, tmp_path):
    model = place[0]
    begun = make_run(model, tmp_path, "begun", *CALIBRATED)
    plain = make_run(model, tmp_path, "plain", "method.name=lora")
    refused = {begun: "it is created", plain: "not calibrated", "none-such": "no run"}
    for source, why in refused.items():
        control = ("calibration.control=matched", f"calibration.matched_to={source}")
        with pytest.raises(ConfigError) as caught:
            make_run(model, tmp_path, "unfit", *CALIBRATED, *control)
        assert why in caught.value.message + "".join(map(str, caught.value.problems))


def test_steps_given_by_hand_stand_in_a_sources_place(place, tmp_path):
    steps = "query:2, key:never, value:7, attention_output:0, intermediate:18, output:never"
    control = ("calibration.control=matched", f"calibration.switch_steps={steps}")
    run = make_run(place[0], tmp_path, "by-hand", *CALIBRATED, *control)
    execute(run, raise_errors=True)
    assert load_view(run).switched == {
        "attention_output": 0, "query": 2, "value": 7, "intermediate": 18
    }  # fmt: skip


def test_steps_beyond_the_run_are_refused(place, tmp_path):
    steps = ", ".join(f"{g}:19" for g in load_view(place[2]).groups)
    control = ("calibration.control=matched", f"calibration.switch_steps={steps}")
    run = make_run(place[0], tmp_path, "beyond", *CALIBRATED, *control)
    with pytest.raises(ConfigError, match="18 steps"):
        execute(run, raise_errors=True)


def test_the_steps_are_in_the_settings_with_where_they_came_from(place):
    text = RunPaths(place[1] / "matched").config.read_text()
    (line,) = [each for each in text.splitlines() if each.startswith("switch_steps")]
    assert line.endswith("# the run source")
    assert from_resolved(RunPaths(place[1] / "matched").config).calibration.matched_to == "source"


@pytest.mark.parametrize("name", ["matched", "measured", "shuffled", "coin"])
def test_the_audit_agrees_with_a_control(place, name):
    report = audit(place[1] / name)
    assert report.clean, report.disagreements
    assert report.switches + report.flips > 0


def forged(run, into, kind, change):
    shutil.copytree(run, into)
    lines = (into / "events.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    change(next(each for each in records if each["type"] == kind))
    (into / "events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    return into


def another_step(record):
    record["step"] += 1


def another_flip(record):
    flip = record["groups"]["query"]
    flip["hit"] = 1.0 - flip["hit"]


def another_decision(record):
    said = record["groups"]["query"]
    said["switch"], said["held_back"] = not said["switch"], False


@pytest.mark.parametrize(
    ("name", "kind", "change"),
    [
        ("matched", "group_switched", another_step),
        ("shuffled", "group_switched", another_step),
        ("coin", "coin_flipped", another_flip),
        ("coin", "srs_evaluated", another_decision),
    ],
)
def test_the_audit_sees_a_forged_control(place, tmp_path, name, kind, change):
    assert not audit(forged(place[1] / name, tmp_path / "forged", kind, change)).clean


@pytest.mark.parametrize("name", ["matched", "shuffled", "coin"])
def test_what_is_said_of_a_control_names_it(place, name):
    run = place[1] / name
    view = load_view(run)
    assert f"control {name}" in describe(view, run)
    assert name in words.calibration(view.variant, view.delta, view.control)
    for group in view.groups.values():
        told = words.explain_counter(view, group)
        assert "control" in told or f"{name}: " in told
        assert "stable rank more" not in told
    assert store.summarise(run).control == name


def test_an_interrupted_log_of_a_coin_run_is_folded_back(place):
    """The counter after a cut is that of an undisturbed run."""
    records = [json.loads(e) for e in (place[1] / "coin" / "events.jsonl").open()]
    until = [each for each in records if each["step"] <= 9]
    started = next(each for each in records if each["type"] == "run_started")
    again = {**started, "seq": 10_000, "attempt": 2, "step": 6, "resumed_from": 6}
    cut = fold_all(RunView(), [*until, again])
    calm = fold_all(RunView(), [each for each in records if each["step"] <= 6])
    assert {g: (v.hits, v.samples, len(v.flips)) for g, v in cut.groups.items()} == {
        g: (v.hits, v.samples, len(v.flips)) for g, v in calm.groups.items()
    }
