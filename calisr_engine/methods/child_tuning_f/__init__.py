"""ChildTuning-F."""
