"""Calibration: stable ranks, the certified comparison of a sample, and the switching score."""
