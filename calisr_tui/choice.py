"""What can be picked from a list."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """One line of a list: what it stands for, its title and a dim second line."""

    name: str
    title: str
    note: str = ""
