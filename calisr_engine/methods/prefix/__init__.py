"""Prefix-tuning."""
