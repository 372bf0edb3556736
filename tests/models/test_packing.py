"""Layers over real tokens alone: the same function, or a reason why not."""

from __future__ import annotations

import copy
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from calisr_engine.errors import ConfigError
from calisr_engine.models.architectures import ARCHITECTURES, DECODERS
from calisr_engine.models.packing import check, pack_layers, real_tokens
from tests.models.folders import config_of
from tests.slow import quick_where

ROOT = Path(__file__).parents[2]
OWN = "have an attention of their own"
REFUSED = {
    "albert": "are not called once each",
    "big_bird": OWN,
    "deberta-v2": OWN,
    "gemma2": "cannot use torch's own attention",
    "longformer": OWN,
    "mpnet": OWN,
}
QUICK = ("bert", "distilbert", "modernbert", "qwen2")
FORMS = ("SequenceClassification", "TokenClassification")
NONE = ("gemma3_text", FORMS[1])
"""transformers has no such head for it."""


def built(kind: str, form: str = FORMS[0], **more: Any) -> nn.Module:
    torch.manual_seed(0)
    auto = getattr(transformers, f"AutoModelFor{form}")
    return auto.from_config(config_of(kind, labels=3, pad_token_id=0, **more)).eval()  # type: ignore[no-any-return]


def a_batch(left: bool = False) -> dict[str, Tensor]:
    """Rows of 9, 5 and 7 tokens."""
    mask = torch.ones(3, 9, dtype=torch.int64)
    mask[1, 5:], mask[2, 7:] = 0, 0
    mask = mask.flip(1) if left else mask
    return {"input_ids": torch.randint(5, 40, (3, 9)) * mask, "attention_mask": mask}


def results(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    model.zero_grad()
    output = model(**batch)
    output.loss.backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    logits = output.logits.detach()
    return found | {"outputs": logits[batch["attention_mask"] == 1] if logits.dim() > 2 else logits}


@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
@pytest.mark.parametrize(
    ("kind", "form"),
    quick_where(
        [
            each
            for each in product(sorted(set(ARCHITECTURES) - set(REFUSED)), FORMS)
            if each != NONE
        ],
        lambda each: each[0] in QUICK,
    ),
)
def test_outputs_and_gradients_are_those_of_padded_rows(kind: str, form: str, left: bool) -> None:
    """To 1e-6 of the largest, in float64 (but for norms that transformers takes in float32)."""
    plain = built(kind, form)
    packed = copy.deepcopy(plain)
    if left and form == FORMS[0] and kind not in DECODERS | {"eurobert"}:
        with pytest.raises(ConfigError, match="gives other outputs so"):
            pack_layers(packed, "left")  # the head reads padding there
        return
    pack_layers(packed, "left" if left else "right")
    assert packed.state_dict().keys() == plain.state_dict().keys()
    plain, packed = plain.double(), packed.double()
    batch = a_batch(left)
    labels = torch.tensor([0, 2, 1])
    if form == FORMS[1]:
        labels = torch.where(batch["attention_mask"] == 1, labels[:, None], -100)
    batch["labels"] = labels
    expected, found = results(plain, batch), results(packed, batch | real_tokens(batch))
    copied = results(copy.deepcopy(packed), batch | real_tokens(batch))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        largest = float(value.abs().max())
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6 * max(largest, 1e-12))
        assert copied[name].equal(found[name])
    # A batch that says nothing of its tokens goes as before, also after one that did.
    for name, value in results(packed, batch).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-12)


def test_the_page_names_what_can_be_packed_and_what_it_brought() -> None:
    page = " ".join((ROOT / "docs" / "gpu.md").read_text().split())
    said = r"attention be replaced: (.*?) and decoders but (.*?); .*? first\. (.*?) are refused"
    named = re.search(said, page)
    assert named is not None
    taken, *refused = named.groups()

    def kinds(words: str) -> set[str]:
        plain = {re.sub("[^a-z0-9]", "", kind): kind for kind in ARCHITECTURES}
        alias = {"xlmr": "xlmroberta", "nomic": "nomicbert", "deberta": "debertav2"}
        found = (re.sub("[^a-z0-9]", "", each.lower()) for each in re.split(", | and ", words))
        return {plain[alias.get(each, each)] for each in found}

    assert kinds(taken) == set(ARCHITECTURES) - set(REFUSED) - DECODERS
    assert kinds(", ".join(refused)) == set(REFUSED)
    rows = re.findall(
        r"\| (\d\.\d+) \((\d\.\d+) to (\d\.\d+)\) \|",
        (ROOT / "benchmarks" / "results" / "padding.md").read_text(),
    )
    quiet = [float(middle) for middle, low, high in rows if float(high) - float(low) < 0.1]
    told = re.search(r"\(([\d.]+) to ([\d.]+) times as fast on (\w+) tasks\)", page)
    assert told is not None
    assert told.groups() == (f"{min(quiet):.2f}", f"{max(quiet):.2f}", "four")
    assert len(quiet) == 4


def test_layers_compute_no_padding() -> None:
    model, shapes = built("bert"), []
    pack_layers(model)
    for layer in model.bert.encoder.layer:  # type: ignore[operator, union-attr]
        layer.intermediate.register_forward_hook(lambda _, args, out: shapes.append(out.shape[:2]))
    batch = a_batch()
    model(**batch, **real_tokens(batch))
    assert shapes == [(1, 21), (1, 21)]


def test_no_text_sees_another() -> None:
    """With one text changed, the outputs of the others stay to the bit."""
    model = built("roberta")
    pack_layers(model)
    one = a_batch()
    other = one | {"input_ids": one["input_ids"].clone()}
    other["input_ids"][1, 1:4] = 41
    with torch.no_grad():
        before, after = (model(**each, **real_tokens(each)).logits for each in (one, other))
    assert before[[0, 2]].equal(after[[0, 2]])
    assert not before[1].equal(after[1])


def test_a_batch_without_padding_names_no_tokens() -> None:
    whole = a_batch()
    whole["attention_mask"].fill_(1)
    assert real_tokens(whole) == {}
    assert real_tokens({"input_ids": whole["input_ids"]}) == {}


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_what_cannot_be_packed_is_told_before_there_are_weights(kind: str) -> None:
    with torch.device("meta"):
        model = built(kind)
    with pytest.raises(ConfigError, match=f"packing: .*{kind}.* {REFUSED[kind]}") as caught:
        check(model)
    assert caught.value.hint == "set training.packing = false"


def test_a_layer_that_looks_at_other_tokens_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model = built("bert")
    output = model.bert.encoder.layer[-1].output  # type: ignore[operator, union-attr]
    forward = output.forward
    monkeypatch.setattr(
        output, "forward", lambda seen, hidden: forward(seen, hidden + hidden.mean(1, keepdim=True))
    )
    with pytest.raises(ConfigError, match="gives other outputs so"):
        pack_layers(model)
