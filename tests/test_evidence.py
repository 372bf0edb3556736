"""The tables of docs/evidence.md say what the logs beside them say."""

from __future__ import annotations

import json
import re
import runpy
import statistics
from pathlib import Path
from typing import Any

import pytest

from calisr_engine.grid import expand_grid
from calisr_engine.grid.comparison import comparison
from calisr_engine.grid.folders import grid_of_runs
from calisr_engine.grid.table import grid_table
from calisr_engine.methods.catalog import METHODS
from calisr_engine.runs import load_view

ROOT = Path(__file__).parents[1]
LOGS = ROOT / "benchmarks" / "evidence" / "logs"
METRICS = ("f1", "accuracy")
CONTROLS = ("shuffled", "coin")
PAGE = (ROOT / "docs" / "evidence.md").read_text()


def rows_of(head: str) -> dict[str, list[str]]:
    """First cell -> the others, of the table that begins with `head`; bold marks left out."""
    body = PAGE[PAGE.index(head) :].split("\n\n")[0].replace("**", "").splitlines()[2:]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in body]
    return {first: rest for first, *rest in lines}


def test_rates() -> None:
    table = grid_table(grid_of_runs(LOGS / "search"))
    rows = rows_of("| rate |")
    assert len(rows) == len(table.rows) == 6
    for row in table.rows:
        method, _, rate = row.partition(" learning_rate=")
        name = {"FFT": "full fine-tuning", "LoRA": "LoRA"}[method]
        (shown,) = [
            v for k, v in rows.items() if k.startswith(name) and float(k.split()[-1]) == float(rate)
        ]
        assert shown == [f"{table.cells[row, task].mean:.1f}" for task in ("CoLA", "RTE")]


@pytest.mark.parametrize(
    ("head", "logs", "count"),
    [
        ("bf16", "minilm", 6),
        ("fp32", "minilm-fp32", 5),
        ("fp32, full phase at 5e-5", "minilm-lower", 5),
    ],
)
def test_cola(head: str, logs: str, count: int) -> None:
    table = grid_table(grid_of_runs(LOGS / logs), against="LoRA")
    rows = rows_of(f"| row, {head} |")
    assert len(rows) == len(table.rows) == count
    for row in table.rows:
        cell = table.cells[row, "CoLA"]
        seeds, shown, against, *rest = rows[named(row)]
        assert seeds == ", ".join(map(str, sorted(cell.seeds)))
        spread = f" ± {cell.deviation:.1f}" if len(cell.seeds) > 1 else ""
        assert shown == f"{cell.mean:.1f}{spread}"
        if row != "LoRA":
            assert against == f"{cell.difference:.1f}"
            test = comparison(cell, table.cells["LoRA", "CoLA"], "LoRA").test
            low, high = (test and test.interval) or (0.0, 0.0)
            tested = [f"{low:.1f} to {high:.1f}", f"{cell.p_holm:.2g}"] if cell.p_holm else []
            assert [cell for cell in rest if cell] == tested


def test_six_epochs() -> None:
    rows = rows_of("| row, fp32, six epochs |")
    found = {}
    for log in (LOGS / "minilm-longer").glob("*/events.jsonl"):
        view = load_view(log.parent)
        name = {"lora": "LoRA", "fft": "full fine-tuning"}[view.method]
        values = [f"{100 * each.metrics['matthews']:.1f}" for each in view.evaluations]
        best = max(values, key=float)
        found[name + (" + CaliSr-S" if view.variant == "S" else "")] = [
            str(view.seed),
            best,
            *values,
        ]
    assert rows == found
    said = " ".join(PAGE.split())
    losses = {}
    for log in (LOGS / "minilm-longer").glob("*/events.jsonl"):
        view = load_view(log.parent)
        ends = [view.evaluations[at].loss for at in (0, -1)]
        losses[view.method, view.variant] = " to ".join(f"{loss:.2f}" for loss in ends)
    assert f"grows from {losses['fft', 'off']}, that of CaliSr-S from {losses['lora', 'S']}" in said
    assert f"that of LoRA from {losses['lora', 'off']}." in said
    gap = float(found["LoRA"][1]) - float(found["LoRA + CaliSr-S"][1])
    assert f"({gap:.1f} points; 7.4 on average in three epochs)" in said


