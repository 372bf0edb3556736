"""A model's answer as text: its classes as bars, or the value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from calisr_engine.plain_words import one_line
from calisr_engine.task_kinds import OUTSIDE
from calisr_tui.verbatim import Text

if TYPE_CHECKING:
    from calisr_engine.results.predictor import Prediction

MOST = 12
BAR, REST = "▆", "·"


NO_LABEL = "no label"
TYPES = 8
"""Types of entities with a colour of their own; brackets and the type's name say the same."""


def answer(found: Prediction, width: int, styles: Mapping[str, str]) -> Text:
    """What a model says of a text: bars, a value, or the text with its entities in brackets."""
    if found.words is not None:
        return tagged_text(found, styles)
    return answer_bars(found.prediction, found.probabilities, width)


def name_of(found: Prediction) -> str:
    """The prediction on one line: a class, a value, the labels, or the text in brackets."""
    if found.words is not None:
        return one_line(tagged_text(found, {}, shares=False).plain)
    value = found.prediction
    if isinstance(value, tuple):
        return ", ".join(map(one_line, value)) or NO_LABEL
    return one_line(value) if isinstance(value, str) else f"{value:.6g}"


def tagged_text(found: Prediction, styles: Mapping[str, str], shares: bool = True) -> Text:
    """The words with a bracket around each entity and its type behind; word/TAG for other tags.

    Args:
        styles: role -> rich style; a type of entity has that of a run.
        shares: the probabilities of the entities below.
    """
    words, entities = found.words or (), found.entities
    types = list(dict.fromkeys(entity.type for entity, _, _ in entities))
    styles = {
        name: f"bold {styles.get(f'run{at % TYPES + 1}', '')}" for at, name in enumerate(types)
    }
    starts = {entity.start: entity for entity, _, _ in entities}
    text, at = Text(), 0
    while at < len(words):
        if at:
            text.append(" ")
        entity = starts.get(at)
        if entity is None:
            word = words[at]
            text.append(one_line(word.word))
            if not entities and word.tag != OUTSIDE:
                text.append(f"/{one_line(word.tag)}", "dim")
            at += 1
            continue
        inside = " ".join(one_line(each.word) for each in words[at : entity.end])
        style = styles[entity.type]
        text.append(f"[{inside}]", style).append(one_line(entity.type), "dim")
        at = entity.end
    if not shares:
        return text
    for entity, said, share in entities:
        text.append(f"\n{share:.4f}  {one_line(entity.type)}  ", "dim")
        text.append(one_line(said), styles[entity.type])
    return text


def answer_bars(
    prediction: str | float | tuple[str, ...], shares: Mapping[str, float] | None, width: int
) -> Text:
    """A line a class in their order; of more than `MOST` the likeliest. A value alone else.

    Those that are given are marked: one class, or any number of labels.
    """
    if shares is None:
        return Text(f"{prediction:.6g}", "bold")
    given = prediction if isinstance(prediction, tuple) else (prediction,)
    text = Text(no_wrap=True, overflow="ellipsis")
    likeliest = sorted(shares, key=lambda name: -shares[name])
    names = list(shares) if len(shares) <= MOST else likeliest[:MOST]
    column = max(4, min(24, max(cell_len(one_line(name)) for name in names)))
    room = max(8, width - column - 14)
    for name in names:
        chosen = name in given
        style = "bold" if chosen else ""
        text.append("▶ " if chosen else "  ", style)
        text.append(set_cell_size(one_line(name), column), style)
        text.append(f"  {shares[name]:.4f}  ", style)
        full = round(room * shares[name])
        text.append(BAR * full, style)
        text.append(REST * (room - full) + "\n", "dim")
    if len(shares) > MOST:
        text.append(f"and {len(shares) - MOST} less likely classes\n", "dim")
    return text
