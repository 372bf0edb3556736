"""How the work of a grid or a study ends."""

from __future__ import annotations

import os
import signal

import pytest

from calisr_tui.cli.grid_places import at_work


class Executor:
    """Keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def stop(self) -> None:
        self.asked.append("stop")

    def close(self) -> None:
        self.asked.append("close")


def test_at_the_end_it_is_let_go() -> None:
    executor = Executor()
    with at_work(executor):  # type: ignore[arg-type]
        pass
    assert executor.asked == ["close"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_at_an_early_end_its_runs_stop_and_save(
    error: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    executor = Executor()
    with pytest.raises(error), at_work(executor):  # type: ignore[arg-type]
        raise error
    assert executor.asked == ["stop", "close"]
    said = "go on with the same command" in capsys.readouterr().err
    assert said == (error is KeyboardInterrupt)


def test_a_signal_asks_for_the_end_and_afterwards_ends_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with at_work(Executor()) as stop:  # type: ignore[arg-type]
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(5)
    assert signal.getsignal(signal.SIGTERM) == before
