"""How well what a screen shows can be read: the contrast of its letters, as WCAG 2.1 has it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any

from rich.cells import cell_len
from rich.color import Color as RichColor
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from textual.filter import dim_color

from calisr_tui.contrast import LEAST, contrast


def of_style(style: Style, palette: TerminalTheme) -> float:
    """Its contrast; a colour that is not named is the terminal's own."""
    front, back = style.color or RichColor.default(), style.bgcolor or RichColor.default()
    front = RichColor.from_triplet(front.get_truecolor(palette, True))
    back = RichColor.from_triplet(back.get_truecolor(palette, False))
    if style.dim:
        front = dim_color(back, front)
    assert front.triplet is not None
    assert back.triplet is not None
    return contrast(front.triplet, back.triplet)


def faint(app: Any, least: float = LEAST) -> Iterator[tuple[str, float, str]]:
    """Words of the screen with less contrast than `least`: text, contrast, style and widget.

    Bars, lines and other signs are left out, as are widgets that cannot be used just now, and what
    is behind a dialog.
    """
    for y, strip in enumerate(app.screen._compositor.render_strips()):
        x = 0
        for text, style, _ in strip:
            letters = any(unicodedata.category(sign)[0] in "LN" for sign in text)
            if letters and style is not None and x < app.size.width:
                found = of_style(style, app.ansi_theme)
                widget = app.screen.get_widget_at(x, y)[0]
                behind = widget is app.screen and app.screen.is_modal
                if found < least and not widget.disabled and not behind:
                    yield text.strip(), round(found, 2), f"{style} in {widget}"
            x += cell_len(text)
