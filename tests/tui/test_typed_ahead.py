"""Keys wait for their turn, and go on where the screen is stuck."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import pytest
from textual import events

from calisr_tui import typed_ahead
from calisr_tui.typed_ahead import TypedAhead


@dataclass
class Busy:
    """Stands for a widget: what is in its queue, and whether it ever comes to it."""

    message_queue_size: int = 0
    answers: bool = True

    def call_later(self, callback: Any) -> bool:
        if self.answers:
            asyncio.get_running_loop().call_soon(callback)
        return True


def keys(*names: str) -> list[events.Key]:
    return [events.Key(name, name) for name in names]


async def typed(widget: Busy) -> tuple[TypedAhead, list[str]]:
    """What is given on of a, b and c that are typed at once; the given come back at once."""
    given: list[str] = []

    def release(key: Any) -> None:
        if not found.holds(key):
            given.append(key.key)

    found = TypedAhead(lambda: [widget], lambda: [widget], release)  # type: ignore[arg-type, list-item, return-value]
    sent = keys("a", "b", "c")
    assert [found.holds(key) for key in sent] == [False, True, True]
    return found, given


async def test_a_key_waits_until_the_one_before_it_is_worked_through() -> None:
    widget = Busy(message_queue_size=1)
    found, given = await typed(widget)
    await asyncio.sleep(0.05)
    assert given == []
    widget.message_queue_size = 0
    for _ in range(500):
        await asyncio.sleep(0.002)
        if found.idle:
            break
    assert given == ["b", "c"]


@pytest.mark.parametrize("widget", [Busy(message_queue_size=1), Busy(answers=False)])
async def test_nothing_is_lost_where_a_screen_is_stuck(
    widget: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typed_ahead, "PATIENCE", 0.05)
    found, given = await typed(widget)
    for _ in range(500):
        await asyncio.sleep(0.002)
        if found.idle:
            break
    assert given == ["b", "c"]


async def test_a_busy_machine_does_not_use_the_patience_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long because it works, or because others do, is waited for."""
    monkeypatch.setattr(typed_ahead, "PATIENCE", 0.05)
    widget = Busy(message_queue_size=1)
    found, given = await typed(widget)
    for _ in range(10):
        time.sleep(0.02)
        await asyncio.sleep(0)
    assert given == []
    widget.message_queue_size = 0
    while not found.idle:
        await asyncio.sleep(0.002)
    assert given == ["b", "c"]
