"""What the hits of runs amount to: groups of a run, runs taken together, words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from calisr_engine.analysis.score import group_scores, in_words, pooled
from calisr_engine.calibration.score_statistics import fair_coin_switches
from calisr_engine.events import types as ev
from calisr_engine.events.fold import fold_all
from calisr_engine.events.view import RunView
from calisr_engine.figures.scores import score_rows, score_views
from calisr_tui import words
from calisr_tui.cli.app import app
from tests.events.cases import record

EXAMPLE = Path(__file__).parents[2] / "calisr_tui" / "example"


def view_of(
    hits: str, window: int = 5, delta: float = 0.5, total: int = 1000, **calibration: object
) -> RunView:
    """A run of one group with a sample a step; "1" is a hit."""
    calibration = {"variant": "D", "delta": delta, **calibration}
    created = ev.RunCreated(run_id="r", config={"calibration": calibration})
    lines: list[tuple[ev.Event, int]] = [(created, 0)]
    started = ev.RunStarted(
        groups=("model",), phases={"model": "fft"}, total_steps=total, steps_per_epoch=window,
        epochs=1, trainable=1, total=1, trainable_lft=1, train_examples=1, validation_examples=1,
        metric="f1", device="cpu", precision="fp32",
    )  # fmt: skip
    lines.append((started, 0))
    count = samples = 0
    for step, sign in enumerate(hits, start=1):
        hit = int(sign)
        count, samples = count + hit, samples + 1
        sample = ev.GroupSample(
            sr_lft=1.0, sr_fft=1.0, difference=0.5 - hit, hit=hit, hits=count, samples=samples
        )
        lines.append((ev.StableRankSampled(epoch=0.0, groups={"model": sample}), step))
        part = ev.StepPart(light_change=float(step), extra_change=hit - 0.5)
        lines.append((ev.StepPartsMeasured(groups={"model": part}), step))
        if step % window == 0:
            decision = ev.GroupDecision(
                srs=count / samples, delta=delta, hits=count, samples=samples, switch=False, why=""
            )
            lines.append((ev.SrsEvaluated(epoch=0.0, groups={"model": decision}), step))
            if not calibration.get("cumulative"):
                count = samples = 0
    records = [record(event, step, seq=seq) for seq, (event, step) in enumerate(lines)]
    return fold_all(RunView(), records)


def test_a_group_with_its_figures() -> None:
    (found,) = group_scores(view_of("1110000111"))
    assert (found.samples, found.hits, found.flips, found.pairs) == (10, 6, 2, 9)
    # Mean 0.6: (2 + 1 pairs of hits) + 3 of misses, and 2 mixed ones.
    below = 6 * 0.4**2 + 4 * 0.6**2
    assert found.r == pytest.approx((4 * 0.16 + 3 * 0.36 - 2 * 0.24) / below)
    assert found.per_window == 5
    assert found.effective == pytest.approx(5 * (1 - found.r) / (1 + found.r))
    assert found.coin == 0.75
    assert (found.parts, found.agreeing) == (10, 10)
    assert found.extra == pytest.approx(-1)


def test_windows_that_cannot_switch_are_no_chance_for_the_coin() -> None:
    assert group_scores(view_of("1110000111", total=10))[0].coin == 0.5
    assert group_scores(view_of("11100", total=5))[0].coin is None


def test_a_cumulative_counter_and_a_vote() -> None:
    exact = float(fair_coin_switches([5, 5], 0.5, cumulative=True))
    assert group_scores(view_of("1110000111", cumulative=True))[0].coin == exact != 0.75
    assert group_scores(view_of("1110000111", score="vote"))[0].coin is None


def test_runs_are_series_of_their_own() -> None:
    """Two runs that never change their mind say nothing of persistence, however they differ."""
    views = [view_of("1111111111"), view_of("0000000000")]
    both = pooled([(view, view.groups["model"]) for view in views])
    assert (both.runs, both.samples, both.flips, both.r) == (2, 20, 0, None)


def test_the_words_have_the_figures() -> None:
    view = view_of("1110000111")
    told = in_words(view, view.groups["model"])
    assert "60% are hits, and 2 of 9" in told
    assert "probability 0.75" in told
    assert told in words.explain_group(view, view.groups["model"])
    assert in_words(view_of("1"), view_of("1").groups["model"]) == ""


def test_the_command_shows_a_run_and_has_json(tmp_path: Path) -> None:
    runner = CliRunner()
    shown = runner.invoke(app, ["analyze", "score", str(EXAMPLE)])
    assert shown.exit_code == 0
    assert "query" in shown.stdout
    said = json.loads(runner.invoke(app, ["analyze", "score", str(EXAMPLE), "--json"]).stdout)
    assert said["rows"] == said["runs"]
    for row in said["rows"]:
        assert 0 <= row["rate"] <= 1
        assert row["runs"] == 1
    missing = runner.invoke(app, ["analyze", "score", "none-such", "--output-dir", str(tmp_path)])
    assert missing.exit_code != 0


def test_runs_of_one_row_are_taken_together(tmp_path: Path) -> None:
    import shutil

    for name in ("one", "two"):
        shutil.copytree(EXAMPLE, tmp_path / name)
    rows = score_rows(score_views([str(tmp_path)], tmp_path)[0])
    alone = score_rows(score_views([str(EXAMPLE)], tmp_path)[0])
    assert len(rows) == len(alone)
    assert all(row.score.runs == 2 for row in rows)
    assert [row.score.rate for row in rows] == [row.score.rate for row in alone]
