"""The head training starts with: the seed's, or the checkpoint's by the names of its classes."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from calisr_engine.errors import ConfigError
from calisr_engine.models.load import LoadedModel
from calisr_engine.process.execute import execute
from tests.models.folders import (
    edit,
    every_architecture,
    is_head,
    load,
    own_weights,
    same,
    save,
    set_config,
    stored,
    strip_head,
)
from tests.training.tiny_run import events, make_run

CLASSES = ("bad", "fair", "good")


def named(kind: str, folder: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    save(kind, folder, len(classes))
    set_config(folder, id2label={str(i): name for i, name in enumerate(classes)})
    return folder


def logits(loaded: LoadedModel) -> Tensor:
    ids = torch.randint(5, 60, (4, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        result: Tensor = loaded.model.eval()(input_ids=ids).logits
    return result


@pytest.mark.parametrize("classes", [1, 2, 3])
@every_architecture
def test_a_fresh_head_is_that_of_a_checkpoint_without_one(
    kind: str, classes: int, tmp_path: Path
) -> None:
    """Of as many classes, of more, of a regression: nothing of an old head goes on, no layer."""
    folder = save(kind, tmp_path / "model", classes)
    first = load(folder, seed=3)
    assert any("its head is not kept" in note for note in first.notes)
    torch.manual_seed(999)
    strip_head(folder)
    second = load(folder, seed=3)
    assert same(first, second)
    assert not any("its head" in note for note in second.notes)


@every_architecture
def test_half_a_head_is_not_kept_either(kind: str, tmp_path: Path) -> None:
    folder = save(kind, tmp_path / "model")
    last = [name for name in stored(folder) if is_head(name)][-1]
    edit(folder, lambda tensors: tensors.pop(last))
    half = load(folder, seed=3)
    strip_head(folder)
    assert same(half, load(folder, seed=3))


@every_architecture
def test_only_the_seed_decides_the_head(kind: str, tmp_path: Path) -> None:
    folder = save(kind, tmp_path / "model")
    torch.manual_seed(1)
    one = load(folder, seed=3)
    torch.manual_seed(2)
    two, other = load(folder, seed=3), load(folder, seed=4)
    assert same(one, two)
    assert not same(one, other)


def test_the_global_random_state_is_left_alone(tmp_path: Path) -> None:
    folder = save("bert", tmp_path / "model")
    before = torch.get_rng_state()
    load(folder)
    assert torch.equal(torch.get_rng_state(), before)


@every_architecture
def test_classes_matched_by_name_in_any_order(kind: str, tmp_path: Path) -> None:
    folder = named(kind, tmp_path / "model")
    given = logits(load(folder, CLASSES, head="by_name"))
    for order in permutations(range(3)):
        wanted = tuple(CLASSES[i] for i in order)
        loaded = load(folder, wanted, head="by_name")
        torch.testing.assert_close(logits(loaded), given[:, list(order)])
        assert any("matched by name" in note for note in loaded.notes)


@every_architecture
def test_the_one_number_of_a_regression_is_kept_on_request(kind: str, tmp_path: Path) -> None:
    folder = save(kind, tmp_path / "model", labels=1)
    own = own_weights(load(folder, None, head="by_name"))
    assert all(torch.equal(own[name], tensor) for name, tensor in stored(folder).items())


def no_such_names(folder: Path) -> dict[str, Any]:
    return {"labels": ("a", "b", "c")}


def fewer_classes(folder: Path) -> dict[str, Any]:
    return {"labels": CLASSES[:2]}


def a_regression(folder: Path) -> dict[str, Any]:
    return {"labels": None}


def no_head(folder: Path) -> dict[str, Any]:
    strip_head(folder)
    return {}


def half_a_head(folder: Path) -> dict[str, Any]:
    edit(folder, lambda tensors: tensors.pop("classifier.bias"))
    return {}


def a_head_for_tokens(folder: Path) -> dict[str, Any]:
    set_config(folder, architectures=["BertForTokenClassification"])
    return {}


def more_names_than_outputs(folder: Path) -> dict[str, Any]:
    set_config(folder, id2label={"0": "bad", "1": "fair", "2": "good", "3": "best"})
    return {"labels": (*CLASSES, "best")}


def a_name_twice(folder: Path) -> dict[str, Any]:
    set_config(folder, id2label={"0": "bad", "1": "bad", "2": "good"})
    return {}


def random_weights(folder: Path) -> dict[str, Any]:
    return {"random_weights": True}


@pytest.mark.parametrize(
    "case",
    [
        no_such_names,
        fewer_classes,
        a_regression,
        no_head,
        half_a_head,
        a_head_for_tokens,
        more_names_than_outputs,
        a_name_twice,
        random_weights,
    ],
)
def test_a_head_that_does_not_match_is_refused(case: Any, tmp_path: Path) -> None:
    folder = named("bert", tmp_path / "model")
    asked = {"labels": CLASSES} | case(folder)
    with pytest.raises(ConfigError, match=r"model\.head: ") as caught:
        load(folder, head="by_name", **asked)
    assert 'model.head = "fresh"' in caught.value.hint


def run_of(folder: Path, output: Path, name: str, *sets: str) -> Path:
    few = ("training.epochs=1", "training.max_steps=2", "task.max_length=32", "method.name=fft")
    return make_run(folder, output, name, *few, *sets)


def test_a_run_says_what_became_of_the_head(tmp_path: Path) -> None:
    """And an old head of another task no longer decides how it begins."""
    classes = ("unacceptable", "acceptable")
    folder = named("bert", tmp_path / "model", classes)
    said, losses = {}, {}
    for head in ("fresh", "by_name"):
        run = run_of(folder, tmp_path, head, f"model.head={head}")
        assert execute(run, raise_errors=True) == 0
        said[head] = [e["message"] for e in events(run, "warning")]
        losses[head] = [e["loss"] for e in events(run, "progress")]
    assert any("head is not kept" in message for message in said["fresh"])
    assert any("matched by name" in message for message in said["by_name"])
    assert losses["fresh"] != losses["by_name"]
    edit(folder, lambda tensors: tensors["classifier.weight"].neg_())
    again = run_of(folder, tmp_path, "again")
    assert execute(again, raise_errors=True) == 0
    assert [e["loss"] for e in events(again, "progress")] == losses["fresh"]


def test_a_kept_regression_starts_where_it_was(tmp_path: Path) -> None:
    """Not at the mean of the labels."""
    folder = save("bert", tmp_path / "model", labels=1)
    lines = ["text,score", *(f"word {i},{100 + i}" for i in range(24))]
    data = tmp_path / "data.csv"
    data.write_text("\n".join(lines) + "\n")
    own = (
        "task.name=own",
        f"task.train_file={data}",
        f"task.validation_file={data}",
        "task.text_column=text",
        "task.label_column=score",
        "task.kind=regression",
        "training.learning_rate=1e-9",
    )
    run = run_of(folder, tmp_path, "kept", "model.head=by_name", *own)
    assert execute(run, raise_errors=True) == 0
    exported = stored(run / "model")["classifier.bias"]
    torch.testing.assert_close(exported, stored(folder)["classifier.bias"])
