"""What comes late: of a thread, a timer or a refresh, when its widget may have gone.

Between asking for something and its coming, a page may have changed or a screen been left. A widget
that goes loses its parts before it stops listening, so that a late call finds none of them
(`NoMatches`) and would end the app. All late calls go through here, and are dropped then.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

from textual.app import App
from textual.dom import DOMNode


def is_here(node: DOMNode) -> bool:
    """Whether a widget, a screen or the app is there, with its parts, and stays for now."""
    at_home = isinstance(node, App) or node.is_attached
    return at_home and node.is_running and not node._pruning


def if_here(node: DOMNode, act: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    """A call that does nothing once the node has gone; of a coroutine function, its coroutine."""
    return lambda: act(*args) if is_here(node) else None


def after_refresh(node: DOMNode, act: Callable[[], Any]) -> None:
    """Act once what is changed now has been laid out."""
    node.call_after_refresh(if_here(node, act))


def soon(node: DOMNode, act: Callable[..., Any], *args: Any) -> None:
    """Act when the node has worked through what waits for it."""
    node.call_later(if_here(node, act, *args))


def from_thread(node: DOMNode, act: Callable[..., Any], *args: Any) -> None:
    """Called in another thread: act in that of the app, and wait until it is done.

    Nothing is done, and nothing raised, where the app has ended or is ending.
    """
    began = False

    def run() -> Any:
        nonlocal began
        began = True
        return if_here(node, act, *args)()

    try:
        node.app.call_from_thread(run)
    except (RuntimeError, CancelledError):  # there is no app, or no loop, any more
        if began:
            raise
