"""A cell of the table beside that of the row it is compared with: all numbers, and in words."""

from __future__ import annotations

from dataclasses import dataclass

from calisr_engine.analysis import paired
from calisr_engine.analysis.paired import Interval, PairedTest
from calisr_engine.grid.cells import TableCell
from calisr_engine.grid.spread import paired as differences_of
from calisr_engine.plain_words import counted

NARROW = 20
"""Below so many seeds it is said that a bootstrap interval is too narrow."""


@dataclass(frozen=True)
class Comparison:
    """What the seeds that two rows share say about the difference of their means.

    Attributes:
        row, column, against: which cell, and the row it is compared with.
        test: the paired t-test; None where no seed is shared.
        p_holm, family: its p-value after Holm's correction, over so many tests of the column.
        sign_flip: p-value of the exact sign-flip test.
        bootstrap: BCa interval, 95 %.
        effect: Hedges' g of the paired differences.
        needed: seeds for 80 % power at that effect, at the level of Holm's first step; None where
            there is no effect size, or more than `paired.MOST_SEEDS` are needed.
        same: whether all differences are equal, so that nothing can be tested.
        unpaired: seeds that only one of the two has.
    """

    row: str
    column: str
    against: str
    test: PairedTest | None
    p_holm: float | None
    family: int
    sign_flip: float | None = None
    bootstrap: Interval | None = None
    effect: float | None = None
    needed: int | None = None
    same: bool = False
    unpaired: tuple[int, ...] = ()

    @property
    def sentence(self) -> str:
        """What follows from it, and no more; without row and column."""
        if self.test is None:
            return f"No seed is shared with {self.against}, so nothing can be said."
        count = self.test.pairs
        size = f"{_points(self.test.difference)} points"
        seeds = f"With {counted(count, 'seed')}"
        if count < paired.FEWEST:
            return (
                f"{seeds} nothing can be said about the difference of {size}; "
                f"at least {paired.FEWEST} are needed."
            )
        if self.same:
            if abs(self.test.difference) < paired.SAME:
                return f"{seeds} the result is that of {self.against} in each."
            return f"{seeds} the difference is {size} in each; without spread no test is possible."
        found = f"{seeds} the difference of {size} (95 % interval {_interval(self.test.interval)})"
        rows = f" after Holm over {self.family} rows" if self.family > 1 else ""
        chance = f"(p {_p(self.p_holm)}{rows})"
        if self.p_holm is not None and self.p_holm < paired.LEVEL:
            return f"{found} is unlikely to be chance {chance}{self._caution}."
        more = f"more than {paired.MOST_SEEDS:,}" if self.needed is None else f"about {self.needed}"
        return f"{found} could be chance {chance}; {more} seeds would be needed."

    @property
    def further(self) -> str:
        """Effect size, sign-flip test and bootstrap interval in words; "" where nothing is tested.

        What is said of the sign-flip test is before correction.
        """
        if self.effect is None or self.sign_flip is None or self.test is None:
            return ""
        said = f"Effect size g {self.effect:+.2f}; sign-flip test p {_p(self.sign_flip)}"
        said += (
            f" (never below {_p(2.0 ** (1 - self.test.pairs), '')} with {self.test.pairs} seeds)"
        )
        if self.bootstrap is not None:
            said += f"; bootstrap interval {_interval(self.bootstrap)}"
            said += ", too narrow with so few" if self.test.pairs < NARROW else ""
        return said + "."

    @property
    def _caution(self) -> str:
        if self.sign_flip is None or self.sign_flip < paired.LEVEL or self.test is None:
            return ""
        least = 2.0 ** (1 - self.test.pairs)
        if least >= paired.LEVEL:
            return " if differences are normally distributed, which so few seeds cannot show"
        return f", but the sign-flip test does not agree (p {_p(self.sign_flip)})"


def comparison(cell: TableCell, reference: TableCell | None, against: str) -> Comparison:
    """The comparison of a cell, which has its tests already, with one of the row `against`."""
    own, other = results(cell), results(reference)
    differences = differences_of(own, other)
    test = paired.t_test(differences)
    enough = len(differences) >= paired.FEWEST
    effect = paired.hedges_g(differences)
    return Comparison(
        row=cell.row,
        column=cell.column,
        against=against,
        test=test,
        p_holm=cell.p_holm,
        family=cell.family,
        sign_flip=paired.sign_flip(differences) if enough else None,
        bootstrap=paired.bootstrap(differences),
        effect=effect,
        needed=None
        if effect is None
        else paired.seeds_needed(effect, paired.LEVEL / max(1, cell.family)),
        same=bool(differences) and paired.same(differences),
        unpaired=tuple(sorted(own.keys() ^ other.keys())),
    )


def results(cell: TableCell | None) -> dict[int, float]:
    """Seed -> value of the runs of a cell that count."""
    return {} if cell is None else dict(zip(cell.seeds, cell.values, strict=True))


def _points(value: float) -> str:
    return f"{value:+.1f}" if round(value, 1) else "+0.0"


def _interval(interval: Interval | None) -> str:
    low, high = interval or (0.0, 0.0)
    return f"{_plain(low)} to {_plain(high)}"


def _plain(value: float) -> str:
    return f"{value:.1f}" if round(value, 1) else "0.0"


def _p(value: float | None, equals: str = "= ") -> str:
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{equals}{value:.2g}"
