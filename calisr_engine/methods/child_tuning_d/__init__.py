"""ChildTuning-D."""