def named(row: str) -> str:
    name = row.replace("FFT", "full fine-tuning").replace("+", " + ")
    return re.sub(r"-S (shuffled|coin)", r"-S, \1", name)


def test_what_the_page_says_of_single_runs() -> None:
    """How many calibrated runs and controls are below LoRA, by how much, and the score's part."""
    cells = grid_table(grid_of_runs(LOGS / "minilm")).cells
    values = {
        row: dict(zip(cell.seeds, cell.values, strict=True)) for (row, _), cell in cells.items()
    }
    score, coin, shuffled = (f"LoRA+CaliSr-S{end}" for end in ("", " coin", " shuffled"))
    lost = {
        (row, seed): values["LoRA"][seed] - values[row][seed]
        for row in (score, coin, shuffled, "LoRA+CaliSr-D")
        for seed in range(1, 6)
    }
    below = [each for each in lost.values() if each > 0]
    assert (len(below), len(lost)) == (19, 20)
    assert f"by {min(below):.1f} to {max(below):.1f} points" in PAGE
    assert [each for each in lost if lost[each] < 0] == [(coin, 5)]
    assert f"seed 5 was {-lost[coin, 5]:.1f} better" in PAGE
    for other in (shuffled, coin):
        *gains, last = (f"{values[score][s] - values[other][s]:.1f}" for s in range(1, 6))
        assert f"{', '.join(gains)} and {last}" in PAGE.replace("\n", " ")


def test_what_the_page_says_of_a_lower_rate() -> None:
    """By seeds: the score against LoRA and the controls, and the ends of the first epoch."""
    cells = grid_table(grid_of_runs(LOGS / "minilm-lower")).cells
    values = {
        row: dict(zip(cell.seeds, cell.values, strict=True)) for (row, _), cell in cells.items()
    }
    score = values["LoRA+CaliSr-S"]
    said = " ".join(PAGE[PAGE.index("### A lower rate") :].split("\n## ")[0].split())

    def against(row: str) -> str:
        return listed([f"{score[s] - values[row][s]:.1f}" for s in sorted(values[row])])

    assert f"against LoRA it is {against('LoRA')} points" in said
    assert f"against shuffled steps {against('LoRA+CaliSr-S shuffled')}" in said
    assert f"against a coin {against('LoRA+CaliSr-S coin')}." in said
    first: dict[str, list[str]] = {}
    for log in sorted((LOGS / "minilm-lower").glob("*-off-[123]-*/events.jsonl")):
        view = load_view(log.parent)
        first.setdefault(f"{view.method} {view.variant}", []).append(
            f"{100 * view.evaluations[0].metrics['matthews']:.1f}"
        )
    assert f"{listed(first['fft off'])} in full fine-tuning" in said
    assert f"{listed(first['lora S'])} with CaliSr-S" in said
    assert f"{listed(first['lora off'])} with LoRA" in said
    earlier = grid_table(grid_of_runs(LOGS / "minilm")).cells
    gains = [
        f"{cells[r, 'CoLA'].mean - earlier[r, 'CoLA'].mean:.1f}" for r in ("FFT", "LoRA+CaliSr-S")
    ]
    assert (
        "Full fine-tuning is {} and CaliSr-S {} points above the first table".format(*gains) in said
    )
    switched = {
        sum(change.step == view.evaluations[0].step for change in view.switches)
        for view in map(load_view, (LOGS / "minilm-lower").glob("lora-S-off-*"))
    }
    assert switched == {2, 3}
    assert "two or three of the six groups switched there" in said
    means = (f"{statistics.mean(values[row].values()):.1f}" for row in ("LoRA", "LoRA+CaliSr-S"))
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert "with a lower one LoRA has {} and CaliSr-S {}".format(*means) in readme


def listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def test_the_course_of_training() -> None:
    rows = rows_of("| row | epoch 1 |")
    found: dict[str, list[list[float]]] = {}
    for log in (LOGS / "minilm").glob("*/events.jsonl"):
        view = load_view(log.parent)
        name = {"off": view.method, "D": "LoRA + CaliSr-D", "S": "LoRA + CaliSr-S"}[view.variant]
        name = {"fft": "full fine-tuning", "lora": "LoRA"}.get(name, name)
        if view.control == "off":
            found.setdefault(name, []).append(
                [100 * each.metrics["matthews"] for each in view.evaluations]
            )
    assert rows.keys() == found.keys()
    for name, shown in rows.items():
        assert len(found[name]) == 5
        assert shown == [f"{statistics.mean(each):.1f}" for each in zip(*found[name], strict=True)]


def test_rte_and_mrpc() -> None:
    table = grid_table(grid_of_runs(LOGS / "minilm-rivals"), against="LoRA")
    rows = rows_of("| row, RTE and MRPC | RTE | MRPC |")
    assert len(rows) == len(table.rows)
    for row in table.rows:
        name, _, rate = row.partition(" lft_learning_rate=")
        name = named(name).replace("SRN", "stable rank normalisation")
        if rate:
            name += f", factors at {float(rate):.0e}".replace("e-0", "e-")
        cells = [table.cells.get((row, task)) for task in ("RTE", "MRPC")]
        assert rows[name] == [shown(each) for each in cells], name


def shown(cell: Any) -> str:
    """Mean, deviation and number of seeds of a cell; "" without a run."""
    if cell is None or not cell.values:
        return ""
    spread = f" ± {cell.deviation:.1f}" if len(cell.values) > 1 else ""
    return f"{cell.mean:.1f}{spread} ({len(cell.values)})"


def test_what_the_page_says_of_three_seeds() -> None:
    """On MRPC: each row against another, seed by seed."""
    table = grid_table(grid_of_runs(LOGS / "minilm-rivals"), against="LoRA")
    by_task: dict[str, dict[str, dict[int, float]]] = {"MRPC": {}, "RTE": {}}
    for (row, task), cell in table.cells.items():
        by_task[task][row] = dict(zip(cell.seeds, cell.values, strict=True))
    values = by_task["MRPC"]
    said = " ".join(PAGE[PAGE.index("## RTE and MRPC") :].split("\n### ")[0].split())
    slowly = " lft_learning_rate=0.0001"

    def against(row: str, task: str = "MRPC") -> str:
        found = by_task[task]
        gains = (found[f"LoRA+CaliSr-S{slowly}"][s] - found[row][s] for s in (1, 2, 3))
        return listed([f"{each:.1f}" for each in gains])

    assert f"against full fine-tuning it is {against('FFT')} points" in said
    assert f"against LoRA {against('LoRA')}" in said
    shuffled, coin = (f"LoRA+CaliSr-S {each}{slowly}" for each in CONTROLS)
    assert f"dealt to other groups it is {against(shuffled)} points" in said
    assert f"against a coin {against(coin)}: the" in said
    of_rte = [against(each, "RTE") for each in (shuffled, coin)]
    assert "On RTE it is {} against the one, {} against".format(*of_rte) in said
    rank, full = values["FFT+SRN"], values["FFT"]
    gains = listed([f"{rank[s] - full[s]:.1f}" for s in (1, 2, 3)])
    assert f"Stable rank normalisation gains {gains} points over full fine-tuning" in said
    costs = listed([f"{full[s] - values['FFT+Mixout'][s]:.1f}" for s in (1, 2, 3)])
    assert f"Mixout costs {costs}." in said
    low = min(values["LoRA"], key=values["LoRA"].__getitem__)
    assert f"LoRA with seed {low} ends at {values['LoRA'][low]:.1f}" in said
    chances = []
    for (row, task), cell in table.cells.items():
        if row != "LoRA" and len(cell.values) == 3:
            test = comparison(cell, table.cells["LoRA", task], "LoRA").test
            assert test is not None
            assert test.p_value is not None
            chances.append(test.p_value)
    assert f"p of {min(chances):.2f} and above" in said
    readme = " ".join((ROOT / "README.md").read_text().split())
    cells = {row: cell for (row, task), cell in table.cells.items() if task == "MRPC"}
    told = {"FFT": "full fine-tuning has", "LoRA": "LoRA"}
    told |= {f"LoRA+CaliSr-S{slowly}": "as slow as the matrices,"}
    for row, words in told.items():
        assert f"{words} {cells[row].mean:.1f} ± {cells[row].deviation:.1f}" in readme


