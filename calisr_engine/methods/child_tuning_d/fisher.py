"""The Fisher threshold of ChildTuning-D: which entries are worth training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def fisher_threshold(values: Tensor | Mapping[Any, Tensor] | Iterable[Tensor], p: float) -> float:
    """The (1 - p) percentile of all values together, with linear interpolation.

    ChildTuning-D keeps the entries with F >= threshold (Xu et al., 2021, "Raise a Child in Large
    Language Model"): on distinct values the share p, to within one entry. Ties with
    the threshold are all kept, so more may be. Above all, where a share of 1 - p or more is exactly
    zero (rows that the task's data never use), the threshold is 0 and every entry is kept; a
    caller that wants a mask should compare the kept share with p.

    The percentile is found by selection, so any number of values will do (`torch.quantile` stops at
    2^24). The extra memory is one copy of the values: 4 bytes each, 8 only if a tensor is float64.
    Between two neighbouring values the result is rounded up to the values' own precision: comparing
    in that dtype keeps exactly the entries that exact arithmetic keeps.

    Args:
        values: Fisher estimates, in one tensor, a mapping or an iterable of tensors, any shapes.
        p: share of entries to keep, in (0, 1). Read as the decimal that it prints as.

    Raises:
        ValueError: if p is outside (0, 1), there are no values, or one is not finite.
    """
    if not 0 < p < 1:
        raise ValueError(f"p must lie strictly between 0 and 1, not {p}")
    pool = _pool(values)
    position = (1 - Fraction(repr(float(p)))) * (pool.size - 1)
    below = math.floor(position)
    weight = float(position - below)
    pool.partition(below)
    lower = pool[below]
    if weight == 0:
        return float(lower)
    upper = pool[below + 1 :].min()
    return _between(lower, upper, weight)


def _pool(values: Tensor | Mapping[Any, Tensor] | Iterable[Tensor]) -> NDArray[Any]:
    """All values in one new flat array, float32 unless one of them is float64."""
    if isinstance(values, Tensor):
        tensors = [values]
    else:
        tensors = list(values.values() if isinstance(values, Mapping) else values)
    size = sum(tensor.numel() for tensor in tensors)
    if size == 0:
        raise ValueError("there are no Fisher values to take a percentile of")
    wide = any(tensor.dtype == torch.float64 for tensor in tensors)
    pool = np.empty(size, dtype=np.float64 if wide else np.float32)
    start = 0
    for tensor in tensors:
        end = start + tensor.numel()
        torch.from_numpy(pool[start:end]).copy_(tensor.detach().reshape(-1))
        if not np.isfinite(pool[start:end]).all():
            raise ValueError("a Fisher value is not finite")
        start = end
    return pool


def _between(lower: np.floating[Any], upper: np.floating[Any], weight: float) -> float:
    """lower + weight (upper - lower), rounded up within [lower, upper] to their dtype."""
    exact = float(lower) + weight * (float(upper) - float(lower))
    rounded = type(lower)(exact)
    if float(rounded) < exact or (rounded == lower and lower < upper):
        rounded = np.nextafter(rounded, upper)
    return float(min(rounded, upper))
