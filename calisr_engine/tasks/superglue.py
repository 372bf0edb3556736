"""Tasks beside GLUE that are known by name: those of SuperGLUE with one answer a row (Wang et al.,
2019), XNLI (Conneau et al., 2018) and PAWS-X (Yang et al., 2019)."""

from __future__ import annotations

from typing import Any

from calisr_engine.tasks.glue_task import GlueTask, sizes

_SUPERGLUE: dict[str, Any] = {
    "collection": "SuperGLUE",
    "hub_id": "aps/super_glue",
    "train_file": "train.jsonl",
    "validation": {"validation": ("val.jsonl", "validation")},
    "test": {"test": ("test.jsonl", "test")},
}
_BY_LANGUAGE: dict[str, Any] = {
    "train_file": "",
    "validation": {"validation": ("", "validation")},
    "test": {"test": ("", "test")},
}
_FALSE_TRUE = ("false", "true")
_SENTENCES = ("sentence1", "sentence2")

TASKS: tuple[GlueTask, ...] = (
    GlueTask(
        name="boolq",
        title="BoolQ",
        summary="Does the passage answer the question with yes?",
        label_names=("no", "yes"),
        written_labels=_FALSE_TRUE,
        metrics=("accuracy", "macro_f1"),
        hub_columns=("question", "passage"),
        sizes=sizes(9427, 3270, 3245),
        **_SUPERGLUE,
    ),
    GlueTask(
        name="cb",
        title="CB",
        summary="Does the text commit to the clause, deny it, or neither?",
        label_names=("entailment", "contradiction", "neutral"),
        metrics=("accuracy", "macro_f1"),
        hub_columns=("premise", "hypothesis"),
        sizes=sizes(250, 56, 250),
        **_SUPERGLUE,
    ),
    GlueTask(
        name="copa",
        title="COPA",
        summary="Which of two alternatives is the cause of this, or what it led to?",
        kind="choice",
        label_names=("choice1", "choice2"),
        written_labels=("0", "1"),
        metrics=("accuracy",),
        hub_columns=("premise",),
        question="question",
        sizes=sizes(400, 100, 500),
        **_SUPERGLUE,
    ),
    GlueTask(
        name="wic",
        title="WiC",
        summary="Is the word, marked in both sentences, used in the same sense?",
        label_names=("different", "same"),
        written_labels=_FALSE_TRUE,
        metrics=("accuracy", "f1"),
        hub_columns=_SENTENCES,
        sizes=sizes(5428, 638, 1400),
        **_SUPERGLUE,
        words=(("start1", "end1"), ("start2", "end2")),
    ),
    GlueTask(
        name="xnli",
        title="XNLI",
        summary="MNLI in fifteen languages.",
        label_names=("entailment", "neutral", "contradiction"),
        metrics=("accuracy", "macro_f1"),
        hub_columns=("premise", "hypothesis"),
        sizes=sizes(392702, 2490, 5010),
        hub_id="facebook/xnli",
        collection="XNLI",
        **_BY_LANGUAGE,
        languages=(
            *("en", "ar", "bg", "de", "el", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi"),
            "zh",
        ),
    ),
    GlueTask(
        name="pawsx",
        title="PAWS-X",
        summary="Do these two sentences say the same, in seven languages?",
        label_names=("different", "paraphrase"),
        written_labels=("0", "1"),
        metrics=("accuracy", "f1"),
        hub_columns=_SENTENCES,
        sizes=sizes(49401, 2000, 2000),
        hub_id="google-research-datasets/paws-x",
        collection="PAWS-X",
        **_BY_LANGUAGE,
        languages=("en", "de", "es", "fr", "ja", "ko", "zh"),
    ),
)
