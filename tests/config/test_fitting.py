"""Settings that nobody gave: what is fitted to what, and who stands above it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calisr_engine.config import preset_files
from calisr_engine.config.fitting import EPOCHS_AT_MOST, STEPS_AT_LEAST, train_examples
from calisr_engine.config.load import ResolvedConfig, from_resolved, load
from calisr_engine.grid.expand import expand_grid
from calisr_engine.methods.catalog import METHODS
from calisr_engine.methods.settings import Rate
from calisr_engine.runs import threads
from calisr_engine.runs.create import create_run
from calisr_engine.runs.layout import RunPaths
from calisr_engine.runs.threads import with_threads


def rates(resolved: ResolvedConfig) -> tuple[float, float | None]:
    training = resolved.config.training
    return training.learning_rate, training.lft_learning_rate


def written(rate: Rate) -> str:
    """A cell of the page's table: 1e-3 / 5e-3."""
    values = [value for value in dict.fromkeys((rate.rate, rate.core)) if value is not None]
    words = (f"{value:.1e}".replace(".0e", "e").replace("e-0", "e-") for value in values)
    return " / ".join(words)


@pytest.fixture
def small_model(tmp_path: Path) -> Path:
    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536}
    rest = {"model_type": "bert", "num_attention_heads": 12, "vocab_size": 30522}
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "config.json").write_text(json.dumps(sizes | rest))
    return tmp_path / "encoder"


@pytest.mark.parametrize("method", METHODS)
def test_rates_fit_method_size_and_calibration(method: str, small_model: Path) -> None:
    named = f"method.name={method}"
    own, full = METHODS[method].rates, METHODS["fft"].rates
    models = {"demo-bert": "tiny", str(small_model): "small", "roberta-base": "base"}
    for model, size in {**models, "bert-large-uncased": "large", "who/knows": "base"}.items():
        sets = [named, f"model.name={model}", "task.name=rte"]
        plain = load(None, sets)
        rate = own[size]
        core = None if rate.core == rate.rate else rate.core
        assert rates(plain) == (rate.rate, core)
        assert rate.source in plain.reasons["training.learning_rate"]
        if not METHODS[method].calibration_refused:
            beside = rate.beside_full or rate.core
            for change in ("calibration.variant=S", "schedule.switch_at=0.5"):
                assert rates(load(None, [*sets, change])) == (full[size].rate, beside)
            assert rates(load(None, [*sets, "schedule.switch_at=0"])) == (rate.rate, core)


@pytest.mark.parametrize("method", ["lora", "peft"])
def test_factors_beside_whole_matrices_are_at_most_five_times_as_fast(method: str) -> None:
    for size, rate in METHODS[method].rates.items():
        beside = rate.beside_full or rate.core
        assert beside is not None
        assert 3 < beside / METHODS["fft"].rates[size].rate < 5.001


def test_the_users_own_value_wins_and_the_rest_still_fits() -> None:
    lora = ["method.name=lora", "model.name=roberta-base", "task.name=rte"]
    fitted = load(None, [*lora, "calibration.variant=S"])
    own = load(None, [*lora, "calibration.variant=S", "training.learning_rate=7e-5"])
    assert rates(own) == (7e-5, None)  # who names the rate names both
    assert own.config.training.epochs == fitted.config.training.epochs > 3
    light = load(None, [*lora, "calibration.variant=S", "training.lft_learning_rate=7e-5"])
    assert rates(light) == (rates(fitted)[0], 7e-5)
    half = load(None, [*lora, "training.accumulate=2"]).config.training
    batch = load(None, [*lora, "training.batch_size=64"]).config.training
    assert half.epochs == batch.epochs > fitted.config.training.epochs
    steps = load(None, [*lora, "training.max_steps=2000"])
    assert "training.epochs" not in steps.reasons
    assert steps.config.training.warmup_ratio == 0.06
    assert fitted.config.training.warmup_ratio == 0.1
    assert all(key.startswith("training.") for key in fitted.reasons)
    assert "fits LoRA" in fitted.to_toml()
    assert "training.learning_rate" not in own.reasons
    assert own.origins["training.learning_rate"] == "--set"


