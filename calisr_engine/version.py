"""The version of CaliSr."""

__version__ = "0.1.0"
