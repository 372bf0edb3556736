"""Small own files of the kinds of task that are no plain classification of a text."""

from __future__ import annotations

import json
import random
from pathlib import Path

TOPICS = {
    "food": ("the soup was cold", "lovely fresh bread", "a burnt steak"),
    "service": ("the waiter was rude", "nobody took our order", "helpful staff"),
    "price": ("far too expensive", "a real bargain", "the bill was a shock"),
}
NAMES = {
    "PER": ("Ada Lovelace", "Karl Marx", "Rosa"),
    "LOC": ("Rome", "New York", "Lake Como"),
}
FORMS = ("PER went to LOC .", "in LOC it rains .", "PER met PER .", "nothing new here .")


def label_rows(count: int = 60) -> list[tuple[str, list[str]]]:
    """(text, its labels); some rows have none."""
    draw = random.Random(0)
    rows = []
    for number in range(count):
        chosen = sorted(draw.sample(sorted(TOPICS), draw.choice((0, 1, 1, 2, 3))))
        said = [draw.choice(TOPICS[each]) for each in chosen] or ["we came by train"]
        rows.append((f"{' and '.join(said)} {number}", chosen))
    return rows


def write_labels(path: Path, separator: str = "|") -> Path:
    """A CSV file with the labels of a row in one column."""
    lines = [f"{text},{separator.join(labels)}" for text, labels in label_rows()]
    path.write_text("\n".join(["review,topics", *lines]) + "\n", encoding="utf-8")
    return path


def sentences(scheme: str = "IOB2", count: int = 50) -> list[list[tuple[str, str]]]:
    """Words with their tags."""
    draw = random.Random(1)
    found = []
    for _ in range(count):
        words: list[tuple[str, str]] = []
        for part in draw.choice(FORMS).split():
            if part not in NAMES:
                words.append((part, "O"))
                continue
            name = draw.choice(NAMES[part]).split()
            words += [(w, f"{prefix(scheme, at, len(name))}-{part}") for at, w in enumerate(name)]
        found.append(words)
    return found


def prefix(scheme: str, at: int, length: int) -> str:
    if scheme == "IOB1":
        return "I"
    if scheme == "IOB2":
        return "B" if at == 0 else "I"
    if length == 1:
        return "S"
    return "B" if at == 0 else "E" if at == length - 1 else "I"


def write_words(path: Path, scheme: str = "IOB2") -> Path:
    """A file in the format of CoNLL, or of JSON lines with lists."""
    rows = sentences(scheme)
    if path.suffix == ".jsonl":
        lines = [
            json.dumps({"tokens": [w for w, _ in row], "ner_tags": [t for _, t in row]})
            for row in rows
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path
    blocks = ["\n".join(f"{word} {tag}" for word, tag in row) for row in rows]
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return path


def choice_rows(count: int = 60) -> list[dict[str, str | int]]:
    """Rows as COPA has them: the right alternative speaks of the same as the premise."""
    draw = random.Random(2)
    rows: list[dict[str, str | int]] = []
    for number in range(count):
        topic, other = draw.sample(sorted(TOPICS), 2)
        premise, right = draw.sample(TOPICS[topic], 2)
        pair = [right, draw.choice(TOPICS[other])]
        label = draw.randrange(2)
        rows.append(
            {
                "premise": f"{premise} {number}",
                "choice1": pair[label],
                "choice2": pair[1 - label],
                "question": draw.choice(("cause", "effect")),
                "idx": number,
                "label": label,
            }
        )
    return rows


def write_choices(path: Path) -> Path:
    """A JSONL file as COPA's."""
    lines = [json.dumps(row) for row in choice_rows()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
