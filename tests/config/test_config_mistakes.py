"""Every mistake in a config: one line with place, key and mend; ConfigError and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError, field_validator

from calisr_engine.config.calibration_section import CalibrationSettings
from calisr_engine.config.check import problems
from calisr_engine.config.load import from_resolved, load
from calisr_engine.config.schema import RunConfig
from calisr_engine.errors import ConfigError, NotFoundError, Place

LORA = '[method]\nname = "lora"\n'

# id: text of the file, line of the mistake (0: the file as a whole), words that must be there
MISTAKES: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "unknown section": ("[trainning]\nepochs = 3\n", 1, ("did you mean [training]?",)),
    "unknown section, nothing near": ("[xyz]\na = 1\n", 1, ("the sections are model, task",)),
    "unknown key": ("[calibration]\ndeltaa = 1\n", 2, ("calibration.deltaa", "mean delta?")),
    "key with a dash": ("[training]\nbatch-size = 8\n", 2, ("did you mean batch_size?",)),
    "key in capitals": ("[training]\nEpochs = 8\n", 2, ("did you mean epochs?",)),
    "key nothing near": ("[schedule]\nzzz = 8\n", 2, ("keys of [schedule] are switch_at",)),
    "key of another section": ("[training]\ndelta = 0.5\n", 2, ("delta belongs in [calibration]",)),
    "key at the top": ("delta = 0.5\n", 1, ("delta belongs in [calibration]",)),
    "misspelt key at the top": ("learning_rat = 1\n", 1, ("belongs in [training]",)),
    "key of two sections": ("dir = 'x'\n", 1, ("dir belongs in [output]",)),
    "method key at the top": ("rank = 4\n", 1, ("belongs in [method] of lora",)),
    "method key in training": ("[training]\nrank = 4\n", 2, ("belongs in [method] of lora",)),
    "name of another tool": ("[training]\nlr = 1e-3\n", 2, ("mean training.learning_rate?",)),
    "other tool, other section": ("[training]\nlora_alpha = 1\n", 2, ("mean method.alpha?",)),
    "extends inside a section": ('[model]\nextends = "demo"\n', 2, ("top of the file",)),
    "notes inside a section": ('[model]\nnotes = "x"\n', 2, ("top of the file",)),
    "epochs in quotes": ('[training]\nepochs = "3"\n', 2, ('found "3"', "write 3 without quotes")),
    "epochs a fraction": ("[training]\nepochs = 3.5\n", 2, ("a whole number", "found 3.5")),
    "epochs a round float": ("[training]\nepochs = 3.0\n", 2, ("found 3.0", "write 3")),
    "epochs a switch": ("[training]\nepochs = true\n", 2, ("training.epochs", "found true")),
    "epochs a list": ("[training]\nepochs = [3]\n", 2, ("found a list of 1",)),
    "epochs a table": ("[training.epochs]\na = 1\n", 1, ("training.epochs", "found a section")),
    "epochs a date": ("[training]\nepochs = 2024-01-01\n", 2, ("found 2024-01-01",)),
    "epochs nought": ("[training]\nepochs = 0\n", 2, ("from 1 to 1000", "found 0")),
    "epochs too many": ("[training]\nepochs = 5000\n", 2, ("from 1 to 1000", "found 5000")),
    "batch negative": ("[training]\nbatch_size = -4\n", 2, ("of at least 1", "found -4")),
    "number empty but must not": ('[training]\nepochs = "none"\n', 2, ('found "none"',)),
    "rate in quotes": ('[training]\nlearning_rate = "2e-5"\n', 2, ("write 2e-05 without",)),
    "rate nought": ("[training]\nlearning_rate = 0\n", 2, ("a number above 0", "found 0")),
    "rate a switch": ("[training]\nlearning_rate = false\n", 2, ("found false",)),
    "rate not a number": ("[training]\nlearning_rate = nan\n", 2, ("a number above 0", "nan")),
    "rate infinite": ("[training]\nlearning_rate = inf\n", 2, ("found inf",)),
    "delta above one": ("[calibration]\ndelta = 1.5\n", 2, ("from 0 to 1", "found 1.5")),
    "warm-up of one": ("[training]\nwarmup_ratio = 1\n", 2, ("of at least 0 and below 1",)),
    "seed too large": ("[training]\nseed = 2147483648\n", 2, ("2147483647", "2147483648")),
    "number beyond all bounds": (f"[training]\nseed = {'9' * 400}\n", 2, ("a huge number",)),
    "digits beyond Python": (f"[training]\nseed = {'9' * 5000}\n", 0, ("not valid TOML",)),
    "switch in quotes": ('[output]\nexport = "true"\n', 2, ("true or false", "write true")),
    "switch a number": ("[output]\nexport = 1\n", 2, ("true or false", "write true")),
    "name a number": ("[model]\nname = 5\n", 2, ("expected text", 'write "5"')),
    "no such task": ('[task]\nname = "rtee"\n', 2, ("there is no task 'rtee'", "mean rte?")),
    "name empty": ('[model]\nname = ""\n', 2, ("not empty",)),
    "name blank": ('[task]\nname = "  "\n', 2, ("not empty",)),
    "path a number": ("[output]\ndir = 5\n", 2, ("expected a path",)),
    "path empty": ('[task]\ndata_dir = ""\n', 2, ("expected a path",)),
    "path with a zero byte": ('[task]\ndata_dir = "a\\u0000b"\n', 2, ("expected a path",)),
    "choice in small letters": ('[calibration]\nvariant = "s"\n', 2, ('did you mean "S"?',)),
    "choice unknown": ('[calibration]\nvariant = "Q"\n', 2, ("one of off, D, S, S3",)),
    "choice a switch": ("[calibration]\nvariant = false\n", 2, ("one of off", "found false")),
    "choice misspelt": ('[training]\nschedule = "linar"\n', 2, ('mean "linear"?',)),
    "device unknown": ('[training]\ndevice = "gpu"\n', 2, ("cuda or cuda:N", '"gpu"')),
    "device with a line end": ('[training]\ndevice = "cpu\\n"\n', 2, ("training.device",)),
    "run name with a slash": ('[output]\nname = "a/b"\n', 2, ("letters, digits",)),
    "optimizer that couples": ('[training]\noptimizer = "lamb"\n', 2, ("couples", "use adamw")),
    "components a word": (f'{LORA}components = "query"\n', 3, ("a list of", 'write ["query"]')),
    "component misspelt": (f'{LORA}components = ["quary"]\n', 3, ('did you mean "query"?',)),
    "components empty": (f"{LORA}components = []\n", 3, ("found a list of 0",)),
    "components mixed": (f"{LORA}components = ['query', 3]\n", 3, ("a list of query",)),
    "component twice": (f"{LORA}components = ['query', 'query']\n", 3, ("method.components",)),
    "method unknown": ('[method]\nname = "lorra"\n', 2, ('mean "lora"?', "fft, lora, peft, mpop")),
    "method a number": ("[method]\nname = 3\n", 2, ("method.name", "one of fft, lora")),
    "setting of another method": (
        '[method]\nname = "mpop"\nrank = 4\n',
        3,
        ("method.rank", "setting of lora", "method.name is mpop"),
    ),
    "setting without the method": ("[method]\nrank = 4\n", 2, ("setting of lora", "is fft")),
    "setting of no method": (f"{LORA}rnak = 4\n", 3, ("did you mean rank?",)),
    "rank in quotes": (f'{LORA}rank = "8"\n', 3, ("method.rank", "write 8 without quotes")),
    "section as a word": (
        'model = "bert"\n',
        1,
        ("expected a section", "[model] and below it name"),
    ),
    "section as a list": ("[[training]]\nepochs = 3\n", 1, ("expected a section", "[training]")),
    "extends a number": ("extends = 3\n", 1, ("extends", 'write extends = "demo"')),
    "extends a missing preset": ('extends = "demmo"\n', 1, ("extends", "did you mean demo?")),
    "extends a missing file": ('extends = "./other.toml"\n', 1, ("there is no file",)),
    "extends a directory": ('extends = "."\n', 0, ("is a directory",)),
    "text without quotes": ("[calibration]\nvariant = off\n", 2, ("column", 'write "off"')),
    "True for true": ("[output]\nexport = True\n", 2, ("write true",)),
    "value missing": ("[training]\nepochs =\n", 2, ("a value is missing",)),
    "key twice": ("[training]\nepochs = 1\nepochs = 2\n", 3, ("set twice",)),
    "section twice": ("[training]\nepochs = 1\n[training]\nseed = 2\n", 3, ("appears twice",)),
    "bracket missing": ("[training\nepochs = 1\n", 1, ("not valid TOML", "column")),
    "YAML": ("training:\n  epochs: 3\n", 1, ("not valid TOML",)),
    "JSON": ('{"training": {"epochs": 3}}', 1, ("not valid TOML",)),
    "both sampling rules": (
        "[calibration]\nsamples_per_epoch = 3\nevery_steps = 4\n",
        2,
        ("samples_per_epoch or every_steps, not both",),
    ),
    "calibration of full fine-tuning": (
        '[calibration]\nvariant = "S"\n',
        2,
        ("calibration.variant", "fft cannot be calibrated", 'variant = "off"'),
    ),
    "calibration of adapters": (
        '[method]\nname = "adapter"\n[calibration]\nvariant = "D"\n',
        4,
        ("adapter cannot be calibrated", "change the architecture"),
    ),
    "switch and calibration": (
        f'{LORA}[calibration]\nvariant = "S"\n[schedule]\nswitch_at = 0.4\n',
        6,
        ("schedule.switch_at", "exclude each other"),
    ),
}


def mistakes(name: str | Path | None, *sets: str, **overrides: object) -> tuple[str, ...]:
    """The problem lines of a config, which must be refused; no line speaks pydantic or Python."""
    with pytest.raises(ConfigError) as caught:
        load(name, sets, {key.replace("__", "."): value for key, value in overrides.items()})
    error = caught.value
    assert error.problems
    assert error.exit_code == 2
    for foreign in (
        "pydantic",
        "Extra inputs",
        "Input should",
        "Value error",
        "Traceback",
        "<class",
    ):
        assert foreign not in str(error)
    assert all("\n" not in str(line) for line in error.problems)
    return tuple(map(str, error.problems))


@pytest.mark.parametrize("case", MISTAKES)
def test_one_mistake_gives_one_line_with_place_and_mend(case: str, tmp_path: Path) -> None:
    text, line, words = MISTAKES[case]
    path = tmp_path / "my.toml"
    path.write_text(text)
    (told,) = mistakes(path)
    if line:
        assert told.startswith(f"{path}:{line}: ")
    for word in words:
        assert word in told


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(
        "[training]\nepochs = true\nlr = 1\noptimizer = 'lamb'\n"
        "[calibration]\nsamples_per_epoch = 3\nevery_steps = 4\ndelta = 7\n"
        "[task]\ntrain_file = 'a.csv'\n[model]\nnam = 'x'\n"
    )
    lines = mistakes(path, "calibration.deltaa=1", "nonsense", training__seed=-1)
    told = "\n".join(lines)
    for part in (
        f"{path}:2: training.epochs",
        f"{path}:3: training.lr",
        f"{path}:4: training.optimizer",
        f"{path}:8: calibration.delta",
        f"{path}:12: model.nam",
        "--set calibration.deltaa=1: unknown key; did you mean delta?",
        "--set nonsense: expected section.key=value",
        "--seed: training.seed: expected a whole number",
        "samples_per_epoch or every_steps, not both",
    ):
        assert part in told
    for missing in ("text_column", "label_column", "kind"):
        assert f"own data needs {missing}; set task.{missing} (" in told
    assert len(lines) == 12


def test_a_mistake_carries_its_keys_and_place(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(
        "[training]\nepochs = 0\nlr = 1\n[task]\nkind = 'regression'\ntrain_file = 'a.csv'\n"
        "[method]\nname = 'adapter'\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(path, ["calibration.variant=D", "nonsense"])
    told = {each.keys: each for each in caught.value.problems}
    assert set(told) == {
        ("training.epochs",),
        ("training.lr",),
        ("task.text_column",),
        ("task.label_column",),
        ("calibration.variant", "method.name"),
        (),
    }
    assert told[("training.epochs",)].place == Place(str(path), 2)
    assert told[("training.lr",)].mend == "did you mean training.learning_rate?"
    assert told[("task.text_column",)].place == Place(str(path), 6)  # where own data is named
    assert told[("calibration.variant", "method.name")].place == Place(
        "--set calibration.variant=D"
    )


def test_an_impossible_choice_of_switch_is_told_whole() -> None:
    told = mistakes(None, "calibration.variant=S", "schedule.switch_at=0.4")
    assert [line.split(": ")[1] for line in told] == [
        "fft cannot be calibrated",
        'a fixed switch and calibration exclude each other; set calibration.variant = "off" or '
        "remove switch_at",
        "fft has no full phase to switch from",
    ]


def test_a_rule_of_a_method_that_knows_no_keys_is_told_of_its_section() -> None:
    class Toy(BaseModel):
        method: int = 0

        @field_validator("method")
        @classmethod
        def _never(cls, value: int) -> int:
            raise ValueError("this cannot be; choose another")

    with pytest.raises(ValidationError) as caught:
        Toy.model_validate({"method": 1})
    assert [str(each) for each in problems(caught.value)] == [
        "method: this cannot be; choose another"
    ]


def test_a_model_asked_by_a_program_keeps_its_rules_too() -> None:
    with pytest.raises(ValidationError, match="samples_per_epoch or every_steps, not both"):
        CalibrationSettings(samples_per_epoch=3, every_steps=4)
    with pytest.raises(ValidationError, match="own data needs kind") as caught:
        RunConfig.model_validate({"task": {"train_file": "a.csv"}})
    assert [each.keys for each in problems(caught.value)] == [
        ("task.text_column",),
        ("task.label_column",),
        ("task.kind",),
    ]


def test_mistakes_of_a_file_are_told_beside_a_base_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('extends = ["demmo", "./gone.toml"]\n[method]\nrank = "8"\n[model]\nnam = 1\n')
    told = mistakes(path)
    assert len(told) == 4
    assert any("demmo" in line for line in told)
    assert any("gone.toml" in line for line in told)
    assert any("write 8 without quotes" in line for line in told)
    assert not any("method.name is fft" in line for line in told)  # the base may have named lora


def test_own_data_tells_all_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[task]\nvalidation_file = 'b.csv'\nlabel_column = 'y'\n")
    told = mistakes(path)
    assert [line.rpartition("; ")[2] for line in told] == [
        "add train_file",
        "set task.text_column (`calisr data FILE` says which fits)",
        "set task.kind (`calisr data FILE` says which fits)",
    ]
    assert "needs text_column" in told[1]
    assert "needs kind" in told[2]
    assert all(line.startswith(f"{path}:2: [task]: ") for line in told[:1])


def test_a_wrong_value_causes_no_second_complaint(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(
        "[task]\ntrain_file = 'a.csv'\nvalidation_file = 3\ntext_column = 'a'\n"
        "label_column = 'b'\nkind = 'classification'\n"
    )
    assert [line.split(": ")[1] for line in mistakes(path)] == ["task.validation_file"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("calibration.deltaa=1", ("did you mean delta?",)),
        ("calibrration.delta=0.5", ("did you mean calibration.delta?",)),
        ("delta=0.5", ("delta belongs in [calibration]",)),
        ("training.epochs=three", ("a whole number", '"three"')),
        ("training.epochs=3.5", ("a whole number", "3.5")),
        ("training.epochs=", ("a whole number",)),
        ("training.seed=none", ("a whole number",)),
        ("output.export=True", ("write true",)),
        ("training=3", ("is a section", "--set training.KEY=VALUE")),
        ("extends=demo", ("files only",)),
        ("training.epochs", ("expected section.key=value",)),
        ("=3", ("expected section.key=value",)),
        ("method.rank=8", ("setting of lora", 'method.name = "lora"')),
        ("method.name=lorra", ('did you mean "lora"?',)),
        ("calibration.variant=S", ("fft cannot be calibrated",)),
        ("model.name=1\nx = 2\n", ()),
    ],
)
def test_options_are_named_in_their_mistakes(text: str, words: tuple[str, ...]) -> None:
    if not words:
        assert load(None, [text]).config.model.name.startswith("1\n") is True
        return
    (line,) = mistakes(None, text)
    assert line.startswith(f"--set {text}: ")
    for word in words:
        assert word in line


def test_option_of_its_own_is_named() -> None:
    (line,) = mistakes("demo", calibration__delta="x")
    assert line.startswith("--delta: calibration.delta: expected a number from 0 to 1")


def test_an_unknown_method_causes_no_second_complaint() -> None:
    told = mistakes("quick-fft", "method.name=lorra", "method.rank=3", "calibration.variant=S")
    assert [line.split(": ")[0] for line in told] == ["--set method.name=lorra"]


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    for raw, words in (
        (b"[training]\nepochs = 3 # \xff\n", ":2: is not UTF-8"),
        (b"\xff\xfe[\0t\0", "UTF-16"),
        ("﻿[training]\nepochs = 0".encode(), "training.epochs"),
        (b"a" * 1_000_001, "larger than 1 MB"),
        (b"\0\0\0", "not valid TOML"),
        (b"[" * 20000, "not valid TOML"),
    ):
        path.write_bytes(raw)
        (line,) = mistakes(path)
        assert words in line
        assert line.startswith(str(path))


def test_byte_order_mark_crlf_and_empty_files_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    for raw in (b"", b"\n# nothing\n", b"\xef\xbb\xbf"):
        path.write_bytes(raw)
        assert load(path).config == load(None).config
    path.write_bytes(b"\xef\xbb\xbf[training]\r\nepochs = 7\r\n")
    assert load(path).config.training.epochs == 7
    assert load(path).origins["training.epochs"] == f"{path}:2"


def test_what_is_no_file(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path)
    assert "is a directory" in line
    (tmp_path / "config.toml").touch()
    (line,) = mistakes(tmp_path)
    assert f"calisr resume {tmp_path}" in line
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    (line,) = mistakes(pipe)
    assert "not an ordinary file" in line
    loop = tmp_path / "loop.toml"
    loop.symlink_to(loop)
    (line,) = mistakes(loop)
    assert "cannot be read" in line


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "my.toml"
    path.touch()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # tests may run as root, whom no mode stops
    (line,) = mistakes(path)
    assert line.startswith(f"{path}: cannot be read: Permission denied")


@pytest.mark.parametrize("name", ["demmo", "no-such", "", "x" * 300, "a\0b", "../demo", "demo/x"])
def test_no_such_preset(name: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        load(name)
    assert caught.value.exit_code == 4
    assert caught.value.hint


def test_no_such_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").touch()
    with pytest.raises(NotFoundError, match=r"did you mean .*mine\.toml"):
        load(tmp_path / "min.toml")
    with pytest.raises(NotFoundError):
        load("~nobody-of-that-name/x.toml")
    with pytest.raises(ConfigError, match="no such file"):
        from_resolved(tmp_path / "config.toml")


def test_circles_and_long_chains(tmp_path: Path) -> None:
    a, b = tmp_path / "a.toml", tmp_path / "b.toml"
    a.write_text('extends = "b.toml"')
    b.write_text('# b\nextends = "a.toml"')
    (line,) = mistakes(a)
    assert line.startswith(f"{b}:2: extends: ")
    assert "circle" in line
    b.write_text('extends = "b.toml"')
    assert "circle" in mistakes(b)[0]
    for number in range(12):
        (tmp_path / f"{number}.toml").write_text(f'extends = "{number + 1}.toml"')
    (tmp_path / "12.toml").touch()
    assert "more than 8 files" in mistakes(tmp_path / "0.toml")[0]
    assert load(tmp_path / "6.toml").config.training.seed == 42


def test_a_mistake_in_a_base_names_the_base(tmp_path: Path) -> None:
    base, top = tmp_path / "base.toml", tmp_path / "top.toml"
    base.write_text("\n[training]\nepochs = 0\n")
    top.write_text('extends = "base"\n[training]\nepochs = 2\n')
    (line,) = mistakes(top)
    assert line.startswith(f"{base}:3: training.epochs")


def test_a_path_that_is_not_utf_8_is_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from calisr_tui.cli.app import run_command_line

    odd = os.fsdecode(bytes(tmp_path) + b"/caf\xe9")
    arguments = ["run", "demo", "--data-dir", odd, "--output-dir", str(tmp_path / "runs")]
    assert run_command_line(arguments) == 2
    assert "task.data_dir" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
