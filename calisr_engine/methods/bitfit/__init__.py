"""BitFit."""
