"""Encoders: which there are, where their target matrices are, how they are loaded."""
