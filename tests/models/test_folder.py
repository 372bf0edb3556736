"""Each folder that is no whole model has a sentence of its own, and no pickle is ever opened."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from calisr_engine.errors import CalisrError, ConfigError, UnavailableError
from calisr_engine.methods.reload import METHOD
from calisr_engine.models.folder import INDEX, OWN_EXPORT
from calisr_engine.process.execute import execute
from tests.models.folders import WEIGHTS, every_architecture, load, same, save, set_config, stored
from tests.training.tiny_run import events, make_run


class Trap:
    """Unpickled, it writes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def trap(file: Path) -> Path:
    """A pickle at `file`; opened, it leaves `file` + ".opened"."""
    file.write_bytes(pickle.dumps(Trap(file.with_name(f"{file.name}.opened"))))
    return file


def sharded(folder: Path, parts: int = 3) -> dict[str, str]:
    """Cut the weights into files with an index; returns the index's map."""
    tensors = stored(folder)
    names = sorted(tensors)
    where = {n: f"model-0000{i % parts}-of-0000{parts}.safetensors" for i, n in enumerate(names)}
    for file in sorted(set(where.values())):
        save_file({n: tensors[n] for n in names if where[n] == file}, folder / file)
    (folder / WEIGHTS).unlink()
    write_index(folder, where)
    return where


def write_index(folder: Path, where: Any) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))


@every_architecture
def test_weights_in_parts_are_the_weights(kind: str, tmp_path: Path) -> None:
    folder = save(kind, tmp_path / "model")
    whole = load(folder)
    sharded(folder)
    assert same(load(folder), whole)


def test_links_are_followed(tmp_path: Path) -> None:
    folder = save("bert", tmp_path / "model")
    linked = tmp_path / "linked"
    linked.mkdir()
    for file in folder.iterdir():
        (linked / file.name).symlink_to(file)
    assert same(load(linked), load(folder))


@pytest.mark.parametrize("ending", [".bin", ".pt", ".pth", ".pkl", ".ckpt"])
@every_architecture
def test_pickles_alone_are_refused_in_words(kind: str, ending: str, tmp_path: Path) -> None:
    folder = save(kind, tmp_path / "model")
    (folder / WEIGHTS).unlink()
    file = trap(folder / f"pytorch_model{ending}")
    with pytest.raises(UnavailableError, match=f"only {file.name}, a pickle, which is never"):
        load(folder)
    assert not list(folder.glob("*.opened"))


@pytest.mark.parametrize("every", [True, False])
@every_architecture
def test_an_index_that_names_a_pickle_is_refused(kind: str, every: bool, tmp_path: Path) -> None:
    folder = save(kind, tmp_path / "model")
    where = sharded(folder)
    for file in set(where.values()) if every else {min(where.values())}:
        trap(folder / file.replace(".safetensors", ".bin"))
        where = {n: f.replace(".safetensors", ".bin") if f == file else f for n, f in where.items()}
    write_index(folder, where)
    with pytest.raises(UnavailableError, match=r"names .*\.bin, .*pickles are never loaded"):
        load(folder)
    assert not list(folder.glob("*.opened"))


