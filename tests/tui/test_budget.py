"""Drawing stays within its share of the time."""

from calisr_tui.budget import Budget


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_costly_drawing_is_paid_for_before_the_next() -> None:
    cpu, clock = Clock(), Clock()
    budget = Budget(0.02, 5.0, cpu, clock)
    clock.now = 1.0
    budget.tick()
    assert budget.allows()
    budget.drew()
    cpu.now = 0.06  # 0.06 s of drawing is 3 s of a share of 2 %
    clock.now = 2.0
    budget.tick()
    assert not budget.allows()
    clock.now = 4.5
    budget.tick()
    assert budget.allows()


def test_no_drawing_waits_longer_than_the_limit() -> None:
    cpu, clock = Clock(), Clock()
    budget = Budget(0.02, 5.0, cpu, clock)
    budget.drew()
    for second in range(1, 6):
        assert not budget.allows()
        clock.now = float(second)
        cpu.now = second / 2  # other work of the thread alone is above the share
        budget.tick()
    assert budget.allows()


def test_long_idleness_saves_up_no_more_than_one_wait() -> None:
    cpu, clock = Clock(), Clock()
    budget = Budget(0.02, 5.0, cpu, clock)
    clock.now = 3600.0
    budget.tick()
    budget.drew()
    cpu.now = 0.11
    budget.tick()
    assert not budget.allows()
