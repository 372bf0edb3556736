"""MPOP: a weight matrix as a chain of small tensors (a matrix product operator)."""

from calisr_engine.methods.mpop.tensors import (
    bond_spectra,
    contract,
    decompose,
    truncation_error,
)

__all__ = [
    "bond_spectra",
    "contract",
    "decompose",
    "truncation_error",
]
