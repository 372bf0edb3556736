"""The training loop, its optimizer, phase changes and checkpoints."""
