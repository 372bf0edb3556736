"""Tuners of peft."""
