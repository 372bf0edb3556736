"""Answers of models as text: bars, several labels, entities in brackets."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from calisr_tui.charts.answer import NO_LABEL, answer, name_of


class Entity(NamedTuple):
    type: str
    start: int
    end: int


class Word(NamedTuple):
    word: str
    tag: str
    probability: float


class Said(NamedTuple):
    """What charts ask of a prediction."""

    prediction: str | float | tuple[str, ...]
    probabilities: dict[str, float] | None = None
    words: tuple[Word, ...] | None = None
    entities: tuple[tuple[Entity, str, float], ...] = ()


LABELS = {"food": 0.9, "price": 0.7, "service": 0.2}
WORDS = (Word("Ada", "B-PER", 0.9), Word("Lovelace", "I-PER", 0.7), Word("in", "O", 1.0))
TAGGED = Said((), None, WORDS, ((Entity("PER", 0, 2), "Ada Lovelace", 0.8),))
PARTS = Said((), None, (Word("a", "DET", 0.9), Word("cat", "NOUN", 0.9)))


@pytest.mark.parametrize(
    ("said", "name", "shown"),
    [
        (Said("food", LABELS), "food", ("▶ food ", "  price")),
        (Said(("food", "price"), LABELS), "food, price", ("▶ food", "▶ price", "  service")),
        (Said((), LABELS), NO_LABEL, ("  food", "  price", "  service")),
        (Said(0.25), "0.25", ("0.25",)),
        (TAGGED, "[Ada Lovelace]PER in", ("[Ada Lovelace]PER in", "0.8000  PER  Ada Lovelace")),
        (PARTS, "a/DET cat/NOUN", ("a/DET cat/NOUN",)),
    ],
)
def test_answers_in_words(said: Said, name: str, shown: tuple[str, ...]) -> None:
    assert name_of(said) == name  # type: ignore[arg-type]
    text = answer(said, 60, {}).plain  # type: ignore[arg-type]
    assert all(part in text for part in shown)


def test_a_text_from_outside_commands_nothing() -> None:
    evil = Said((), None, (Word("\x1b[31mred", "B-\x1b", 0.5),), ())
    assert "\x1b" not in answer(evil, 60, {}).plain  # type: ignore[arg-type]
