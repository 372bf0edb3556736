"""Who wins, who is named as the origin, and what becomes of settings when the method changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from calisr_engine.config.calibration_section import CalibrationSettings
from calisr_engine.config.describe import by_key
from calisr_engine.config.load import load
from calisr_engine.config.schema import RunConfig
from calisr_engine.config.toml_text import resolved_toml
from calisr_engine.errors import ConfigError
from calisr_engine.methods.catalog import METHODS
from calisr_engine.methods.lora.settings import Lora


def test_defaults_are_a_plain_run() -> None:
    resolved = load(None)
    assert resolved.config.method.name == "fft"
    assert resolved.config.calibration.variant == "off"
    fitted = {key for key, origin in resolved.origins.items() if origin != "default"}
    assert fitted == set(resolved.reasons)


def test_each_layer_hides_those_below_and_is_named(tmp_path: Path) -> None:
    low, high = tmp_path / "low.toml", tmp_path / "high.toml"
    low.write_text('extends = "demo"\n[training]\nepochs = 11\nseed = 1\nbatch_size = 4\n')
    high.write_text('extends = "low"\n\n[training]\nseed = 2\nbatch_size = 5\n')
    resolved = load(
        high,
        ["training.batch_size=6", "output.keep_checkpoints=7", "training.max_steps=8"],
        {"output.keep_checkpoints": 9, "training": {"max_steps": 10}, "task.data_dir": "glue"},
    )
    training, origins = resolved.config.training, resolved.origins
    assert resolved.config.method.name == "lora"
    assert origins["method.name"] == "preset demo"
    assert (training.epochs, origins["training.epochs"]) == (11, f"{low}:3")
    assert (training.seed, origins["training.seed"]) == (2, f"{high}:4")
    assert (training.batch_size, origins["training.batch_size"]) == (6, "--set")
    assert (training.max_steps, origins["training.max_steps"]) == (10, "option")
    assert resolved.config.output.keep_checkpoints == 9
    assert origins["task.data_dir"] == "--data-dir"
    assert origins["training.weight_decay"] == "default"


def test_a_list_of_bases_is_read_from_left_to_right(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[training]\nepochs = 1\nseed = 1\n")
    (tmp_path / "b.toml").write_text("[training]\nepochs = 2\n")
    top = tmp_path / "top.toml"
    top.write_text('extends = ["a.toml", "./b.toml", "a.toml", "b"]\n')
    assert load(top).config.training.epochs == 2
    assert load(top).config.training.seed == 1


def test_origins_know_lines_in_any_spelling(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(
        'notes = """\n[training]\nepochs = 5\n"""\n'
        "training.seed = 3 # dotted\n"
        'output = { keep_checkpoints = 4, "export" = false }\n'
        "[ 'task' ]\n  'max_length' = 64\n"
        "[method]\nname = 'lora'\ncomponents = [\n  'query', # one\n  'value',\n]\nrank=2\n"
    )
    resolved = load(path)
    fitted = resolved.reasons
    lines = {k: v for k, v in resolved.origins.items() if v != "default" and k not in fitted}
    assert lines == {
        "notes": f"{path}:1",
        "training.seed": f"{path}:5",
        "output.keep_checkpoints": f"{path}:6",
        "output.export": f"{path}:6",
        "task.max_length": f"{path}:8",
        "method.name": f"{path}:10",
        "method.components": f"{path}:11",
        "method.rank": f"{path}:15",
    }
    assert resolved.config.training.epochs != 5  # the notes only speak of it


def test_another_method_drops_what_it_does_not_know() -> None:
    resolved = load("demo", ["method.name=mpop"])
    assert resolved.config.method.name == "mpop"
    assert resolved.origins["method.name"] == "--set"
    assert "method.rank" not in resolved.origins
    assert "method.bond" in resolved.origins


def test_another_method_keeps_what_both_know(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(
        '[method]\nname = "child_tuning_d"\np = 0.2\nfisher_examples = 8\ncomponents = ["query"]\n'
    )
    resolved = load(path, ["method.name=child_tuning_f"])
    assert resolved.config.method.p == 0.2  # type: ignore[union-attr]
    assert resolved.config.method.components == ("query",)
    assert resolved.origins["method.p"] == f"{path}:3"


def test_a_setting_of_the_same_name_but_other_values_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('[method]\nname = "lora"\nparametrisation = "shadow"\n')
    method = load(path, ["method.name=mpop"]).config.method
    assert method.parametrisation == "throughout"  # type: ignore[union-attr]


def test_options_of_one_command_line_are_one_layer() -> None:
    with pytest.raises(ConfigError, match=r"setting of lora .*, but method\.name is mpop"):
        load("demo", ["method.rank=4"], {"method.name": "mpop"})
    method = load("demo", ["method.rank=4"], {"method.name": "lora"}).config.method
    assert method.rank == 4  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("training.epochs=7", "training.epochs", 7),
        (" training.epochs = 7 ", "training.epochs", 7),
        ("training.learning_rate=1", "training.learning_rate", 1.0),
        ("training.learning_rate=.5", "training.learning_rate", 0.5),
        ("training.learning_rate=1E-4", "training.learning_rate", 1e-4),
        ("training.device=cuda:1", "training.device", "cuda:1"),
        ("training.max_steps=none", "training.max_steps", None),
        ("training.max_steps=None", "training.max_steps", None),
        ('task.metric="null"', "task.metric", None),
        ("output.name=2024", "output.name", "2024"),
        ("output.name=1.0", "output.name", "1.0"),
        ("output.dir=true", "output.dir", Path("true")),
        ("output.export=false", "output.export", False),
        ("notes=a = b", "notes", "a = b"),
        ('notes="a # b"', "notes", "a # b"),
        ("calibration.variant=off", "calibration.variant", "off"),
        ("method.components=query, value", "method.components", ("query", "value")),
        ("method.components=[query]", "method.components", ("query",)),
        ('method.components=["query", "key"]', "method.components", ("query", "key")),
        ("method.components=none", "method.components", None),
    ],
)
def test_set_values(text: str, key: str, value: object) -> None:
    section, _, name = key.rpartition(".")
    config = load(None, ["training.max_steps=5", text]).config
    found = getattr(getattr(config, section) if section else config, name)
    assert found == value
    assert type(found) is type(value) or isinstance(value, Path)


def test_none_empties_a_setting_of_a_lower_layer(tmp_path: Path) -> None:
    low, high = tmp_path / "low.toml", tmp_path / "high.toml"
    low.write_text("[training]\nmax_steps = 5\n")
    high.write_text('extends = "low"\n[training]\nmax_steps = "none"\n')
    assert load(high).config.training.max_steps is None


def test_paths_in_a_file_are_relative_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/low.toml").write_text('[task]\ndata_dir = "../glue"\n')
    top = tmp_path / "top.toml"
    top.write_text(
        'extends = "conf/low.toml"\n[task]\ntest_file = "t.csv"\n[output]\ndir = "out"\n'
        '[model]\nname = "./bert"\n'
    )
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", "/home/someone")
    config = load("../top.toml").config
    assert config.task.data_dir == tmp_path / "conf/../glue"
    assert config.task.test_file == tmp_path / "t.csv"
    assert config.model.name == str(tmp_path / "bert")
    assert config.output.dir == Path("out")  # relative to where the command runs
    given = load("../top.toml", ["task.test_file=u.csv", "output.dir=~/out"]).config
    assert given.task.test_file == here / "u.csv"
    assert given.output.dir == Path("/home/someone/out")
    assert load(None, overrides={"task.data_dir": Path("g")}).config.task.data_dir == here / "g"


def test_a_delta_alone_means_the_same_through_every_door(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('[method]\nname = "lora"\n[calibration]\ndelta = 0.6\n')
    lora = ["method.name=lora"]
    doors = [
        load(path).config,
        load(None, [*lora, "calibration.delta=0.6"]).config,
        load(None, lora, {"calibration.delta": 0.6}).config,
        load(None, lora, {"calibration": {"delta": 0.6}}).config,
        RunConfig.model_validate({"method": {"name": "lora"}, "calibration": {"delta": 0.6}}),
        RunConfig(method=Lora(), calibration=CalibrationSettings(delta=0.6)),
    ]
    said = [config.calibration for config in doors]
    assert {each.variant for each in said} == {"off"}
    assert said.count(said[0]) == len(said)
    assert by_key("lora")["calibration.variant"].default == "off"


def test_settings_without_effect_are_told(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[calibration]\ndelta = 0.6\n")
    (warning,) = load(path).warnings
    assert "calibration.delta has no effect" in warning
    assert "S or D calibrates" in warning
    assert f"{path}:2" in warning
    assert load("demo", ["calibration.delta=0.6"]).warnings == ()
    assert load("paper/table2/lora-sst2").warnings == ()  # a preset may share its base


@pytest.mark.parametrize("method", METHODS)
def test_the_file_of_a_run_begins_another_without_a_word_of_defaults(
    method: str, tmp_path: Path
) -> None:
    """It holds every setting; those that say what they say by default are nobody's wish."""
    first = load(None, [f"method.name={method}", "training.epochs=3"], {"task.name": "rte"})
    (tmp_path / "config.toml").write_text(resolved_toml(first.config, first.origins))
    again = load(tmp_path / "config.toml")
    assert again.config == first.config
    assert again.warnings == ()
    asked = load(tmp_path / "config.toml", ["calibration.delta=0.7", "calibration.variant=off"])
    assert any("calibration.delta has no effect" in each for each in asked.warnings)


