"""Grids: many runs from one file, their state, and their results as one table."""

from calisr_engine.grid.expand import Grid, GridRun, expand_grid
from calisr_engine.grid.spec import GridFile, read_grid

__all__ = ["Grid", "GridFile", "GridRun", "expand_grid", "read_grid"]
