"""Which column is the text, the second text and the label, and what kind of label: guesses, each
with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from calisr_engine.plain_words import quoted
from calisr_engine.preview.columns import KINDS, Column, Kind
from calisr_engine.tasks import metrics
from calisr_engine.tasks.own_files import default_metrics

MOST_CLASSES = 200
FEW_NUMBERS = 20
"""Different whole numbers up to which they are taken for classes."""

ONE_SIDED = 0.75
"""Share of the commonest class from which accuracy says little."""

TEXT_NAMES = (
    *("text", "sentence", "review", "content", "comment", "tweet", "message", "utterance", "body"),
    *("document", "question", "title", "headline", "description", "abstract", "post", "article"),
    *("query", "premise", "passage", "input", "prompt", "sms", "email", "paragraph", "summary"),
)
LABEL_NAMES = (
    *("label", "labels", "class", "target", "category", "sentiment", "y", "gold", "output"),
    *("score", "rating", "stars", "intent", "emotion", "topic", "polarity", "spam", "toxic"),
    *("similarity", "relatedness", "grade", "type", "tag", "answer"),
)
ID_NAMES = ("id", "idx", "index", "uid", "guid", "uuid", "row", "key", "number", "no", "nr")
PAIRS = (
    ("premise", ("hypothesis",)),
    ("question", ("answer", "sentence", "passage", "context", "response", "paragraph")),
    ("query", ("passage", "document", "title", "doc", "product", "answer")),
    ("context", ("response", "question")),
    ("text", ("text_pair", "pair", "other", "second")),
    ("claim", ("evidence",)),
    ("source", ("target", "translation")),
)
"""Names that go together, beside those that differ in a 1 and a 2 or an a and a b."""

_UNREAD: tuple[Kind, ...] = ("list", "nested", "repeated", "empty")
"""Kinds of columns whose cells are no single text or label."""

_PARTS = re.compile(r"[A-Z]?[a-z]+|\d+|[A-Z]+(?![a-z])")
_SIDES = (("1", "2"), ("a", "b"), ("one", "two"), ("first", "second"), ("left", "right"))


@dataclass(frozen=True)
class Guess:
    """A value for a setting, and why it is that one."""

    value: str
    why: str


@dataclass(frozen=True)
class Roles:
    """Guesses for the columns; None where there is none to make."""

    text: Guess | None
    pair: Guess | None
    label: Guess | None


def roles(
    columns: Sequence[Column],
    text: str | None = None,
    pair: str | None = None,
    label: str | None = None,
) -> Roles:
    """The columns of text, second text and label.

    Args:
        text, pair, label: columns that are known already; their role is not guessed.
    """
    taken = {name for name in (text, pair, label) if name is not None}
    free = [each for each in columns if each.name not in taken]
    found_text = found_pair = found_label = None
    if text is None:
        found_text = _best(free, _text_score, _text_reason)
        free = [each for each in free if found_text is None or each.name != found_text.value]
    first = text if text is not None else found_text.value if found_text else None
    if label is None:
        # Of two texts that go together neither is the label, unless nothing else could be.
        others = [
            each
            for each in free
            if first is None or not (_is_text(each) and _goes_with(first, each.name))
        ]
        found_label = _label_of(others) or _label_of(free)
        free = [each for each in free if found_label is None or each.name != found_label.value]
    if pair is None and first is not None:
        beside = [each for each in free if _is_text(each) and _goes_with(first, each.name)]
        before = [each for each in free if _is_text(each) and _goes_with(each.name, first)]
        if beside:
            found_pair = Guess(
                beside[0].name, f"its name goes with {quoted(first)}, and it holds texts"
            )
        elif before and text is None:
            assert found_text is not None
            found_pair = Guess(first, f"its name goes with {quoted(before[0].name)}")
            found_text = Guess(before[0].name, _text_reason(before[0]))
    return Roles(found_text, found_pair, found_label)


def kind_of(label: Column) -> Guess:
    """classification or regression, from the values of the label's column."""
    if label.kind == "number":
        whole = all(float(value).is_integer() for value in label.counts)
        if not whole or label.distinct > FEW_NUMBERS:
            return Guess("regression", f"{quoted(label.name)} holds numbers with fractions")
    if label.kind == "whole" and label.distinct > FEW_NUMBERS:
        return Guess(
            "regression",
            f"{quoted(label.name)} holds {label.distinct:,} different numbers, too many for "
            "classes",
        )
    what = "value" if label.distinct == 1 else "values"
    return Guess("classification", f"{quoted(label.name)} has {label.distinct:,} different {what}")


def metric_of(label: Column, kind: str) -> Guess:
    """The metric that picks the best model."""
    usual = default_metrics(kind, label.distinct)[0]
    if kind == "regression":
        return Guess(usual, "the usual one of a regression")
    value, count = next(iter(label.counts.items()), ("", 0))
    share = count / max(1, label.rows - label.missing)
    if share >= ONE_SIDED:
        return Guess(
            "macro_f1", f"{share:.0%} of the rows are {quoted(value)}, so accuracy would say little"
        )
    return Guess(usual, "no class has nearly all rows")


