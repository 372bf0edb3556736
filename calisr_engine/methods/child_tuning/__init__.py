"""ChildTuning: training the entries of a weight that a mask selects."""

from calisr_engine.methods.child_tuning.fisher import fisher_threshold

__all__ = ["fisher_threshold"]