def test_an_index_of_pickles_is_not_read(tmp_path: Path) -> None:
    folder = save("bert", tmp_path / "model")
    (folder / WEIGHTS).unlink()
    file = trap(folder / "pytorch_model-00001-of-00001.bin")
    index = {"weight_map": {"classifier.bias": file.name}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(UnavailableError, match="a pickle, which is never loaded"):
        load(folder)
    assert not list(folder.glob("*.opened"))


@pytest.mark.parametrize("link", [True, False])
def test_a_pickle_by_the_name_of_safetensors_is_not_opened(link: bool, tmp_path: Path) -> None:
    folder = save("bert", tmp_path / "model")
    (folder / WEIGHTS).unlink()
    if link:
        (folder / WEIGHTS).symlink_to(trap(folder / "pytorch_model.bin"))
    else:
        trap(folder / WEIGHTS)
    with pytest.raises(UnavailableError, match="not a whole safetensors file"):
        load(folder)
    assert not list(folder.glob("*.opened"))


def test_config_json_cannot_name_other_weights(tmp_path: Path) -> None:
    folder = save("bert", tmp_path / "model")
    trap(folder / "evil.bin")
    set_config(folder, transformers_weights="evil.bin")
    with pytest.raises(ConfigError, match=r"names weights of its own .*evil\.bin"):
        load(folder)
    assert not list(folder.glob("*.opened"))


def outside(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder.parent / WEIGHTS)
    write_index(folder, {"classifier.bias": f"../{WEIGHTS}"})


def absolute(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "all.safetensors")
    write_index(folder, {"classifier.bias": str(folder / "all.safetensors")})


def part_gone(folder: Path) -> None:
    (folder / sorted(sharded(folder).values())[-1]).unlink()


def part_without_a_tensor(folder: Path) -> None:
    where = sharded(folder)
    write_index(folder, where | {"bert.more": min(where.values())})


def no_map(folder: Path) -> None:
    sharded(folder)
    (folder / INDEX).write_text('{"metadata": {}}')


def map_of_numbers(folder: Path) -> None:
    sharded(folder)
    write_index(folder, {"a": 5})


def index_not_json(folder: Path) -> None:
    sharded(folder)
    (folder / INDEX).write_text("{")


def other_name(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "bert.safetensors")


def no_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def pipe_for_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    os.mkfifo(folder / WEIGHTS)


def folder_for_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).mkdir()


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def config_of(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "config.json").write_text(text)

    return write


def config_of_bytes(folder: Path) -> None:
    (folder / "config.json").write_bytes(b"\xff\xfe{")


def no_type(folder: Path) -> None:
    set_config(folder, model_type=None)


def strange_type(folder: Path) -> None:
    """Whatever else is missing, this is said first."""
    (folder / WEIGHTS).unlink()
    (folder / "tokenizer.json").unlink()
    set_config(folder, model_type="gpt2")


def quantised(folder: Path) -> None:
    set_config(folder, quantization_config={"quant_method": "bitsandbytes"})


def adapter(folder: Path) -> None:
    (folder / "config.json").unlink()
    config = {"peft_type": "LORA", "base_model_name_or_path": "some/base"}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def adapter_beside_a_model(folder: Path) -> None:
    """transformers would load some/base instead of the folder's own weights."""
    config = {"peft_type": "LORA", "base_model_name_or_path": "some/base"}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def damaged_adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{")


def own_export(folder: Path) -> None:
    (folder / METHOD).write_text("{}")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (outside, "lies outside the folder"),
        (absolute, "lies outside the folder"),
        (part_gone, r"lacks model-.*, which its index names"),
        (part_without_a_tensor, r"lacks what its index promises: bert\.more"),
        (no_map, "holds no weight_map"),
        (map_of_numbers, "names 5, which is no safetensors file"),
        (index_not_json, r"index\.json cannot be read"),
        (other_name, r"no weights in safetensors named model\.safetensors \(only bert\.safe"),
        (no_weights, "holds no weights in safetensors"),
        (pipe_for_weights, "holds no weights in safetensors"),
        (folder_for_weights, "holds no weights in safetensors"),
        (no_config, r"holds no config\.json"),
        (config_of("{"), r"config\.json cannot be read"),
        (config_of("[1]"), "holds no JSON object"),
        (config_of(""), r"config\.json cannot be read"),
        (config_of("[" * 100_000), r"config\.json cannot be read"),
        (config_of_bytes, r"config\.json cannot be read"),
        (no_type, "names no model_type"),
        (strange_type, "of architecture 'gpt2', which is not supported"),
        (quantised, "are quantised"),
        (adapter, "holds an adapter of some/base"),
        (adapter_beside_a_model, "holds an adapter of some/base"),
        (damaged_adapter, "holds an adapter"),
        (own_export, "calisr's own export of a method that changed the architecture"),
    ],
)
def test_each_odd_folder_has_its_own_sentence(harm: Any, says: str, tmp_path: Path) -> None:
    folder = save("bert", tmp_path / "model")
    harm(folder)
    with pytest.raises(CalisrError, match=says) as caught:
        load(folder)
    assert caught.value.message.startswith("model.name: ")
    assert caught.value.hint
    assert len(caught.value.message) < 600


def test_one_name_for_our_own_exports() -> None:
    assert METHOD == OWN_EXPORT