def metrics_that_fit(kind: str, classes: int, spans: bool = True) -> list[str]:
    """Names of the metrics for labels of that kind; `classes` counts for a classification only.

    Args:
        spans: whether tags of words mark entities.
    """
    return metrics.valid_names(kind, classes if kind == "classification" else 0, spans)


def is_id(column: Column) -> bool:
    """Whether a column only numbers or names the rows."""
    if column.kind in ("text", *_UNREAD) or column.rows < 2:
        return False
    each_its_own = column.distinct == column.rows - column.missing
    named = bool(set(_words(column.name)[-1:]) & set(ID_NAMES)) or not column.name.strip()
    unnamed = column.name.lower().startswith("unnamed")
    if column.kind == "whole" and column.rising and column.rows > 4:
        return True
    if column.kind == "words" and each_its_own and column.words < 1.2 and column.rows > FEW_NUMBERS:
        return named or column.longest > 6  # codes; short words may be texts
    return (named or unnamed) and (each_its_own or column.distinct > column.rows / 2)


def role_words(column: Column) -> str:
    """What a column seems to be that has none of the roles."""
    if column.kind in ("nested", "repeated"):
        return f"{KINDS[column.kind]}, which are not read"
    if column.kind == "empty":
        return "empty"
    if is_id(column):
        return "numbers or names the rows"
    if column.distinct == 1:
        return "one value all through"
    return KINDS[column.kind]


def _best(
    columns: Sequence[Column],
    score: Callable[[Column], float],
    reason: Callable[[Column], str],
) -> Guess | None:
    """The column of the highest score above 0, the first of equal ones."""
    scores = [score(each) for each in columns]
    if not scores or max(scores) <= 0:
        return None
    best = columns[scores.index(max(scores))]
    return Guess(best.name, reason(best))


def _label_of(columns: Sequence[Column]) -> Guess | None:
    return _best(columns, lambda each: _label_score(each, each is columns[-1]), _label_reason)


def _is_text(column: Column) -> bool:
    return column.kind in ("text", "words") and not is_id(column)


def _text_score(column: Column) -> float:
    if column.kind in (*_UNREAD, "boolean", "number", "whole") or is_id(column):
        return 0.0
    if named(column.name, LABEL_NAMES) and column.distinct <= min(50, column.rows / 2):
        return 0.0
    score = 12.0 * named(column.name, TEXT_NAMES) + min(column.words, 20.0)
    score += 5.0 * column.distinct / max(1, column.rows)
    return max(score, 0.1) if column.kind == "text" else max(score - 6.0, 0.01)


def _text_reason(column: Column) -> str:
    reasons = [f"{column.words:.0f} words in the mean"] if column.words >= 1.5 else []
    if column.distinct > column.rows * 0.95:
        reasons.append("nearly all different")
    if named(column.name, TEXT_NAMES):
        reasons.insert(0, "its name")
    return ", ".join(reasons) or "the only column of texts"


def _label_score(column: Column, last: bool) -> float:
    if column.kind in _UNREAD or is_id(column) or column.distinct < 1:
        return 0.0
    is_named = named(column.name, LABEL_NAMES)
    classes = column.distinct <= min(MOST_CLASSES, max(2.0, column.rows / 2))
    if column.kind == "text" and not (classes and column.words < 6):
        return 0.0
    if not classes and column.kind not in ("number", "whole"):
        return 0.0
    score = 20.0 * is_named + (8.0 if classes else 2.0) + (2.0 if last else 0.0)
    score += 6.0 / column.distinct if column.distinct > 1 else -7.0
    return max(score - 20.0 * column.missing / max(1, column.rows), 0.01)


def _label_reason(column: Column) -> str:
    if column.distinct == 1:
        number = "one value only"
    elif column.kind in ("number", "whole") and column.distinct > FEW_NUMBERS:
        number = KINDS[column.kind]
    else:
        number = f"{column.distinct:,} different values"
    return f"its name, {number}" if named(column.name, LABEL_NAMES) else number


def named(name: str, known: Sequence[str]) -> float:
    """1 where the whole name is one of these, less where a word of it is."""
    if name.strip().lower() in known:
        return 1.0
    return 0.6 if any(word in known for word in _words(name)) else 0.0


def _words(name: str) -> list[str]:
    return [part.lower() for part in _PARTS.findall(name)]


def _goes_with(first: str, second: str) -> bool:
    """Whether the names are those of the two texts of a pair, in this order."""
    one, two = _words(first), _words(second)
    if first != second and len(one) == len(two):
        differing = [(a, b) for a, b in zip(one, two, strict=True) if a != b]
        if len(differing) == 1 and differing[0] in _SIDES:
            return True
    if two == [*one, "2"] or two == [*one, "pair"]:
        return True
    return any(first.lower() == head and second.lower() in tails for head, tails in PAIRS)
