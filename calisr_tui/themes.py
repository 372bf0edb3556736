"""Themes, and the colour of each role in a picture of a run.

Colour is never the only sign: every role also has its own glyph or word.
"""

from __future__ import annotations

from textual.theme import Theme

_DARK = {
    "row": "on #26334d",
    "fft": "#f2ac5a",
    "lft": "#45d0b5",
    "loss": "#82b1ff",
    "raw": "#52648f",
    "valid": "#e78ac3",
    "metric": "#ffd866",
    "rate": "#b39ddb",
    "norm": "#a5c261",
    "share": "#45d0b5",
    "load": "#b39ddb",
    "axis": "#7d8aa3",
    "mark": "#c5cede",
    "cursor": "#ffffff",
    "good": "#7ee787",
    "bad": "#ff7b72",
    "warn": "#ffd866",
    "dim": "#7d8aa3",
    "strong": "#f0f4fc",
    "run1": "#82b1ff",
    "run2": "#f2ac5a",
    "run3": "#45d0b5",
    "run4": "#e78ac3",
    "run5": "#ffd866",
    "run6": "#b39ddb",
    "run7": "#ff7b72",
    "run8": "#a5c261",
}
_LIGHT = {
    "row": "on #dbe4f7",
    "fft": "#b45309",
    "lft": "#097674",
    "loss": "#1d4ed8",
    "raw": "#9db2dc",
    "valid": "#be185d",
    "metric": "#a16207",
    "rate": "#6d28d9",
    "norm": "#4d7c0f",
    "share": "#097674",
    "load": "#6d28d9",
    "axis": "#6b7280",
    "mark": "#4b5563",
    "cursor": "#000000",
    "good": "#0f803d",
    "bad": "#b91c1c",
    "warn": "#a16207",
    "dim": "#6b7280",
    "strong": "#111827",
    "run1": "#1d4ed8",
    "run2": "#b45309",
    "run3": "#0f766e",
    "run4": "#be185d",
    "run5": "#a16207",
    "run6": "#6d28d9",
    "run7": "#b91c1c",
    "run8": "#4d7c0f",
}
_ANSI = {
    "row": "reverse",
    "fft": "yellow",
    "lft": "cyan",
    "loss": "blue",
    "raw": "bright_black",
    "valid": "bright_cyan",
    "metric": "magenta",
    "rate": "blue",
    "norm": "green",
    "share": "cyan",
    "load": "magenta",
    "axis": "bright_black",
    "mark": "default",
    "cursor": "bold",
    "good": "green",
    "bad": "red",
    "warn": "yellow",
    "dim": "bright_black",
    "strong": "bold",
    "run1": "blue",
    "run2": "yellow",
    "run3": "cyan",
    "run4": "magenta",
    "run5": "green",
    "run6": "red",
    "run7": "bright_blue",
    "run8": "bright_magenta",
}
# Okabe and Ito, 2008: eight colours that people with any colour vision tell apart.
_SAFE = _DARK | {
    "fft": "#e69f00",
    "lft": "#56b4e9",
    "loss": "#cc79a7",
    "raw": "#7a5068",
    "valid": "#56b4e9",
    "metric": "#f0e442",
    "rate": "#009e73",
    "norm": "#e69f00",
    "share": "#56b4e9",
    "load": "#009e73",
    "good": "#56b4e9",
    "bad": "#e75e12",
    "warn": "#f0e442",
    "run1": "#56b4e9",
    "run2": "#e69f00",
    "run3": "#009e73",
    "run4": "#cc79a7",
    "run5": "#f0e442",
    "run6": "#0072b2",
    "run7": "#d55e00",
    "run8": "#bbbbbb",
}

COLOURS: dict[str, dict[str, str]] = {
    "calisr-dark": _DARK,
    "calisr-light": _LIGHT,
    "ansi-dark": _ANSI,
    "ansi-light": _ANSI,
    "calisr-colour-blind": _SAFE,
}
"""Theme -> role -> rich style; `row` marks the chosen row."""

NAMES = ("calisr-dark", "calisr-light", "calisr-colour-blind", "ansi-dark", "ansi-light")
"""The themes in the order in which the theme key goes through them."""

THEMES = (
    Theme(
        name="calisr-dark",
        primary="#5b8def",
        secondary="#45d0b5",
        accent="#f2ac5a",
        warning="#ffd866",
        error="#ff7b72",
        success="#7ee787",
        foreground="#d7deeb",
        background="#0f141c",
        surface="#151b26",
        panel="#1d2533",
        dark=True,
        variables={
            "border": "#33415c",
            "border-blurred": "#2a3549",
            "footer-key-foreground": "#f2ac5a",
        },
    ),
    Theme(
        name="calisr-light",
        primary="#1d4ed8",
        secondary="#0f766e",
        accent="#b45309",
        warning="#a16207",
        error="#b91c1c",
        success="#15803d",
        foreground="#1f2937",
        background="#fbfbf9",
        surface="#f3f3ef",
        panel="#e7e8e3",
        dark=False,
        variables={
            "border": "#b9bdb5",
            "border-blurred": "#cfd2cb",
            "footer-key-foreground": "#b45309",
        },
    ),
    Theme(
        name="calisr-colour-blind",
        primary="#56b4e9",
        secondary="#009e73",
        accent="#e69f00",
        warning="#f0e442",
        error="#e75e12",
        success="#56b4e9",
        foreground="#dfe3ea",
        background="#101216",
        surface="#171a20",
        panel="#20242c",
        dark=True,
        variables={
            "border": "#3a4150",
            "border-blurred": "#2d333f",
            "footer-key-foreground": "#e69f00",
        },
    ),
)


def colours(theme: str) -> dict[str, str]:
    """Role -> rich style for a theme; other themes take the dark colours."""
    return COLOURS.get(theme, _LIGHT if "light" in theme else _DARK)
