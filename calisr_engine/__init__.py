"""CaliSr's engine: calibrated fine-tuning of text encoders, run directories and their event log."""

__version__ = "0.1.0"
