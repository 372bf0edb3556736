"""MaskBERT."""
