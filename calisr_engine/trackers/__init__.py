"""Optional copies of a run's figures in TensorBoard, W&B, MLflow or trackio.

The event log stays the only source of truth: trackers follow what it is given, in threads of their
own, and whatever happens to them the run goes on.
"""
