"""Measuring one batch of pairs of one shape against their anchors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from calisr_engine.calibration.anchor import Anchor, drift, make_anchor
from calisr_engine.calibration.bounds import UNIT, TopBounds, top_bounds
from calisr_engine.calibration.comparison import Pair, StableRankBounds
from calisr_engine.calibration.stable_rank import check_finite, squared_frobenius, tall, to_double
from calisr_engine.calibration.subspace import Subspace, warm_start

_TIGHT = 4e-11
"""Relative width of lambda_1's bounds at which a matrix is done."""

_ORDINARY = (1e-20, 1e20)
"""Range of ||W||_F^2 in which squares in float32 neither vanish nor overflow."""

_ROUNDS = 9
_BLOCK = 8

# Relative separations of the top Ritz value from the bound on the rest of the spectrum.
_SCARCE_GAP = 1e-2
"""Below it the anchor's directions are worth their cost."""
_NO_GAP = 1e-4
"""Below it (with the directions in) more vectors beside the top one are needed."""
_LOST_GAP = 1e-3
"""What an anchor must still be able to give, lest it is made anew."""
_HOPELESS_GAP = 1e-5
"""What a new anchor must be able to give, lest the exact method is taken at once."""


@dataclass(frozen=True)
class Measured:
    """One matrix: bounds, or None where they could not be made tight; and the anchor to keep."""

    lft: StableRankBounds | None
    fft: StableRankBounds | None
    anchor: Anchor | None
    anchored: bool


def measure(
    batch: Mapping[str, Pair], known: Mapping[str, Anchor], directions: int
) -> dict[str, Measured]:
    """Bound the stable ranks of pairs of float64 matrices, all of one shape on one device.

    Args:
        batch: name -> (W_LFT, W_FFT), finite.
        known: anchors from former samples, for any of the names.
        directions: singular directions of a new anchor.
    """
    result: dict[str, Measured] = {}
    norms: dict[str, Tensor] = {}
    for name, pair in batch.items():
        squared = torch.stack([squared_frobenius(weight) for weight in pair]).cpu()
        if not bool(torch.isfinite(squared).all()):
            for weight in pair:
                check_finite(weight, name)
        if bool(((squared > _ORDINARY[0]) & (squared < _ORDINARY[1])).all()):
            norms[name] = squared
        else:
            result[name] = Measured(None, None, known.get(name), False)
    fits = [n for n in norms if n in known and known[n].copy.shape == batch[n][1].shape]
    fits = [n for n in fits if known[n].directions.shape == known[fits[0]].directions.shape]
    lost = [n for n in norms if n not in fits]
    if fits:
        first = _bound({n: batch[n] for n in fits}, norms, known, fresh=False)
        for name, found in first.items():
            if found.lft is None or found.fft is None:
                lost.append(name)
            else:
                result[name] = found
    if lost:
        anchors = {
            n: make_anchor(batch[n][1], directions, known[n].start if n in fits else None)
            for n in lost
        }
        result.update(_bound({n: batch[n] for n in lost}, norms, anchors, fresh=True))
    return result


@torch.no_grad()
def make_anchors(weights: Mapping[str, Tensor], directions: int) -> dict[str, Anchor]:
    """An anchor for each of these matrices, of any shape, before anything is compared.

    Those whose squares would vanish or overflow, or that are not finite, get none.
    """
    made = {}
    for name, weight in weights.items():
        wide = to_double(weight)
        squared = float(squared_frobenius(wide[None])[0])
        if _ORDINARY[0] < squared < _ORDINARY[1]:
            made[name] = make_anchor(wide, directions)
    return made


