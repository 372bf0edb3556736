"""How long the inputs are, in tokens where the model's tokenizer is at hand, else in words."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calisr_engine.models import catalog
from calisr_engine.tasks.examples import Examples

MOST_ROWS = 4000
"""Rows that are tokenised, spread evenly: a look must not keep one waiting."""

BINS = 12

Counter = Callable[[Sequence[str], Sequence[str] | None], list[int]]
"""Tokens of each input, special tokens among them, before anything is cut."""


@dataclass(frozen=True)
class Lengths:
    """A histogram of input lengths.

    Attributes:
        unit: "tokens" or "words".
        edges: of the bins, one more than `counts`; the last bin also has what is longer.
        rows: inputs that were measured.
        cut: share of them that is longer than `max_length` tokens; None where words were counted.
    """

    unit: str
    edges: tuple[int, ...]
    counts: tuple[int, ...]
    rows: int
    mean: float
    longest: int
    max_length: int
    cut: float | None


def lengths(examples: Examples, max_length: int, tokens: Counter | None = None) -> Lengths:
    """The lengths of at most `MOST_ROWS` inputs.

    Args:
        tokens: counts tokens; None counts words.
    """
    examples = examples.inputs()
    step = max(1, -(-len(examples) // MOST_ROWS))
    text = examples.text[::step]
    pair = examples.text_pair[::step] if examples.text_pair is not None else None
    if tokens is not None:
        found = tokens(text, pair)
    else:
        both = [text] if pair is None else [text, pair]
        found = [sum(len(each.split()) for each in row) for row in zip(*both, strict=True)]
    edges = _edges(found)
    counts = [0] * (len(edges) - 1)
    width = edges[1] - edges[0]
    for value in found:
        counts[min((value - edges[0]) // width, len(counts) - 1)] += 1
    return Lengths(
        unit="words" if tokens is None else "tokens",
        edges=tuple(edges),
        counts=tuple(counts),
        rows=len(found),
        mean=sum(found) / len(found),
        longest=max(found),
        max_length=max_length,
        cut=None if tokens is None else sum(n > max_length for n in found) / len(found),
    )


def _edges(found: Sequence[int]) -> list[int]:
    """Bins of one round width, from the shortest input to where nearly all inputs end."""
    ordered = sorted(found)
    most = ordered[min(len(ordered) - 1, math.ceil(0.995 * len(ordered)))]
    exact = max(1, most + 1 - ordered[0]) / BINS
    power = 10 ** max(0, math.floor(math.log10(max(exact, 1))))
    width = next(power * each for each in (1, 2, 5, 10) if power * each >= exact)
    low = ordered[0] // width * width
    return [low + width * at for at in range(math.ceil((most + 1 - low) / width) + 1)]


def token_counter(model: str) -> Counter | None:
    """Counts tokens as that model's tokenizer.json does; None where it is not on this machine.

    Nothing is downloaded and no torch is loaded.
    """
    file = _tokenizer_file(model)
    if file is None:
        return None
    from tokenizers import Tokenizer

    try:
        tokenizer: Any = Tokenizer.from_file(str(file))
    except Exception:  # the library raises plain Exception for a file that it cannot use
        return None
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(text: Sequence[str], pair: Sequence[str] | None) -> list[int]:
        inputs: Any = text if pair is None else list(zip(text, pair, strict=True))
        return [len(each.ids) for each in tokenizer.encode_batch(list(inputs))]

    return count


def _tokenizer_file(model: str) -> Path | None:
    from calisr_engine.errors import CalisrError

    try:
        source = catalog.resolve(model)
    except CalisrError:
        return None
    folder = Path(source).expanduser()
    if os.path.isdir(folder):
        file = folder / "tokenizer.json"
        return file if file.is_file() else None
    if source.startswith((".", "/", "~")):
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(source, "tokenizer.json")
    except HFValidationError:  # no name of a hub model
        return None
    return Path(found) if isinstance(found, str) else None
