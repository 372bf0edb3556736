"""MaskBERT: which weights count."""

from __future__ import annotations

import torch

from tests.methods.tiny import Run


def test_a_weight_counts_where_its_score_is_above_the_threshold() -> None:
    run = Run("mask_bert", threshold=0.25)
    form = next(iter(run.attachment.forms.values()))
    scores = torch.tensor([0.25, 0.2500001, 0.2499999, -1.0])
    with torch.no_grad():
        form.scores[0, :4] = scores  # type: ignore[attr-defined]
    form.push()
    counts = torch.tensor([False, True, False, False])
    assert torch.equal(form.mask()[0, :4], counts)  # type: ignore[attr-defined]
    assert torch.equal(form.weight[0, :4], form.base[0, :4] * counts)  # type: ignore[attr-defined]
    assert torch.equal(form.effective()[0, :4].float(), form.weight[0, :4])
