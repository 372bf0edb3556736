"""Factors, bonds and closed parameter counts of matrix product operators."""

from __future__ import annotations

import math

import pytest
import torch

from calisr_engine.methods.mpop.shapes import (
    bond_dimensions,
    factorise,
    factorise_matrix,
    parameter_counts,
)
from calisr_engine.methods.mpop.tensors import decompose

PUBLISHED = {
    (768, 768): ([3, 4, 4, 4, 4], [4, 4, 4, 4, 3]),
    (3072, 768): ([4, 4, 8, 6, 4], [3, 4, 4, 4, 4]),
    (768, 3072): ([3, 4, 4, 4, 4], [4, 4, 8, 6, 4]),
    (1024, 1024): ([4, 4, 4, 4, 4], [4, 4, 4, 4, 4]),
    (4096, 1024): ([4, 4, 8, 8, 4], [4, 4, 4, 4, 4]),
    (1024, 4096): ([4, 4, 4, 4, 4], [4, 4, 8, 8, 4]),
}


@pytest.mark.parametrize("shape", PUBLISHED)
def test_published_shapes(shape: tuple[int, int]) -> None:
    assert factorise_matrix(*shape) == PUBLISHED[shape]


@pytest.mark.parametrize(
    ("size", "factors"),
    [
        (768, [3, 4, 4, 4, 4]),
        (1024, [4, 4, 4, 4, 4]),
        (3072, [4, 4, 8, 6, 4]),
        (4096, [4, 4, 8, 8, 4]),
        (1, [1, 1, 1, 1, 1]),
        (7919, [1, 1, 7919, 1, 1]),
    ],
)
def test_single_sizes(size: int, factors: list[int]) -> None:
    assert factorise(size) == factors


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7])
def test_factors_multiply_back(n: int) -> None:
    for size in [*range(1, 130), 312, 384, 1152, 30522]:
        factors = factorise(size, n)
        assert len(factors) == n
        assert math.prod(factors) == size


@pytest.mark.parametrize("shape", [(384, 1536), (312, 1200), (2, 768), (13, 7), (1152, 384)])
def test_automatic_matrices(shape: tuple[int, int]) -> None:
    rows, columns = factorise_matrix(*shape)
    assert (math.prod(rows), math.prod(columns)) == shape
    assert factorise_matrix(*shape[::-1]) == (columns, rows)
    assert sorted(rows) == sorted(factorise(shape[0]))
    auxiliary, central = parameter_counts(rows, columns)
    assert central == shape[0] * shape[1]
    rule = parameter_counts(factorise(shape[0]), factorise(shape[1])[::-1])[0]
    assert auxiliary <= rule


def test_automatic_share_is_as_small_as_the_published() -> None:
    for shape in [(384, 384), (384, 1536), (512, 2048), (1152, 1152)]:
        auxiliary, central = parameter_counts(*factorise_matrix(*shape))
        assert auxiliary / central < 0.13


def test_answers_are_the_callers_own() -> None:
    factorise_matrix(96, 64)[0].append(99)
    assert math.prod(factorise_matrix(96, 64)[0]) == 96


def test_auxiliary_shares_of_bert_base() -> None:
    square, square_central = parameter_counts(*factorise_matrix(768, 768))
    tall, tall_central = parameter_counts(*factorise_matrix(3072, 768))
    wide, wide_central = parameter_counts(*factorise_matrix(768, 3072))
    assert (square_central, tall_central, wide_central) == (768 * 768, 3072 * 768, 768 * 3072)
    assert round(100 * square / square_central, 2) == 12.55
    assert round(100 * tall / tall_central, 2) == 7.83
    total = 48 * square + 12 * tall + 12 * wide
    assert total == 7_986_048
    targets = 48 * square_central + 12 * tall_central + 12 * wide_central
    assert round(100 * total / targets, 2) == 9.40


@pytest.mark.parametrize("bond", [None, 1, 3, 8])
@pytest.mark.parametrize(
    ("rows", "columns"), [([2, 3, 4, 3, 2], [3, 2, 4, 2, 3]), ([2, 3], [3, 3]), ([5], [4])]
)
def test_counts_are_those_of_the_tensors(
    rows: list[int], columns: list[int], bond: int | None
) -> None:
    tensors = decompose(torch.randn(math.prod(rows), math.prod(columns)), rows, columns, bond)
    sizes = [tensor.numel() for tensor in tensors]
    central = sizes.pop(len(sizes) // 2)
    assert parameter_counts(rows, columns, bond) == (sum(sizes), central)


def test_bonds() -> None:
    rows, columns = factorise_matrix(768, 768)
    assert bond_dimensions(rows, columns) == [1, 12, 192, 192, 12, 1]
    assert bond_dimensions(rows, columns, 64) == [1, 12, 64, 64, 12, 1]
    with pytest.raises(ValueError):
        bond_dimensions(rows, columns, 0)
    with pytest.raises(ValueError):
        bond_dimensions([2, 0], [1, 1])
    with pytest.raises(ValueError):
        factorise(0)
