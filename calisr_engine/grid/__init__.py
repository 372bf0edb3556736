"""Grids: many runs from one file, their state, and their results as one table."""

from calisr_engine.grid.plan import Cell, GridPlan, plan_grid
from calisr_engine.grid.spec import GridFile, read_grid

__all__ = ["Cell", "GridFile", "GridPlan", "plan_grid", "read_grid"]
