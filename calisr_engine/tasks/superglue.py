"""Tasks beside GLUE that are known by name: those of SuperGLUE that are plain texts or pairs (Wang
et al., 2019), XNLI (Conneau et al., 2018) and PAWS-X (Yang et al., 2019).

COPA asks for a choice between two options, each scored by its own pass; there is no such head here.
"""

from __future__ import annotations

from calisr_engine.tasks.glue_task import GlueTask

SUPERGLUE = "aps/super_glue"
_FALSE_TRUE = ("false", "true")
_SENTENCES = ("sentence1", "sentence2")

TASKS: tuple[GlueTask, ...] = (
    GlueTask(
        name="boolq",
        title="BoolQ",
        summary="Does the passage answer the question with yes?",
        kind="classification",
        label_names=("no", "yes"),
        file_labels=_FALSE_TRUE,
        metrics=("accuracy", "macro_f1"),
        hub_columns=("question", "passage"),
        file_columns=("question", "passage"),
        folder="BoolQ",
        sizes={"train": 9427, "validation": 3270, "test": 3245},
        hub_id=SUPERGLUE,
        collection="SuperGLUE",
    ),
    GlueTask(
        name="cb",
        title="CB",
        summary="Does the text commit to the clause, deny it, or neither?",
        kind="classification",
        label_names=("entailment", "contradiction", "neutral"),
        file_labels=("entailment", "contradiction", "neutral"),
        metrics=("accuracy", "macro_f1"),
        hub_columns=("premise", "hypothesis"),
        file_columns=("premise", "hypothesis"),
        folder="CB",
        sizes={"train": 250, "validation": 56, "test": 250},
        hub_id=SUPERGLUE,
        collection="SuperGLUE",
    ),
    GlueTask(
        name="wic",
        title="WiC",
        summary="Is the word, marked in both sentences, used in the same sense?",
        kind="classification",
        label_names=("different", "same"),
        file_labels=_FALSE_TRUE,
        metrics=("accuracy", "f1"),
        hub_columns=_SENTENCES,
        file_columns=_SENTENCES,
        folder="WiC",
        sizes={"train": 5428, "validation": 638, "test": 1400},
        hub_id=SUPERGLUE,
        collection="SuperGLUE",
        words=(("start1", "end1"), ("start2", "end2")),
    ),
    GlueTask(
        name="xnli",
        title="XNLI",
        summary="MNLI in fifteen languages.",
        kind="classification",
        label_names=("entailment", "neutral", "contradiction"),
        file_labels=("entailment", "neutral", "contradiction"),
        metrics=("accuracy", "macro_f1"),
        hub_columns=("premise", "hypothesis"),
        file_columns=("premise", "hypothesis"),
        folder="XNLI",
        sizes={"train": 392702, "validation": 2490, "test": 5010},
        hub_id="facebook/xnli",
        collection="XNLI",
        languages=(
            *("en", "ar", "bg", "de", "el", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi"),
            "zh",
        ),
    ),
    GlueTask(
        name="pawsx",
        title="PAWS-X",
        summary="Do these two sentences say the same, in seven languages?",
        kind="classification",
        label_names=("different", "paraphrase"),
        file_labels=("0", "1"),
        metrics=("accuracy", "f1"),
        hub_columns=_SENTENCES,
        file_columns=_SENTENCES,
        folder="PAWS-X",
        sizes={"train": 49401, "validation": 2000, "test": 2000},
        hub_id="google-research-datasets/paws-x",
        collection="PAWS-X",
        languages=("en", "de", "es", "fr", "ja", "ko", "zh"),
    ),
)
