"""Widgets whose height is that of what they show."""

from __future__ import annotations

from textual.widget import Widget


def lay_out_anew(widget: Widget) -> None:
    """What a widget shows has another height now."""
    forget_height(widget)
    widget.refresh(layout=True)


def forget_height(widget: Widget) -> None:
    """Before a layout is asked for, since what the widget shows has another height.

    Textual (8.2) keeps a height that it computes between two such requests, as when the terminal
    changes its size under a dialog: the second request would get the first one's height.
    """
    widget._box_model_cache.clear()
