"""MPOP: a weight matrix as a chain of small tensors (a matrix product operator)."""
