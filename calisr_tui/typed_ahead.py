"""Keys that are typed faster than screens follow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from textual import events
from textual.message_pump import MessagePump

Typed = events.Key | events.Paste

PATIENCE = 2.0
"""Seconds of pauses after which keys go on whatever is still at work. No clock counts them: where
others keep the machine busy, what a key began takes longer, and so do as many pauses."""

PAUSE = 0.002
"""Seconds between two looks."""

SHORT = 20
"""Looks in close succession, before there is a pause between them."""

ANSWER = 50
"""Looks after which those in charge are asked again: one that has ended does not answer."""


class TypedAhead:
    """Holds keys back while what the key before them began is still going on.

    Textual gives a key to what has the focus when the key arrives, though the key before it may be
    about to move the focus or to change the page: on a busy machine, over a slow line or in pasted
    text keys then go to what is about to leave, and are lost.

    Args:
        at_work: those through whose queues a key and what follows from it pass: the app, the
            screen and all that is on it.
        in_charge: those of them that may be in the middle of something with an empty queue.
        release: takes a key that was held; it goes through `holds` once more.
    """

    def __init__(
        self,
        at_work: Callable[[], Iterable[MessagePump]],
        in_charge: Callable[[], Iterable[MessagePump]],
        release: Callable[[Typed], object],
    ) -> None:
        self._at_work, self._in_charge, self._release = at_work, in_charge, release
        self._held: deque[Typed] = deque()
        self._free: list[Typed] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether every key that was typed has been worked through."""
        return self._task is None

    def holds(self, key: Typed) -> bool:
        """Whether what was just typed or pasted must wait for its turn; it comes again then."""
        if key in self._free:
            self._free.remove(key)
            return False
        if self._task is not None:
            self._held.append(key)
            return True
        self._task = asyncio.create_task(self._follow())
        return False

    async def _follow(self) -> None:
        try:
            in_turn = await self._worked_through()
            while self._held:
                for _ in range(1 if in_turn else len(self._held)):
                    self._free.append(self._held.popleft())
                    self._release(self._free[-1])
                in_turn = await self._worked_through()
        finally:
            self._task = None

    async def _worked_through(self) -> bool:
        """Wait until nothing is queued and nobody in charge is in the middle of something; whether
        that came to be."""
        answers: list[asyncio.Future[None]] = []
        asked = 0
        for look in range(SHORT + round(PATIENCE / PAUSE)):
            await asyncio.sleep(0 if look < SHORT else PAUSE)
            answered = all(each.done() for each in answers)
            if self._free or self._queued():
                if answered:
                    answers = []  # something came after they answered
            elif answers and answered:
                return True
            elif not answers or look - asked > ANSWER:
                answers, asked = [_answer(each) for each in self._in_charge()], look
        return False

    def _queued(self) -> bool:
        return any(each.message_queue_size for each in self._at_work())


def _answer(pump: MessagePump) -> asyncio.Future[None]:
    """Done once the pump has worked through all that it has now."""
    answer = asyncio.get_running_loop().create_future()

    def done() -> None:
        if not answer.done():
            answer.set_result(None)

    pump.call_later(done)
    return answer