def test_the_file_of_a_run_says_all_above_another_file(tmp_path: Path) -> None:
    """There its defaults count; and files that are gone are sought in the data of a run alone."""
    first = load(None, ["training.epochs=3"], {"task.name": "rte"})
    (tmp_path / "run.toml").write_text(resolved_toml(first.config, first.origins))
    (tmp_path / "own.toml").write_text("[training]\nepochs = 9\nseed = 7\n")
    above = tmp_path / "above.toml"
    above.write_text('extends = ["own.toml", "run.toml"]\n')
    assert load(above).config.training == first.config.training
    above.write_text('extends = ["run.toml", "own.toml"]\n')
    assert (load(above).config.training.epochs, load(above).config.training.seed) == (9, 7)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train_file.csv").touch()
    own = {"train_file": "gone/train_file.csv", "text_column": "a", "label_column": "b"}
    lines = "".join(f"{key} = {value!r}\n" for key, value in own.items())
    above.write_text(f"[task]\n{lines}kind = 'classification'\n")
    assert load(above).config.task.train_file == tmp_path / "gone" / "train_file.csv"


def test_loading_is_light() -> None:
    heavy = ["torch", "transformers", "numpy", "textual", "peft", "datasets", "rich"]
    code = (
        "import sys; from calisr_engine.config.load import load; import calisr_engine.presets as p;"
        f"load('demo'); p.describe('demo'); print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_settings_of_other_data_are_told_to_do_nothing() -> None:
    own = {
        "task.train_file": "a.csv",
        "task.text_column": "text",
        "task.label_column": "label",
        "task.kind": "classification",
    }
    idle = {"task.train_split": "x", "task.data_dir": "GLUE", "task.threshold": 0.3}
    warnings = load(None, [], own | idle).warnings
    assert {each.partition(" ")[0] for each in warnings} == set(idle)
    assert all("has no effect" in each for each in warnings)
    assert not load(None, [], own).warnings


def test_a_guess_stands_for_what_options_empty_and_for_the_folder_that_they_name(
    tmp_path: Path,
) -> None:
    file = tmp_path / "train.csv"
    file.write_text("review,label\nfine,good\nbad,poor\n")
    given = {"task.train_file": tmp_path, "task.text_column": None, "task.choice_columns": None}
    guessed = {"task.train_file": file, "task.text_column": "review", "task.label_column": "label"}
    guessed["task.kind"] = "classification"
    found = load(None, ["task.label_column=none"], given, guessed=guessed)
    task = found.config.task
    assert (task.train_file, task.text_column, task.label_column) == (file, "review", "label")
    assert found.origins["task.text_column"] == "guessed from the data"
    assert found.config.task.choice_columns is None
