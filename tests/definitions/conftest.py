"""A model whose matrices count: their gradients outweigh those of the head."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertForSequenceClassification

from tests.training.tiny_run import save_model


@pytest.fixture(scope="package")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_model(tmp_path_factory.mktemp("model"))
    own = BertForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        for name, parameter in own.named_parameters():
            if parameter.dim() == 2 and "embeddings" not in name:
                parameter.mul_(50 if name.startswith("classifier") else 10)
    own.save_pretrained(folder)
    return folder