@pytest.mark.parametrize("name", ["model", "model/config.json", "model/model.safetensors", "gone"])
def test_a_file_or_nothing_in_place_of_the_folder(name: str, tmp_path: Path) -> None:
    save("bert", tmp_path / "model")
    path = tmp_path / name
    if name == "model":
        load(path)
        return
    says = "does not exist" if name == "gone" else "is a file, not a folder"
    with pytest.raises(UnavailableError, match=says):
        load(path)


@pytest.mark.parametrize("method", ["adapter", "prefix"])
def test_our_own_export_does_not_train_as_a_model(method: str, tmp_path: Path) -> None:
    sets = ("training.epochs=1", "training.max_steps=2")
    folder = save("bert", tmp_path / "model")
    first = make_run(folder, tmp_path, "first", f"method.name={method}", *sets)
    assert execute(first, raise_errors=True) == 0
    second = make_run(first / "model", tmp_path, "second", "method.name=fft", *sets)
    assert execute(second) == UnavailableError.exit_code
    assert "own export" in events(second, "failed")[0]["message"]


def test_our_plain_export_trains_as_a_model(tmp_path: Path) -> None:
    sets = ("training.epochs=1", "training.max_steps=2", "method.name=lora")
    first = make_run(save("bert", tmp_path / "model"), tmp_path, "first", *sets)
    assert execute(first, raise_errors=True) == 0
    second = make_run(first / "model", tmp_path, "second", *sets, "model.head=by_name")
    assert execute(second, raise_errors=True) == 0


STRANGE = [None, -1, 0, 3, 200, 1.5, float("nan"), "x", "", [], {}, True, [1, 2], {"a": 1}]


@pytest.mark.parametrize("seed", range(60))
def test_no_value_of_config_json_ends_in_a_traceback(seed: int, tmp_path: Path) -> None:
    """Any value of the wrong kind is refused, or the model is as whole as before."""
    draw = random.Random(seed)
    kind = draw.choice(["bert", "roberta", "distilbert", "albert"])
    folder = save(kind, tmp_path / "model")
    keys = sorted(json.loads((folder / "config.json").read_text()))
    set_config(folder, **{draw.choice(keys): draw.choice(STRANGE) for _ in range(2)})
    with contextlib.suppress(CalisrError):
        loaded = load(folder)
        assert all(bool(torch.isfinite(p).all()) for p in loaded.model.parameters())


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Puts a folder into the hub's cache as some/model."""
    import huggingface_hub.constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    def put(folder: Path) -> None:
        model = cache / "models--some--model"
        (model / "refs").mkdir(parents=True)
        (model / "refs" / "main").write_text("0" * 40)
        (model / "snapshots").mkdir()
        folder.rename(model / "snapshots" / ("0" * 40))

    return put


@every_architecture
def test_a_model_of_the_hub_is_read_from_its_cache(
    kind: str, tmp_path: Path, hub: Callable[[Path], None]
) -> None:
    folder = save(kind, tmp_path / "model")
    local = load(folder)
    hub(folder)
    cached = load(Path("some/model"))
    assert same(local, cached)
    assert cached.fingerprint == local.fingerprint


def test_what_is_refused_in_a_folder_is_refused_from_the_hub(
    tmp_path: Path, hub: Callable[[Path], None]
) -> None:
    folder = save("bert", tmp_path / "model")
    where = sharded(folder)
    trap(folder / "evil.bin")
    write_index(folder, dict.fromkeys(where, "evil.bin"))
    hub(folder)
    with pytest.raises(UnavailableError, match=r"names evil\.bin"):
        load(Path("some/model"))
    assert not list(tmp_path.rglob("*.opened"))


def test_an_adapter_of_the_hub_is_no_model(tmp_path: Path, hub: Callable[[Path], None]) -> None:
    folder = save("bert", tmp_path / "model")
    adapter_beside_a_model(folder)
    hub(folder)
    with pytest.raises(UnavailableError, match="holds an adapter"):
        load(Path("some/model"))


def test_a_name_that_the_hub_does_not_know_is_said_to_be_missing() -> None:
    with pytest.raises(UnavailableError, match="not on this machine and cannot be had"):
        load(Path("nobody/knows-this-model"))