def test_how_often_the_score_is_above_its_controls() -> None:
    above = dict.fromkeys(CONTROLS, 0)
    pairs = 0
    slow = " lft_learning_rate=0.0001"
    for logs, rate in (("minilm", ""), ("minilm-lower", ""), ("minilm-rivals", slow)):
        cells = grid_table(grid_of_runs(LOGS / logs)).cells
        for task in {task for row, task in cells if row == f"LoRA+CaliSr-S{rate}"}:
            score = cells[f"LoRA+CaliSr-S{rate}", task]
            pairs += len(score.seeds)
            for control in CONTROLS:
                other = cells[f"LoRA+CaliSr-S {control}{rate}", task]
                assert other.seeds == score.seeds
                both = zip(score.values, other.values, strict=True)
                above[control] += sum(mine > theirs for mine, theirs in both)
    said = "above the shuffled steps in {} and above the coin in {} of {} pairs"
    for page in (PAGE, (ROOT / "README.md").read_text()):
        assert said.format(*above.values(), pairs) in " ".join(page.split())


def test_the_shipped_logs_are_whole_lines_in_their_order() -> None:
    """Thinned, and to thin them again leaves them as they are."""
    thinned = runpy.run_path(str(LOGS.parent / "keep_logs.py"))["thinned"]
    for log in LOGS.glob("*/*/events.jsonl"):
        text = log.read_text()
        said = [json.loads(line) for line in text.splitlines()]
        order = [(each["attempt"], each["seq"]) for each in said]
        assert order == sorted(set(order)), log
        assert thinned(text) == text, log
        at = [number for number, each in enumerate(said) if each["type"] == "evaluated"]
        assert any(each["type"] == "progress" for each in said[: at[0]]), log


def test_trainer() -> None:
    """Full fine-tuning and transformers' Trainer, by seeds."""
    told = json.loads((LOGS.parent / "trainer-mrpc.json").read_text())
    cells = grid_table(grid_of_runs(LOGS / "minilm-rivals")).cells
    own = cells["FFT", "MRPC"]
    assert (told["task"], told["precision"], told["rate"]) == ("MRPC", "bf16", 1e-4)
    assert tuple(run["seed"] for run in told["runs"]) == own.seeds
    values = {"CaliSr": own.values, "Trainer": [100 * run["best"] for run in told["runs"]]}
    rows = rows_of("| full fine-tuning, MRPC F1 |")
    for name, found in values.items():
        mean = f"{statistics.mean(found):.1f} ± {statistics.stdev(found):.1f}"
        assert rows[name] == [*(f"{each:.1f}" for each in found), mean]
    apart = abs(statistics.mean(values["CaliSr"]) - statistics.mean(values["Trainer"]))
    assert f"\n{apart:.1f} points apart" in PAGE
    assert apart < 1


def test_what_the_page_says_of_factors() -> None:
    found = {}
    for log in (LOGS / "minilm-rivals").glob("*-MRPC-*/events.jsonl"):
        view = load_view(log.parent)
        if view.seed != 1 or view.control != "off":
            continue
        best = [f"{100 * max(e.metrics[name] for e in view.evaluations):.1f}" for name in METRICS]
        rate = view.setting("training", "lft_learning_rate") if view.variant == "S" else None
        found[view.method, view.setting("regularizer", "name"), rate] = best
    high, middle, low = (found["lora", "off", rate] for rate in (2e-3, 4e-4, 1e-4))
    said = " ".join(PAGE.split())
    others = [found[method, "off", None][1] for method in ("lora", "fft")]
    assert f"F1 {high[0]}, accuracy {high[1]} ({listed(others)})" in said
    assert f"the factors at 4e-4 it has {listed(middle)}, at 1e-4" in said
    assert f"the rate of the matrices, {listed(low)} (seed 1)." in said
    cells = grid_table(grid_of_runs(LOGS / "minilm-rivals")).cells
    score = [f"LoRA+CaliSr-S lft_learning_rate={rate}" for rate in ("0.002", "0.0001")]
    first = [
        dict(zip(cells[row, "MRPC"].seeds, cells[row, "MRPC"].values, strict=True))[1]
        for row in ("LoRA", *score)
    ]
    lost = [first[0] - each for each in first[1:]]
    assert "({:.1f} points of F1, then {:.1f})".format(*lost) in said
    assert lost[1] < lost[0] / 2
    defaults = " ".join((ROOT / "docs" / "defaults.md").read_text().split())
    assert f"F1 {high[0]} at 1e-4 / 2e-3, {middle[0]} at 1e-4 / 4e-4 and {low[0]} at" in defaults


