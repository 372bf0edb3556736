"""Stable rank normalisation."""
