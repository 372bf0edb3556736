"""SMART."""
