"""Whole runs in seconds: a random BERT with its tokenizer in a folder, and the demo task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from calisr_engine.config.load import load
from calisr_engine.runs.create import create_run

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = list("abcdefghijklmnopqrstuvwxyz.,'?")


def tokenizer() -> PreTrainedTokenizerFast:
    """Letters as tokens: every sentence has a spelling, and nothing is downloaded."""
    words = SPECIAL + LETTERS + [f"##{letter}" for letter in LETTERS]
    inner = Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )


def save_model(folder: Path, layers: int = 2) -> Path:
    import torch

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(SPECIAL) + 2 * len(LETTERS),
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=64,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def make_run(model: Path, output: Path, name: str, *sets: str) -> Path:
    """A run directory of the demo task with `model`; `sets` are `key=value`."""
    common = [
        f"model.name={model}",
        "task.name=demo",
        "task.max_train_examples=96",
        "task.max_validation_examples=40",
        "task.max_length=64",
        "training.epochs=3",
        "training.batch_size=16",
        "training.learning_rate=1e-2",
        "training.warmup_ratio=0.06",
        "training.device=cpu",
        "training.threads=1",
        "output.progress_every_seconds=0",
        f"output.name={name}",
    ]
    return create_run(load(None, [*common, *sets], {"output.dir": output}))


def events(run_dir: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run_dir / "events.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["type"] == kind]