def _bound(
    batch: Mapping[str, Pair],
    norms: Mapping[str, Tensor],
    anchors: Mapping[str, Anchor],
    fresh: bool,
) -> dict[str, Measured]:
    """Bounds with these anchors; None where they are not tight in the end."""
    names = list(batch)
    used = [anchors[name] for name in names]
    same = [torch.equal(*batch[name]) for name in names]
    lft, fft = (_stack([batch[name][i] for name in names]) for i in (0, 1))
    distance = drift(fft, _stack([anchor.copy for anchor in used]))
    start = warm_start(tall(fft), torch.stack([anchor.start for anchor in used]))
    q = torch.stack([anchor.directions for anchor in used])
    strengths = torch.stack([anchor.strengths for anchor in used]).cpu()
    squared = torch.stack([norms[name] for name in names])

    full, top = _tighten(fft, squared[:, 1], distance.cpu(), q, strengths, start, fresh)
    if all(same):
        core = full
    else:
        distance = distance + drift(lft, fft)
        core, _ = _tighten(lft, squared[:, 0], distance.cpu(), q, strengths, top, fresh, steps=2)
    result = {}
    for i, name in enumerate(names):
        ranks = full[i], full[i] if same[i] else core[i]
        anchor = Anchor(used[i].copy, used[i].directions, used[i].strengths, top[i].clone())
        result[name] = Measured(ranks[1], ranks[0], anchor, fresh)
    return result


def _tighten(
    weight: Tensor,
    squared: Tensor,
    distance: Tensor,
    q: Tensor,
    strengths: Tensor,
    start: Tensor,
    fresh: bool,
    steps: int = 0,
) -> tuple[list[StableRankBounds | None], Tensor]:
    """Grow a subspace until the bounds are tight or the anchor is seen to be of no more use.

    Args:
        weight: (b, m, n), squared: (b,) ||W||_F^2, distance: (b,) bounds on ||W - A||_F.
        q, strengths: (b, k, n) and (b, k + 1), the anchors' certificates.
        start: (b, n) a vector near the top singular vector.
        fresh: whether the anchors were made from these very weights.
        steps: Krylov steps to take before bounds are tried at all.
    """
    narrow = tall(weight)
    shape = (narrow.shape[1], narrow.shape[2])
    subspace = Subspace(narrow)
    subspace.add(start[:, None])
    if steps:
        subspace.grow(subspace.z[:, 0], steps)
    low, high = torch.zeros_like(distance), torch.full_like(distance, torch.inf)
    top, deflated = start, False
    for turn in range(_ROUNDS):
        small, vector, residuals = subspace.small_problem(q)
        bounds = top_bounds(small, shape, squared, strengths[:, :-1], strengths[:, -1], distance)
        better = bounds.high - bounds.low < high - low
        low, high = torch.where(better, bounds.low, low), torch.where(better, bounds.high, high)
        top = torch.where(better[:, None].to(vector.device), vector, top)
        tight = high - low <= low * _tight_enough(bounds, squared, shape)
        lost = bounds.reachable_gap < (_HOPELESS_GAP if fresh else _LOST_GAP)
        if bool((tight | lost).all()) or turn == _ROUNDS - 1:
            break
        scarce = (bounds.gap < _SCARCE_GAP) & (bounds.reachable_gap > 3 * bounds.gap) & ~tight
        if bool(scarce.any()) and not deflated:
            subspace.add(q)
            deflated = True
        elif bool((scarce & (bounds.gap < _NO_GAP)).any()):
            subspace.add(residuals[:, 1 : 1 + _BLOCK])  # tell the next ones apart from the rest
        subspace.grow(residuals[:, 0], 4 if deflated else 2)
    return [
        _stable_rank_bounds(float(s), float(a), float(b), shape) if ok else None
        for s, a, b, ok in zip(squared, low, high, tight, strict=True)
    ], top


def _tight_enough(bounds: TopBounds, squared: Tensor, shape: tuple[int, int]) -> Tensor:
    """The tolerance, wider by what rounding takes for itself where stable ranks are large."""
    return _TIGHT + 16 * shape[1] * UNIT * (squared / bounds.low).sqrt()


def _stable_rank_bounds(
    squared: float, low: float, high: float, shape: tuple[int, int]
) -> StableRankBounds:
    error = (sum(shape) + 8) * UNIT
    return StableRankBounds(
        low=squared / high * (1 - error),
        value=squared / (low * high) ** 0.5,
        high=squared / low * (1 + error),
    )


def _stack(weights: list[Tensor]) -> Tensor:
    """(b, m, n); a single matrix is not copied."""
    return weights[0][None] if len(weights) == 1 else torch.stack(weights)
