"""Diff pruning."""
