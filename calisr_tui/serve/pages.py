"""What the server sends beside the websocket: the page, its parts, and headers of all answers."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass
from html import escape
from importlib.resources.abc import Traversable

POLICY = (
    "default-src 'none'; script-src 'self'; font-src 'self'; img-src data:; "
    "style-src 'self' 'unsafe-inline'; "  # xterm.js makes style elements for its colours
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "calisr",
}

CLOSED = """\
This is calisr serve. Open the link that it printed when it started: it ends in ?token=...
"""


@dataclass(frozen=True)
class Part:
    """A file of the page, as it is sent."""

    kind: str
    body: bytes


def parts() -> dict[str, Part]:
    """Name in the page's folder -> file. The page itself has the name "".

    Raises:
        ImportError: textual-serve is not installed.
        OSError: a file is not where this version of textual-serve has it.
    """
    own = importlib.resources.files("calisr_tui.serve")
    terminal = importlib.resources.files("textual_serve") / "static"
    fonts = terminal / "fonts"
    found: dict[str, tuple[str, Traversable]] = {
        "": ("text/html", own / "page.html"),
        "page.css": ("text/css", own / "page.css"),
        "page.js": ("text/javascript", own / "page.js"),
        "xterm.css": ("text/css", terminal / "css" / "xterm.css"),
        "textual.js": ("text/javascript", terminal / "js" / "textual.js"),
        "mono.ttf": ("font/ttf", fonts / "RobotoMono-VariableFont_wght.ttf"),
        "mono-italic.ttf": ("font/ttf", fonts / "RobotoMono-Italic-VariableFont_wght.ttf"),
    }
    return {name: Part(kind, file.read_bytes()) for name, (kind, file) in found.items()}


def policy(host: str) -> str:
    """What the page itself may do: also open its websocket, which not all browsers take for 'self'.

    Args:
        host: the Host header of the request, once it was found to name this server.
    """
    return f"{POLICY}; connect-src 'self' ws://{host}"


def forward(path: str) -> str:
    """A page that leads on to `path`.

    An answer of status 303 would not do: where the link was clicked on a page elsewhere, the
    browser holds a strict cookie back all along the redirection.
    """
    return (
        '<!DOCTYPE html><meta charset="utf-8"><title>calisr</title>'
        f'<meta http-equiv="refresh" content="0;url={escape(path)}">'
    )