def test_epochs_and_batch_fit_the_size_of_the_data(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"

    def of(rows: int, *sets: str) -> ResolvedConfig:
        file.write_text("text,label\n" + "".join(f'"row\n{n}",{n % 2}\n' for n in range(rows)))
        own = {"task.train_file": file, "task.text_column": "text", "task.label_column": "label"}
        return load(None, [*sets, "task.name=own"], {**own, "task.kind": "classification"})

    few = of(500)
    assert train_examples(few.config.task) == 450  # lines within quotes are no rows
    more = of(3000)
    assert few.config.training.batch_size == 16
    steps = -(-450 // 16) * few.config.training.epochs
    assert STEPS_AT_LEAST <= steps < STEPS_AT_LEAST + 30
    assert more.config.training.batch_size == 32
    assert 3 < more.config.training.epochs < few.config.training.epochs
    assert of(40).config.training.epochs == EPOCHS_AT_MOST
    assert of(3000, "task.max_train_examples=450").config.training == few.config.training
    assert load(None, ["task.name=mnli"]).config.training.epochs == 3
    lost = {"task.train_file": tmp_path / "no.csv", "task.kind": "classification"}
    columns = {"task.name": "own", "task.text_column": "a", "task.label_column": "b"}
    assert load(None, [], {**lost, **columns}).config.training.epochs == 3


def test_a_preset_is_a_recipe_for_its_model_and_task_only(tmp_path: Path) -> None:
    demo, file = load("demo"), tmp_path / "my.toml"
    for same in (["method.name=bitfit"], ["training.seed=1"], ["model.name=demo-bert"]):
        assert rates(load("demo", same)) == (5e-4, None)
    for other in ("model.name=roberta-base", "task.name=SST-2", "task.train_file=a.csv"):
        columns = ["task.text_column=a", "task.label_column=b", "task.kind=classification"]
        extra = columns if "train_file" in other else []
        resolved = load("demo", [other, *extra])
        plain = load(None, [other, *extra, "method.name=lora", "calibration.variant=S"])
        assert resolved.config.training == plain.config.training != demo.config.training
        assert "preset demo is for demo" in resolved.warnings[0]
    file.write_text('extends = "demo"\n[model]\nname = "roberta-base"\n[training]\nepochs = 9\n')
    mine = load(file)
    assert mine.config.training.epochs == 9  # the user's own
    assert rates(mine) == (2e-5, METHODS["lora"].rates["base"].beside_full)
    file.write_text("[training]\nlearning_rate = 1e-3\n")
    assert load(file).reasons == {}


def test_what_ships_is_trained_as_it_says(tmp_path: Path) -> None:
    assert [name for name in preset_files.names() if load(name).reasons] == []
    for grid in ("small/table2", "paper/table5"):
        assert not any(run.resolved.reasons for run in expand_grid(grid, tmp_path).runs)
    small = expand_grid("small/table2", tmp_path, sets=("model.name=roberta-base",))
    trained = [run.resolved.config.training for run in small.runs]
    assert {(each.learning_rate, each.threads) for each in trained} == {(3e-4, 1)}


def test_threads_are_the_free_cores_and_stay_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "_own_cores", lambda: 8)
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 16)
    resolved = load(None, ["model.name=roberta-base"], {"output.dir": tmp_path})

    def chosen(load_average: float, processes: int = 1) -> int | None:
        monkeypatch.setattr(threads.os, "getloadavg", lambda: (load_average, 0.0, 0.0))
        return with_threads(resolved, processes).config.training.threads

    assert [chosen(load) for load in (0.0, 4.0, 12.0, 99.0)] == [8, 6, 2, 1]
    assert chosen(0.0, processes=2) == 4
    run = from_resolved(RunPaths(create_run(resolved)).config)
    assert run.training.threads == 8
    free = from_resolved(RunPaths(create_run(resolved, processes=None)).config)
    assert free.training.threads is None
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert chosen(0.0) is None
    assert with_threads(load("demo")).config.training.threads == 1


def test_the_page_has_the_rates_of_every_method() -> None:
    page = (Path(__file__).parents[2] / "docs/defaults.md").read_text(encoding="utf-8")
    for method, settings in METHODS.items():
        cells = [written(settings.rates[size]) for size in ("tiny", "small", "base", "large")]
        assert f"| `{method}` | {' | '.join(cells)} |" in page
