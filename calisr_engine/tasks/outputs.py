"""From logits of several labels a text to probabilities and decisions, in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def label_probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sigmoid of each logit, shape (rows, labels)."""
    from scipy.special import expit

    found: NDArray[np.float64] = expit(logits)
    return found


def given_labels(logits: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """1 where the probability of a label is above the threshold, else 0; shape (rows, labels)."""
    return (label_probabilities(logits) > threshold).astype("int64")
