"""MPOP: a weight matrix as a chain of small tensors (a matrix product operator)."""

from calisr_engine.methods.mpop.shapes import (
    bond_dimensions,
    central_index,
    factorise,
    factorise_matrix,
    parameter_counts,
)
from calisr_engine.methods.mpop.tensors import (
    bond_spectra,
    contract,
    decompose,
    truncation_error,
)

__all__ = [
    "bond_dimensions",
    "bond_spectra",
    "central_index",
    "contract",
    "decompose",
    "factorise",
    "factorise_matrix",
    "parameter_counts",
    "truncation_error",
]
