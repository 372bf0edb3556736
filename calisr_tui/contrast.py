"""How well letters stand out from what is behind them, as WCAG 2.1 measures it."""

from __future__ import annotations

from functools import lru_cache

from rich.color import Color as RichColor
from rich.color_triplet import ColorTriplet
from rich.style import Style
from textual.filter import dim_color

LEAST = 4.5
"""Contrast from which on letters of any size are called readable (1.4.3)."""

ROOM = 0.4
"""Contrast that is lost at most where colours become greys (NO_COLOR)."""
DIM = (0.66, 0.75, 0.85, 1.0)
"""How much of its colour dim text keeps: the first with which it is readable."""


def luminance(colour: ColorTriplet) -> float:
    """Relative luminance, between 0 (black) and 1 (white)."""
    parts = [part / 255 for part in colour]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: ColorTriplet, other: ColorTriplet) -> float:
    """Between 1 (the same) and 21 (black and white)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@lru_cache(1024)
def readably_dim(style: Style, background: RichColor) -> Style:
    """A dim style as a colour between its own and the background, no fainter than can be read.

    What the terminal's own colours come to is not known: dim is left to it, except on a line that
    has a background of its own.
    """
    front, back = style.color, style.bgcolor or background
    if front is None or front.triplet is None or back.triplet is None:
        return style if back.is_default else style + Style(dim=False)
    shades = (dim_color(back, front, part).triplet or front.triplet for part in DIM)
    readable = next((each for each in shades if contrast(each, back.triplet) >= LEAST + ROOM), None)
    return style + Style(color=RichColor.from_triplet(readable or front.triplet), dim=False)
