"""Mixout."""
