"""Shapes of a matrix product operator: factors of the two sides, bonds, parameter counts.

Nothing here looks at a weight: every shape follows from the factors and the bond cap alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import permutations

_PUBLISHED = {
    (768, 768): ((3, 4, 4, 4, 4), (4, 4, 4, 4, 3)),
    (3072, 768): ((4, 4, 8, 6, 4), (3, 4, 4, 4, 4)),
    (1024, 1024): ((4, 4, 4, 4, 4), (4, 4, 4, 4, 4)),
    (4096, 1024): ((4, 4, 8, 8, 4), (4, 4, 4, 4, 4)),
}
"""Factors of the published MPOP runs; a transposed shape takes them swapped."""

Cap = int | Sequence[int] | None
"""Cap on bond dimensions: one for all, one for each inner bond, or none (exact)."""

_LARGEST_SEARCHED = 5
"""Chains up to this long are arranged by trying every order (at most 120 x 120)."""


def central_index(n: int) -> int:
    """Index of the central tensor in a chain of `n` (the middle one where `n` is odd)."""
    return n // 2


def bond_dimensions(rows: Sequence[int], columns: Sequence[int], bond: Cap = None) -> list[int]:
    """Bond dimensions r_0 .. r_n of an (I x J) matrix, I = prod(rows), J = prod(columns).

    r_k = min(prod_{l<=k} i_l j_l, prod_{l>k} i_l j_l, bond), with r_0 = r_n = 1 (Gao et al., 2020;
    Liu et al., 2021). Without a cap the operator is exact.

    Raises:
        ValueError: if the two sides have different lengths, a factor is below 1 or a cap is, or
            there are not as many caps as inner bonds.
    """
    modes = _modes(rows, columns)
    full = [min(math.prod(modes[:k]), math.prod(modes[k:])) for k in range(len(modes) + 1)]
    if bond is None:
        return full
    caps = [bond] * (len(modes) - 1) if isinstance(bond, int) else list(bond)
    if len(caps) != len(modes) - 1:
        raise ValueError(f"{len(caps)} caps for {len(modes) - 1} inner bonds")
    if any(cap < 1 for cap in caps):
        raise ValueError(f"the bond cap must be at least 1, not {min(caps)}")
    return [min(size, cap) for size, cap in zip(full, [1, *caps, 1], strict=True)]


def parameter_counts(
    rows: Sequence[int], columns: Sequence[int], bond: Cap = None
) -> tuple[int, int]:
    """Numbers of (auxiliary, central) entries; tensor k holds r_{k-1} i_k j_k r_k.

    Raises:
        ValueError: as `bond_dimensions`.
    """
    dimensions = bond_dimensions(rows, columns, bond)
    sizes = [
        dimensions[k] * mode * dimensions[k + 1] for k, mode in enumerate(_modes(rows, columns))
    ]
    central = sizes[central_index(len(sizes))]
    return sum(sizes) - central, central


def factorise(size: int, n: int = 5) -> list[int]:
    """`size` as a product of `n` balanced factors, the larger ones in the middle.

    The prime factors go, largest first, to the smallest factor so far. A prime size ends as one
    factor in the middle and ones elsewhere. 768 gives [3, 4, 4, 4, 4], 3072 [4, 4, 8, 6, 4].

    Raises:
        ValueError: if `size` or `n` is below 1.
    """
    factors = sorted(_balanced(size, n), reverse=True)
    middle = central_index(n)
    places = sorted(range(n), key=lambda k: (abs(k - middle), -k))
    arranged = [1] * n
    for place, factor in zip(places, factors, strict=True):
        arranged[place] = factor
    return arranged


def factorise_matrix(rows: int, columns: int, n: int = 5) -> tuple[list[int], list[int]]:
    """Factors of both sides of a (rows x columns) matrix, ordered for few auxiliary parameters.

    The matrices of BERT-base and BERT-large (n = 5) get the factors of the published MPOP runs,
    e.g. 3072 x 768 as [4, 4, 8, 6, 4] x [3, 4, 4, 4, 4]. For any other shape the factors of each
    side are those of `factorise`; of all their orders, the one with the fewest auxiliary
    parameters at full bond is taken (ties: the first in lexicographic order; chains longer than
    five keep the order of `factorise`). The transposed shape gets the swapped answer.

    Raises:
        ValueError: if a side or `n` is below 1.
    """
    if rows < columns:
        swapped = _arrange(columns, rows, n)
        return list(swapped[1]), list(swapped[0])
    arranged = _arrange(rows, columns, n)
    return list(arranged[0]), list(arranged[1])


@lru_cache(maxsize=256)
def _arrange(rows: int, columns: int, n: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if n == 5 and (rows, columns) in _PUBLISHED:
        return _PUBLISHED[rows, columns]
    row_factors, column_factors = factorise(rows, n), factorise(columns, n)
    if n > _LARGEST_SEARCHED:
        return tuple(row_factors), tuple(reversed(column_factors))
    candidates = (
        (row, column) for row in _orders(row_factors) for column in _orders(column_factors)
    )
    return min(candidates, key=lambda pair: (parameter_counts(*pair)[0], *pair))


def _orders(factors: Iterable[int]) -> list[tuple[int, ...]]:
    return sorted(set(permutations(factors)))


def _balanced(size: int, n: int) -> list[int]:
    if size < 1 or n < 1:
        raise ValueError(f"cannot split {size} into {n} factors: both must be at least 1")
    factors = [1] * n
    for prime in reversed(_primes(size)):
        smallest = factors.index(min(factors))
        factors[smallest] *= prime
    return factors


def _primes(size: int) -> list[int]:
    """Prime factors in ascending order, repeated by multiplicity."""
    found, divisor = [], 2
    while divisor * divisor <= size:
        while size % divisor == 0:
            found.append(divisor)
            size //= divisor
        divisor += 1
    return [*found, size] if size > 1 else found


def _modes(rows: Sequence[int], columns: Sequence[int]) -> list[int]:
    """d_k = i_k j_k of each site."""
    if len(rows) != len(columns) or not rows:
        raise ValueError(f"rows {list(rows)} and columns {list(columns)} must be as many, and some")
    if min(*rows, *columns) < 1:
        raise ValueError(f"factors must be at least 1: {list(rows)} x {list(columns)}")
    return [i * j for i, j in zip(rows, columns, strict=True)]
