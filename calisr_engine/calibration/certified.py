"""The certified comparison: the decision of full float64 SVDs at a small part of their cost.

Each matrix keeps an anchor (anchor.py). At a sample the top singular vector is approached in
float32 from where it was last time, then finished in float64, until the bounds of bounds.py hold
the stable ranks of W_LFT and W_FFT within about 1e-10 of themselves. Where the weights have drifted
too far from the anchor it is made anew; where even that shows no separation (a flat spectrum), and
where a group's difference lies within the bounds, exact Gram eigenvalues decide.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from calisr_engine.calibration.anchor import Anchor
from calisr_engine.calibration.comparison import (
    GroupComparison,
    MatrixComparison,
    Pair,
    Pairs,
    Rule,
    StableRankBounds,
    check_rule,
    double_pair,
    group_comparison,
    still_open,
)
from calisr_engine.calibration.measure import Measured, make_anchors, measure
from calisr_engine.calibration.stable_rank import row_pieces, stable_rank

__all__ = ["CertifiedComparison", "GroupComparison"]

_BATCH_BYTES = 2**30


class CertifiedComparison:
    """Compares pairs (W_LFT, W_FFT), keeping what helps at the next sample.

    Deterministic given its state; uses no random generator and changes no input.

    Args:
        directions: singular directions an anchor knows (more bear more drift).
        small: matrices whose smaller side is at most this are measured exactly at once.
        batched: measure equal shapes together; None means on accelerators, not on CPUs.
    """

    def __init__(self, directions: int = 16, small: int = 64, batched: bool | None = None) -> None:
        self.directions = directions
        self.small = small
        self.batched = batched
        self._anchors: dict[str, Anchor] = {}
        self._making: threading.Thread | None = None
        self._made: dict[str, Anchor] = {}

    def prepare(self, weights: Mapping[str, Tensor]) -> None:
        """Begin to make the anchors of these weights, in a thread; whoever needs them waits.

        So the first `compare` finds anchors of weights that are near its own, as later ones do. It
        decides the same; the stable ranks it tells differ within their bounds.

        Args:
            weights: target name -> a copy that nobody else changes, on the CPU.
        """
        large = {n: w for n, w in weights.items() if min(w.shape) > self.small}

        def make() -> None:
            # What fails here fails, and is told, where the sample makes them itself.
            with contextlib.suppress(RuntimeError, MemoryError):
                self._made = make_anchors(large, self.directions)

        self._making = threading.Thread(target=make, name="calisr-anchors", daemon=True)
        self._making.start()

    def _take_made(self) -> None:
        if self._making is not None:
            self._making.join()
            self._anchors = self._made | self._anchors
            self._making, self._made = None, {}

    @torch.no_grad()
    def compare(
        self, pairs: Pairs, rule: Rule = "sum", repeatable: bool = False
    ) -> GroupComparison:
        """Compare one group; the hit is the one that exact float64 arithmetic gives.

        Args:
            pairs: target name -> (W_LFT, W_FFT), or a function giving them when it is their turn.
            rule: how the matrices make one comparison.
            repeatable: functions may be called a second time, in the rare case of a close call.
                Otherwise what they gave is kept until the group is decided (in float32 where that
                loses nothing).

        Raises:
            ValueError: a weight that is not finite, or a pair of unequal shapes.
        """
        check_rule(rule, list(pairs))
        self._take_made()
        again: dict[str, Pair | Callable[[], Pair]] = {}
        matrices: dict[str, MatrixComparison] = {}
        for batch in self._batches(pairs):
            matrices.update(self._measure(batch))
            for name, pair in batch.items():
                given = pairs[name]
                again[name] = given if repeatable or not callable(given) else _compact(pair)
        matrices = {name: matrices[name] for name in pairs}
        while names := still_open(matrices, rule):
            for name in names if rule == "vote" else names[:1]:
                kept = again[name]
                pair = double_pair(name, kept() if callable(kept) else kept)
                matrices[name] = _exactly(pair, matrices[name])
        return group_comparison(matrices, rule)

    def forget(self, names: Iterable[str]) -> None:
        """Free what is kept for these targets."""
        self._take_made()
        for name in names:
            self._anchors.pop(name, None)

    def state_dict(self) -> dict[str, Tensor]:
        """All state as flat name -> tensor (CPU); with it a resumed run gives the same bits."""
        self._take_made()
        return {
            f"{name}::{key}": tensor.cpu()
            for name, anchor in self._anchors.items()
            for key, tensor in anchor.tensors().items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state_dict` gave, replacing all present state."""
        self._take_made()
        parts: dict[str, dict[str, Tensor]] = {}
        for key, tensor in state.items():
            name, _, part = key.rpartition("::")
            parts.setdefault(name, {})[part] = tensor.clone()
        self._anchors = {name: Anchor(**tensors) for name, tensors in parts.items()}

    def _batches(self, pairs: Pairs) -> Iterable[dict[str, Pair]]:
        """The pairs, one at a time or collected by shape up to a limit of memory."""
        waiting: dict[tuple[torch.Size, torch.device], dict[str, Pair]] = {}
        for name, given in pairs.items():
            pair = double_pair(name, given() if callable(given) else given)
            device = pair[0].device
            if not (device.type != "cpu" if self.batched is None else self.batched):
                yield {name: pair}
                continue
            batch = waiting.setdefault((pair[0].shape, device), {})
            batch[name] = pair
            if len(batch) * pair[0].numel() * 16 >= _BATCH_BYTES:
                yield waiting.pop((pair[0].shape, device))
        yield from waiting.values()

    def _measure(self, batch: dict[str, Pair]) -> dict[str, MatrixComparison]:
        if min(next(iter(batch.values()))[0].shape) <= self.small:
            return {name: replace(_exactly(pair), fallback=False) for name, pair in batch.items()}
        device = next(iter(batch.values()))[0].device
        known = {n: self._anchors[n].to(device) for n in batch if n in self._anchors}
        with torch.autocast(device.type, enabled=False):
            measured = measure(batch, known, self.directions)
        result = {}
        for name, found in measured.items():
            if found.anchor is not None:
                self._anchors[name] = found.anchor
            result[name] = _as_comparison(found, batch[name])
        return result


def _as_comparison(found: Measured, pair: Pair) -> MatrixComparison:
    if found.lft is None or found.fft is None:
        return replace(_exactly(pair), anchored=found.anchored)
    return MatrixComparison(found.lft, found.fft, anchored=found.anchored)


def _exactly(pair: Pair, before: MatrixComparison | None = None) -> MatrixComparison:
    """By Gram eigenvalues; identical matrices are worked out once."""
    fft = StableRankBounds.exactly(float(stable_rank(pair[1])))
    same = torch.equal(pair[0], pair[1])
    lft = fft if same else StableRankBounds.exactly(float(stable_rank(pair[0])))
    return MatrixComparison(
        lft, fft, fallback=True, anchored=before is not None and before.anchored
    )


def _compact(pair: Pair) -> Pair:
    """The same numbers, in float32 where that holds them."""
    return _narrow(pair[0]), _narrow(pair[1])


def _narrow(weight: Tensor) -> Tensor:
    narrow = torch.empty_like(weight, dtype=torch.float32)
    for wide, piece in zip(row_pieces(weight), row_pieces(narrow), strict=True):
        if not torch.equal(piece.copy_(wide), wide):
            return weight
    return narrow
