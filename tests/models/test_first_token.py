"""The last layer for the first token alone: the same function, or a reason why not."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers
from torch import Tensor, nn

from calisr_engine.errors import ConfigError
from calisr_engine.models.first_token import _FORMS, check, compute_first_token_only
from tests.models.folders import config_of


def built(kind: str) -> nn.Module:
    torch.manual_seed(0)
    auto = transformers.AutoModelForSequenceClassification
    return auto.from_config(config_of(kind, labels=3, pad_token_id=0)).eval()  # type: ignore[no-any-return]


def results(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    model.zero_grad()
    output = model(**batch)
    output.loss.backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return found | {"outputs": output.logits.detach()}


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("kind", sorted(_FORMS))
def test_outputs_and_gradients_are_those_of_all_tokens(kind: str, masked: bool) -> None:
    """In float64 to 1e-12 of the largest: what differs in float32 is rounding."""
    full = built(kind).double()
    first = copy.deepcopy(full)
    compute_first_token_only(first.float())
    first.load_state_dict(full.state_dict())
    first.double()
    mask = torch.ones(3, 9, dtype=torch.int64)
    if masked:
        mask[1, 5:], mask[2, 7:] = 0, 0
    batch = {"input_ids": torch.randint(5, 40, (3, 9)), "labels": torch.tensor([0, 2, 1])}
    batch["attention_mask"] = mask
    expected, found = results(full, batch), results(first, batch)
    copied = results(copy.deepcopy(first), batch)
    assert found.keys() == expected.keys()
    assert first.state_dict().keys() == full.state_dict().keys()
    for name, value in expected.items():
        assert float((found[name] - value).abs().max()) <= 1e-12 * max(
            1.0, float(value.abs().max())
        )
        assert copied[name].equal(found[name])
    last = [n for n in expected if ".layer.1." in n and "weight" in n]
    assert last
    assert all(found[name].any() for name in last)


def test_fewer_tokens_pass_the_last_layer() -> None:
    model, widths = built("bert"), []
    compute_first_token_only(model)
    for layer in model.bert.encoder.layer:  # type: ignore[operator, union-attr]
        layer.intermediate.register_forward_hook(lambda _, args, out: widths.append(out.shape[1]))
    model(input_ids=torch.randint(5, 40, (2, 9)))
    assert widths == [9, 1]


@pytest.mark.parametrize("kind", ["albert", "deberta-v2", "eurobert", "gte", "llama", "longformer"])
def test_where_the_head_reads_more_or_nobody_knows_it_is_refused(kind: str) -> None:
    model = built(kind)
    more = kind in ("eurobert", "llama")
    why = "reads more tokens than the first" if more else "has no such form"
    with pytest.raises(ConfigError, match=f"last_layer: .*{why}") as caught:
        compute_first_token_only(model)
    assert "full" in caught.value.hint


def test_a_head_that_tags_words_is_told_before_there_are_weights() -> None:
    with torch.device("meta"):
        model = transformers.AutoModelForTokenClassification.from_config(config_of("bert"))
    with pytest.raises(ConfigError, match="last_layer: this model tags each word") as caught:
        check(model)
    assert caught.value.hint == 'set training.last_layer = "full"'


def test_a_head_that_reads_the_mean_is_told() -> None:
    torch.manual_seed(0)
    config = config_of("modernbert", classifier_pooling="mean")
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    with pytest.raises(ConfigError, match="the head of this 'modernbert' model reads more tokens"):
        compute_first_token_only(model)


def test_a_last_layer_that_does_something_else_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = built("bert")
    output = model.bert.encoder.layer[-1].attention.output  # type: ignore[operator, union-attr]
    forward = output.forward
    monkeypatch.setattr(
        output, "forward", lambda seen, hidden: forward(seen, hidden + hidden.mean(1, keepdim=True))
    )
    with pytest.raises(ConfigError, match="gives other outputs so"):
        compute_first_token_only(model)