def test_the_related_systems() -> None:
    """One seed each: those of related.toml, and of rivals.toml what stands beside them."""
    told: dict[str, dict[str, float]] = {}
    beside = ("FFT", "FFT+SRN", "FFT+Mixout", "LoRA")
    for logs in ("minilm-related", "minilm-rivals"):
        for (row, task), cell in grid_table(grid_of_runs(LOGS / logs)).cells.items():
            values = dict(zip(cell.seeds, cell.values, strict=True))
            if 1 in values and (logs == "minilm-related" or row in beside):
                told.setdefault(system(row), {})[task] = values[1]
    rows = rows_of("| system, one seed | RTE | MRPC |")
    spread = [each["MRPC"] for each in told.values()]
    lora = grid_table(grid_of_runs(LOGS / "minilm-rivals")).cells["LoRA", "MRPC"].values
    assert f"LoRA's three differ by {max(lora) - min(lora):.1f} points" in PAGE.replace("\n", " ")
    assert min(spread) > 81.2 == round(min(lora), 1)
    assert {row: [f"{told[row][task]:.1f}" for task in ("RTE", "MRPC")] for row in told} == rows


def system(row: str) -> str:
    name = row.partition(" ")[0].replace("SRN", "stable rank normalisation")
    return named({"Prefix-tuning": "P-tuning v2", "Adapters": "adapters"}.get(name, name))


def test_the_related_systems_have_rates_of_their_own() -> None:
    """A grid is a recipe: what it does not name is that of its preset, whatever the method."""
    own = {
        run.resolved.config.method.name: run.resolved.config.training
        for run in expand_grid(ROOT / "benchmarks" / "evidence" / "related.toml").runs
    }
    older = {"unipelt": (5e-4, 5e-4), "adapter": (1e-3, 1e-3)}
    for name in ("compacter", "unipelt", "prefix", "adapter", "said"):
        rate, training = METHODS[name].rates["small"], own[name]
        core = training.lft_learning_rate or training.learning_rate
        assert (training.learning_rate, core) == older.get(name, (rate.rate, rate.core)), name
    assert "(adapters 1e-3, Compacter 3e-3, UniPELT 5e-4, SAID" in PAGE


def test_sts_b_with_the_rates_that_are_fitted() -> None:
    table = grid_table(grid_of_runs(LOGS / "minilm-defaults"))
    course = {}
    for log in (LOGS / "minilm-defaults").glob("*/events.jsonl"):
        view = load_view(log.parent)
        assert (view.state, view.seed) == ("completed", 1)
        rate = (
            view.setting("training", "learning_rate"),
            view.setting("training", "lft_learning_rate"),
        )
        calibrated = {"off": (5e-4 if view.method == "lora" else 1e-4, None), "S": (1e-4, 5e-4)}
        assert rate == calibrated[view.variant]
        assert view.setting("training", "warmup_ratio") == 0.1
        row = {"fft": "FFT"}.get(view.method, "LoRA" + "+CaliSr-S" * (view.variant == "S"))
        row += f" {view.control}" * (view.control != "off")
        course[row] = [f"{100 * each.metrics['spearman']:.1f}" for each in view.evaluations]
    rows = rows_of("| row, STS-B")
    assert {named(row) for row in table.rows} == set(rows)
    for row, epochs in course.items():
        cell = table.cells[row, "STS-B"]
        assert rows[named(row)] == [f"{cell.mean:.1f}", *epochs]
    gap = table.cells["LoRA+CaliSr-S", "STS-B"].mean - table.cells["LoRA", "STS-B"].mean
    said = " ".join(PAGE.split())
    assert f"and plain LoRA is {gap:.1f} points below" in said
    assert f"and {gap:.1f} points above LoRA (one seed)" in said
