"""UniPELT."""
