"""The table of GLUE tasks: columns, labels, metrics and official sizes (Wang et al., 2019); and
what is known by name beside them (`superglue`).

Imports nothing heavy, so that the command line can list tasks at once.
"""

from __future__ import annotations

import difflib
import re

from calisr_engine.errors import NotFoundError
from calisr_engine.plain_words import quoted
from calisr_engine.tasks import superglue
from calisr_engine.tasks.glue_task import GlueTask, sizes

_ZERO_ONE = ("0", "1")
_SENTENCES = ("sentence1", "sentence2")
_TWO_WAY = ("entailment", "not_entailment")
_THREE_WAY = ("entailment", "neutral", "contradiction")

_TASKS: tuple[GlueTask, ...] = (
    GlueTask(
        name="cola",
        title="CoLA",
        summary="Is this English sentence acceptable?",
        label_names=("unacceptable", "acceptable"),
        written_labels=_ZERO_ONE,
        metrics=("matthews", "accuracy"),
        hub_columns=("sentence",),
        sizes=sizes(8551, 1043, 1063),
        bare_header=("source", "label", "mark", "sentence"),
    ),
    GlueTask(
        name="sst2",
        title="SST-2",
        summary="Is this piece of a film review positive?",
        label_names=("negative", "positive"),
        written_labels=_ZERO_ONE,
        metrics=("accuracy", "f1"),
        hub_columns=("sentence",),
        sizes=sizes(67349, 872, 1821),
    ),
    GlueTask(
        name="mrpc",
        title="MRPC",
        summary="Do these two news sentences say the same?",
        label_names=("not_equivalent", "equivalent"),
        written_labels=_ZERO_ONE,
        metrics=("f1", "accuracy"),
        hub_columns=_SENTENCES,
        written_columns=("#1 String", "#2 String"),
        file_label="Quality",
        sizes=sizes(3668, 408, 1725),
    ),
    GlueTask(
        name="qqp",
        title="QQP",
        summary="Do these two Quora questions ask the same?",
        label_names=("not_duplicate", "duplicate"),
        written_labels=_ZERO_ONE,
        metrics=("f1", "accuracy"),
        hub_columns=("question1", "question2"),
        file_label="is_duplicate",
        sizes=sizes(363846, 40430, 390965),
    ),
    GlueTask(
        name="stsb",
        title="STS-B",
        summary="How alike are these two sentences, from 0 to 5?",
        kind="regression",
        label_names=(),
        metrics=("spearman", "pearson"),
        hub_columns=_SENTENCES,
        file_label="score",
        sizes=sizes(5749, 1500, 1379),
    ),
    GlueTask(
        name="mnli",
        title="MNLI",
        summary="Does the first sentence entail or contradict the second, or neither?",
        label_names=_THREE_WAY,
        metrics=("accuracy", "macro_f1"),
        hub_columns=("premise", "hypothesis"),
        written_columns=_SENTENCES,
        file_label="gold_label",
        validation={
            "matched": ("dev_matched.tsv", "validation_matched"),
            "mismatched": ("dev_mismatched.tsv", "validation_mismatched"),
        },
        test={
            "matched": ("test_matched.tsv", "test_matched"),
            "mismatched": ("test_mismatched.tsv", "test_mismatched"),
            "ax": ("../AX/AX.tsv", "ax:test"),
        },
        sizes={
            "train": 392702,
            "matched": 9815,
            "mismatched": 9832,
            "test/matched": 9796,
            "test/mismatched": 9847,
            "test/ax": 1104,
        },
    ),
    GlueTask(
        name="qnli",
        title="QNLI",
        summary="Does this sentence answer the question?",
        label_names=_TWO_WAY,
        metrics=("accuracy", "macro_f1"),
        hub_columns=("question", "sentence"),
        sizes=sizes(104743, 5463, 5463),
    ),
    GlueTask(
        name="rte",
        title="RTE",
        summary="Does the first text entail the second?",
        label_names=_TWO_WAY,
        metrics=("accuracy", "macro_f1"),
        hub_columns=_SENTENCES,
        sizes=sizes(2490, 277, 3000),
    ),
    GlueTask(
        name="wnli",
        title="WNLI",
        summary="Does the sentence still hold with its pronoun replaced?",
        label_names=("not_entailment", "entailment"),
        written_labels=_ZERO_ONE,
        metrics=("accuracy", "macro_f1"),
        hub_columns=_SENTENCES,
        sizes=sizes(635, 71, 146),
    ),
)

_GLUE = {task.name: task for task in _TASKS}
_BY_NAME = _GLUE | {task.name: task for task in superglue.TASKS}
_OTHER_NAMES = {"sts": "stsb", "sst": "sst2", "mnlim": "mnli", "mnlimm": "mnli"}


def plain(name: str) -> str:
    """A name without case, dashes and spaces: "SST-2" is "sst2"."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def names() -> list[str]:
    """Names of all GLUE tasks."""
    return list(_GLUE)


def known() -> list[str]:
    """Names of all tasks that are known by name, the GLUE tasks first."""
    return list(_BY_NAME)


def is_task(name: str) -> bool:
    """Is this one of the tasks known by name, however it is written?"""
    return _word(name) in _BY_NAME


def is_of_glue(name: str) -> bool:
    """Is this one of the GLUE tasks, however it is written?"""
    return _word(name) in _GLUE


def _word(name: str) -> str:
    return _OTHER_NAMES.get(plain(name)) or plain(name)


def find(name: str) -> GlueTask:
    """The task of that name, whatever its case and dashes ("SST-2", "sst_2", "sst2").

    Raises:
        NotFoundError: there is none; the hint has the nearest name.
    """
    if is_task(name):
        return _BY_NAME[_word(name)]
    raise NotFoundError(*unknown(name))


def unknown(name: str) -> tuple[str, str]:
    """What to say of a name that no task has, and the mend with the nearest one."""
    every = ["demo", *known()]
    near = difflib.get_close_matches(plain(name), every, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]}? " if near else ""
    return (
        f"there is no task {quoted(name)}",
        f"{meant}tasks: {', '.join(every)}; own data needs task.train_file or task.dataset",
    )
