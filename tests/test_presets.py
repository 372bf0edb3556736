"""Shipped presets load and say what they are; saved ones are whole, and never replace by chance."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from calisr_engine import presets
from calisr_engine.config import preset_files
from calisr_engine.config.describe import METHODS
from calisr_engine.config.load import load
from calisr_engine.errors import ConfigError, NotFoundError, StorageError
from calisr_engine.grid import expand_grid
from calisr_engine.tasks import glue

TABLE_2 = [
    f"paper/table2/{method}{variant}-{task}"
    for method in ("mpop", "child-tuning-d", "lora")
    for variant in ("", "-calisr-d", "-calisr-s")
    for task in ("sst2", "mrpc", "rte")
]


@pytest.fixture(autouse=True)
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "saved"
    monkeypatch.setenv("CALISR_PRESETS_DIR", str(folder))
    return folder


RUNS = sorted(p for p in preset_files.preset_dir().rglob("*.toml") if not preset_files.is_grid(p))


@pytest.mark.parametrize("path", RUNS, ids=lambda p: p.stem)
def test_every_shipped_file_loads_and_has_a_title(path: Path) -> None:
    name = path.relative_to(preset_files.preset_dir()).with_suffix("").as_posix()
    info = presets.describe(name)
    assert info.problem == ""
    assert info.source == "shipped"
    assert info.title != name
    assert info.description or path.stem.startswith("base")
    assert load(name).warnings == ()


def test_the_demo_is_small_and_calibrated() -> None:
    config = load("demo").config
    assert (config.model.name, config.task.name) == ("demo-bert", "demo")
    assert (config.method.name, config.calibration.variant) == ("lora", "S")
    assert presets.describe("demo").summary["calibration"] == "CaliSr-S"
    assert preset_files.names()[0] == "demo"


@pytest.mark.parametrize("name", TABLE_2)
def test_table_2_is_complete(name: str) -> None:
    assert name in preset_files.names()
    config = load(name).config
    method = {"mpop": "mpop", "child": "child_tuning_d", "lora": "lora"}[
        name.split("/")[-1].split("-")[0]
    ]
    assert config.model.name == "bert-large-uncased"
    assert config.method.name == method
    assert config.task.name.lower().replace("-", "") == name.rpartition("-")[2]
    variant = next((v for v in ("S", "D") if f"calisr-{v.lower()}-" in name), "off")
    assert config.calibration.variant == variant
    assert (config.calibration.samples, config.calibration.delta) == (5, 0.5)


def test_rows_of_a_method_differ_in_calibration_only() -> None:
    for method in ("mpop", "child-tuning-d", "lora"):
        plain, d, s = (
            load(f"paper/table2/{method}{variant}-mrpc").config.model_dump()
            for variant in ("", "-calisr-d", "-calisr-s")
        )
        for config in (plain, d, s):
            config["calibration"]["variant"] = "any"
        assert plain == d == s


PUBLISHED = sorted((preset_files.preset_dir() / "published").glob("*.toml"))
SOURCES = {
    "alibaba/AliceMind",
    "benzakenelad/BitFit",
    "dguo98/DiffPruning",
    "facebookresearch/fairseq",
    "google-research/adapter-bert",
    "google-research/bert",
    "huggingface/peft",
    "huggingface/transformers",
    "lpyhdzx/MPOP",
    "microsoft/LoRA",
    "morningmoni/UniPELT",
    "ptlmasking/maskbert",
    "rabeehk/compacter",
    "THUDM/P-tuning-v2",
}


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda p: p.stem)
def test_a_published_preset_names_repository_and_file(path: Path) -> None:
    comment = presets.describe(f"published/{path.stem}").description
    assert any(f"the {source} repository" in comment for source in SOURCES), comment
    if not path.stem.startswith("base-lora"):  # a folder of scripts
        assert re.search(r"[\w/-]+\.(sh|py|md|ipynb)\b", comment), comment


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda p: p.stem)
def test_a_published_preset_does_what_its_comment_says(path: Path) -> None:
    config = load(f"published/{path.stem}").config
    if path.stem.startswith("base-"):
        return
    comment = presets.describe(f"published/{path.stem}").description
    assert config.calibration.variant == "off"
    assert path.stem.rpartition("-")[2] == glue.find(config.task.name).name
    training = config.training
    own = getattr(config.method, "mask_lr", None) or training.learning_rate
    rate = re.search(r"(?:learning rate|scores at|rate of) (\d[\d.]*e-\d)", comment)
    assert rate is not None
    assert float(rate[1]) == own
    batch = re.search(r"batch (\d+)|GPUs of (\d+) examples", comment)
    if batch is not None:
        assert int(batch[1] or batch[2]) == training.batch_size
    assert training.accumulate == (8 if "8 GPUs" in comment else 1)
    epochs = re.search(r"(\d+) epochs", comment)
    if epochs is not None and config.method.name != "diff_pruning":  # twice three
        assert int(epochs[1]) == training.epochs
    steps = re.search(r"(\d+) steps \(", comment)
    if steps is not None and training.max_steps is not None:
        assert int(steps[1]) == training.max_steps


def test_every_method_has_a_published_preset() -> None:
    names = [p.stem for p in PUBLISHED if not p.stem.startswith("base-")]
    found = {load(f"published/{name}").config.method.name for name in names}
    assert found == set(METHODS)


def test_bases_are_found_but_not_listed() -> None:
    assert preset_files.find("paper/base").is_file()
    assert not any(name.rpartition("/")[2].startswith("base") for name in preset_files.names())


def test_nearest_name() -> None:
    for wrong, right in (("demmo", "demo"), ("lora-calisr-s-mrpc", TABLE_2[25]), ("Demo", "demo")):
        with pytest.raises(NotFoundError) as caught:
            preset_files.find(wrong)
        assert caught.value.hint == f"did you mean {right}?"


def test_saved_presets_are_listed_found_and_described(user_folder: Path) -> None:
    text = load("demo", ["training.seed=5"]).minimal_toml("My demo")
    path = presets.save("team/mine", text)
    assert path == user_folder / "team/mine.toml"
    assert preset_files.names()[-1] == "team/mine"
    assert load("team/mine").config == load("demo", ["training.seed=5"]).config
    assert load("team/mine").origins["training.seed"] == "preset team/mine"
    info = presets.describe("team/mine")
    assert (info.title, info.source) == ("My demo", "user")
    assert sorted(user_folder.rglob("*.*")) == [path]  # no temporary file stays


def test_saving_does_not_overwrite_unless_told() -> None:
    presets.save("mine", "[training]\nepochs = 1\n")
    with pytest.raises(ConfigError, match="already"):
        presets.save("mine", "[training]\nepochs = 2\n")
    assert load("mine").config.training.epochs == 1
    presets.save("mine", "[training]\nepochs = 2\n", overwrite=True)
    assert load("mine").config.training.epochs == 2


def test_a_preset_saved_by_another_in_the_meantime_stays(
    user_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*_: object) -> None:
        (user_folder / "mine.toml").write_text("# the other's")

    monkeypatch.setattr(presets, "_must_load", meanwhile)
    with pytest.raises(ConfigError, match="already"):
        presets.save("mine", "")
    assert (user_folder / "mine.toml").read_text() == "# the other's"


def test_saving_works_without_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    presets.save("mine", "[training]\nepochs = 1\n")
    assert load("mine").config.training.epochs == 1


@pytest.mark.parametrize("name", ["", "../x", "/x", "a//b", "a b", "x.toml", "base", "a/base-x"])
def test_names_that_cannot_be_saved(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be the name"):
        presets.save(name, "")
    assert not list(tmp_path.rglob("*.toml"))


def test_shipped_names_are_taken() -> None:
    with pytest.raises(ConfigError, match="ships with"):
        presets.save("demo", "", overwrite=True)


def test_settings_that_cannot_be_used_are_not_saved(user_folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        presets.save("mine", "[training]\nepochs = 0\n")
    assert str(caught.value.problems[0]).startswith("mine:2: training.epochs")
    assert not list(user_folder.rglob("*.*"))


def test_a_folder_that_cannot_be_written(user_folder: Path) -> None:
    user_folder.write_text("a file, not a folder")
    with pytest.raises(StorageError, match="preset mine could not be written") as caught:
        presets.save("mine", "")
    assert "CALISR_PRESETS_DIR" in caught.value.hint
    assert "demo" in preset_files.names()


def test_a_broken_preset_is_listed_with_its_problem(user_folder: Path) -> None:
    user_folder.mkdir()
    (user_folder / "broken.toml").write_bytes(b"# Mine\n[training]\nepochs = \xff\n")
    info = presets.describe("broken")
    assert info.title == "Mine"
    assert "not UTF-8" in info.problem
    assert info.summary == {}


def test_wheel_presets_win_over_a_folder_beside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site/calisr_engine"
    (package / "_presets").mkdir(parents=True)
    (tmp_path / "site/presets").mkdir()  # some other package's
    monkeypatch.setattr(preset_files, "__file__", str(package / "config/preset_files.py"))
    assert preset_files.preset_dir() == package / "_presets"


def test_constraints_pin_every_direct_dependency() -> None:
    import tomli

    root = Path(__file__).parent.parent
    project = tomli.loads((root / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    names = {re.split(r"[\[<>=!~; ]", each)[0].lower() for each in wanted}
    lines = (root / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert names == set(pins)
    assert all(re.fullmatch(r"[0-9.]+", version) for version in pins.values())


def test_a_grid_is_no_preset_of_one_run() -> None:
    assert "paper/table2" not in preset_files.names()
    with pytest.raises(ConfigError, match="is a grid"):
        load("paper/table2")


def test_what_follows_a_publication_starts_regression_as_the_published_scripts_do() -> None:
    published = [name for name in preset_files.names() if name.startswith("published/")]
    configs = [load(name).config for name in published]
    for grid in ("paper/table1", "paper/table3"):
        configs += [run.resolved.config for run in expand_grid(grid).runs]
    numbers = [config for config in configs if config.task.name.lower() in ("sts-b", "stsb")]
    assert len(numbers) > 6
    assert {config.training.regression_start for config in numbers} == {"zero"}
