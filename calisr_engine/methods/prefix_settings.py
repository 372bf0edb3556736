"""What settings of methods that add prefixes (`prefix_attention.py`) share."""

from __future__ import annotations


def prefix_count(layers: int, length: int, width: int, projection: int | None = None) -> int:
    """Parameters of all prefixes: a key and a value for each position of each layer; with a
    projection a vector for each position and the two layers of the MLP."""
    if projection is None:
        return 2 * layers * length * width
    return length * width + (width + 1) * projection + (projection + 1) * 2 * layers * width
