"""The kinds of task: what is said of a text, and what that means for head, loss and export.

Who asks "is this a classification?" asks this table. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

KindName = Literal["classification", "regression", "multi_label", "token", "choice"]

THRESHOLD = 0.5
"""Probability above which a label of a multi-label task is given, where nobody says another."""


OUTSIDE = "O"
"""The tag of a word that is part of no entity."""


@dataclass(frozen=True)
class TaskKind:
    """One kind of task.

    Attributes:
        title: what is said of a text.
        has_classes: whether an answer is a class with a name; else it is a number.
        per_word: whether each word has an answer of its own, rather than the whole text one.
        chooses: whether the answer is one of a text's own alternatives, each scored by a head of
            one output; the alternatives are the classes then.
        problem_type: what transformers' config calls it, by which its models choose the loss; None
            where the architecture says it.
        auto_class: transformers' class that opens its models.
        pipeline: transformers' pipeline that asks them, or the hub's name for the task.
    """

    name: KindName
    title: str
    has_classes: bool
    per_word: bool
    chooses: bool
    problem_type: str | None
    auto_class: str
    pipeline: str

    @property
    def architecture(self) -> str:
        """How the name of an architecture of this kind ends ("ForSequenceClassification")."""
        return self.auto_class.removeprefix("AutoModel")


_TEXTS = ("AutoModelForSequenceClassification", "text-classification")
_WORDS = ("AutoModelForTokenClassification", "token-classification")
_ALTERNATIVES = ("AutoModelForMultipleChoice", "multiple-choice")

KINDS: dict[str, TaskKind] = {
    each.name: each
    for each in (
        TaskKind(
            "classification",
            "one class",
            True,
            False,
            False,
            "single_label_classification",
            *_TEXTS,
        ),
        TaskKind("regression", "a number", False, False, False, "regression", *_TEXTS),
        TaskKind(
            "multi_label",
            "any number of labels",
            True,
            False,
            False,
            "multi_label_classification",
            *_TEXTS,
        ),
        TaskKind("token", "a tag for each word", True, True, False, None, *_WORDS),
        TaskKind("choice", "one of its alternatives", True, False, True, None, *_ALTERNATIVES),
    )
}
assert tuple(KINDS) == get_args(KindName)


def kind_of_model(model: object) -> TaskKind:
    """The kind of task of one of transformers' models, by the name of its class."""
    return kind_of_export({"architectures": [type(model).__name__]})


def kind_of_export(config: Mapping[str, Any]) -> TaskKind:
    """The kind of task of a model with this config.json."""
    named = [str(each) for each in config.get("architectures") or ()]
    for kind in KINDS.values():
        if kind.problem_type is None and any(each.endswith(kind.architecture) for each in named):
            return kind
        if kind.problem_type is not None and config.get("problem_type") == kind.problem_type:
            return kind
    return KINDS["classification"]
